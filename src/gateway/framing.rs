//! What pingora's parser lets through, and another server could read as another request: refused, or put into the one
//! form that all read alike. Plain requests have that form already: `exchange::is_plain` says so.

use http::{Version, header};
use pingora::http::RequestHeader;

use crate::problem::{Code, Problem};

/// Refuses what has two meanings; an absolute target becomes its path.
pub(super) fn settle(request: &mut RequestHeader) -> Result<(), Problem> {
    if request.version == Version::HTTP_11 && !request.headers.contains_key(header::HOST) {
        return Err(refused("a request of HTTP/1.1 names its host"));
    }
    if has_odd_length(request) {
        return Err(refused("send one content-length of digits, or none"));
    }
    let target = request.raw_path();
    if target.starts_with(b"/") {
        return Ok(());
    }
    // Pingora forwards such a target as it came, and shows `/` for a path where it finds none in it.
    if !is_url(target) {
        return Err(refused("send a path that starts with a slash"));
    }
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    request.set_raw_path(path.as_bytes()).map_err(|_| refused("the request's target could not be read"))
}

/// Pingora takes a list of the same length, twice over, and would forward it so.
fn has_odd_length(request: &RequestHeader) -> bool {
    let mut lengths = request.headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return false };
    lengths.next().is_some() || length.is_empty() || !length.as_bytes().iter().all(u8::is_ascii_digit)
}

fn is_url(target: &[u8]) -> bool {
    [&b"http://"[..], b"https://"]
        .iter()
        .any(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

fn refused(detail: &'static str) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn settled(target: &str, headers: &[(&'static str, &'static str)]) -> Option<String> {
        let mut request = RequestHeader::build(Method::GET, target.as_bytes(), None).expect("a request");
        for (name, value) in headers {
            request.append_header(*name, *value).expect("a header");
        }
        settle(&mut request).ok()?;
        Some(String::from_utf8_lossy(request.raw_path()).into_owned())
    }

    #[test]
    fn a_target_is_a_path_or_becomes_one() {
        let host = [("host", "a")];
        for (target, path) in [
            ("/a?b", Some("/a?b")),
            ("http://a/b?c", Some("/b?c")),
            ("HTTPS://a/b", Some("/b")),
            ("http://a?b", Some("/?b")),
            ("ftp://a/b", None),
            ("a:80", None),
            ("x:/../a", None),
            ("a/b", None),
            ("*", None),
        ] {
            assert_eq!(settled(target, &host).as_deref(), path, "{target}");
        }
    }

    #[test]
    fn there_is_one_host_and_at_most_one_length() {
        assert_eq!(settled("/", &[]), None, "no host");
        for (lengths, passes) in [
            (&["0"][..], true),
            (&["0012"], true),
            (&["2", "2"], false),
            (&["2, 2"], false),
            (&["+2"], false),
            (&[""], false),
        ] {
            let lengths = lengths.iter().map(|length| ("content-length", *length));
            let headers: Vec<_> = [("host", "a")].into_iter().chain(lengths).collect();
            assert_eq!(settled("/", &headers).is_some(), passes, "{headers:?}");
        }
    }
}
