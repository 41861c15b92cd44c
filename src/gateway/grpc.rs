//! gRPC (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>): a call ends with a status of its own, in
//! trailers, or in the header where nothing but it is answered.
//!
//! A client of gRPC takes any other answer for a broken server, so it is refused in its own form.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;

use crate::domain::route::StatusSet;
use crate::problem::Problem;

use super::headers::{Headers, REQUEST_ID, value};

const TYPE: &str = "application/grpc";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const UNKNOWN: u8 = 2;
/// Of a message, beside what is not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');
const RETRY_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// Whether trailers leave a call one that is charged, as far as they tell.
pub(super) fn is_charged(trailers: &HeaderMap, charge_on: &StatusSet) -> bool {
    status_in_trailers(trailers).is_none_or(|status| charge_on.contains_grpc(status))
}

/// Ends a call whose answer has begun with the status of a problem, where trailers can still say it.
pub(super) fn end(session: &mut ServerSession, problem: &Problem) {
    let is_call = is_call(session.req_header());
    if let ServerSession::H2(client) = session
        && is_call
    {
        let mut trailers = HeaderMap::new();
        trailers.insert(STATUS, u16::from(problem.grpc_status()).into());
        trailers.insert(MESSAGE, value(message(problem)));
        // Else the client hears of it by a reset.
        let _ = client.write_trailers(trailers);
    }
}

/// Whether a request is a call of gRPC.
pub(super) fn is_call(request: &RequestHeader) -> bool {
    request.method == Method::POST && is_grpc(&request.headers)
}

/// The status that an answer's header says a call ended with, if it is the end of one.
pub(super) fn status_in_header(method: &Method, headers: &HeaderMap) -> Option<u8> {
    if *method == Method::POST && is_grpc(headers) { status(headers) } else { None }
}

/// Whether an answer is one of gRPC whose status is still to come.
pub(super) fn ends_in_trailers(status: u16, method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::POST && status == 200 && is_grpc(headers) && !headers.contains_key(STATUS)
}

/// The status that trailers tell. One that is no number is the one for that, `UNKNOWN`.
fn status_in_trailers(trailers: &HeaderMap) -> Option<u8> {
    trailers.contains_key(STATUS).then(|| status(trailers).unwrap_or(UNKNOWN))
}

/// A problem as a whole answer that has no body.
pub(super) fn refusal(
    problem: &Problem,
    request_id: HeaderValue,
    session: &ServerSession,
) -> pingora::Result<ResponseHeader> {
    let mut header = ResponseHeader::build(200, Some(10))?;
    header.insert_header(header::CONTENT_TYPE, TYPE)?;
    header.insert_header(STATUS, u16::from(problem.grpc_status()))?;
    header.put(MESSAGE, value(message(problem)))?;
    header.put(REQUEST_ID, request_id)?;
    if let Some(seconds) = problem.retry_after {
        header.insert_header(header::RETRY_AFTER, seconds)?;
        header.insert_header(RETRY_PUSHBACK, seconds.saturating_mul(1_000))?;
    }
    if !session.is_http2() {
        header.insert_header(header::CONTENT_LENGTH, 0)?;
    }
    Ok(header)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let Some((name, rest)) = value.split_at_checked(TYPE.len()) else { return false };
    // What `application/grpc-web` asks for is something else.
    name.eq_ignore_ascii_case(TYPE.as_bytes()) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

fn status(headers: &HeaderMap) -> Option<u8> {
    headers.get(STATUS)?.to_str().ok()?.parse().ok()
}

/// The code and what to do, as `grpc-message` has it.
fn message(problem: &Problem) -> String {
    let plain = format!("{}: {}", problem.code.as_str(), problem.detail);
    utf8_percent_encode(&plain, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;

    fn headers(content_type: &'static str, status: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.extend(status.map(|status| (STATUS, HeaderValue::from_static(status))));
        headers
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; charset=utf-8", true),
            ("application/grpc-web+proto", false),
            ("application/grp", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(&headers(content_type, None)), expected, "{content_type}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn a_header_tells_a_status_where_it_is_the_whole_answer() {
        for (content_type, status, expected) in [
            (TYPE, Some("0"), Some(0)),
            (TYPE, Some("16"), Some(16)),
            (TYPE, Some("-1"), None),
            (TYPE, Some("ok"), None),
            (TYPE, None, None),
            ("application/json", Some("8"), None),
        ] {
            assert_eq!(
                status_in_header(&Method::POST, &headers(content_type, status)),
                expected,
                "{content_type} {status:?}"
            );
        }
    }

    #[test]
    fn trailers_tell_a_status_or_that_it_is_unknown() {
        for (status, expected) in
            [(Some("0"), Some(0)), (Some("8"), Some(8)), (Some("?"), Some(UNKNOWN)), (None, None)]
        {
            assert_eq!(status_in_trailers(&headers("", status)), expected);
        }
    }

    #[test]
    fn only_an_answer_without_a_status_ends_in_trailers() {
        let ends = |status, method, headers| ends_in_trailers(status, &method, &headers);
        assert!(ends(200, Method::POST, headers(TYPE, None)));
        assert!(!ends(200, Method::POST, headers(TYPE, Some("0"))));
        assert!(!ends(503, Method::POST, headers(TYPE, None)));
        assert!(!ends(200, Method::GET, headers(TYPE, None)));
        assert!(!ends(200, Method::POST, headers("application/json", None)));
    }

    #[test]
    fn a_message_is_visible_ascii() {
        let problem = Problem::new(Code::QuotaExceeded, "100 % – \u{7f}gone\n");
        assert_eq!(message(&problem), "quota_exceeded: 100 %25 %E2%80%93 %7Fgone%0A");
    }
}
