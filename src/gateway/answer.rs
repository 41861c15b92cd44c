//! What the gateway itself says, written so that the client's connection stays usable.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use pingora::ErrorType;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use serde_json::json;

use crate::clock;
use crate::domain::period::rfc3339;
use crate::domain::usage::Now;
use crate::news;
use crate::problem::{Code, Problem};

use super::context::Context;
use super::headers::{Headers, REQUEST_ID};
use super::phases::{answered, taken};
use super::{Parts, RequestId, debug, grpc};

impl Parts {
    /// Answers a problem, counts it and says so in one line of the log, which names no token, path or body.
    pub(super) async fn refuse(
        &self,
        session: &mut ServerSession,
        problem: &Problem,
        cause: Option<&pingora::Error>,
        context: &mut Context,
    ) -> pingora::Result<()> {
        context.refused = Some(problem.code);
        context.why = debug::is_on().then(|| problem.detail.clone());
        self.counters.refused(problem.code);
        self.log_refusal(problem, cause, context);
        self.tell_refusal(problem, context);
        keep_connection(session, problem);
        self.say_if_last(session, context);
        self.write_problem(session, problem, context).await
    }

    /// Pingora's own error answers would close the connection.
    async fn write_problem(
        &self,
        session: &mut ServerSession,
        problem: &Problem,
        context: &Context,
    ) -> pingora::Result<()> {
        let request_id = context.shown_request_id();
        let (mut header, body) = if grpc::is_call(session.req_header()) {
            (grpc::refusal(problem, request_id, session)?, Bytes::new())
        } else {
            head_and_body(problem, request_id)?
        };
        for (name, value) in &context.shown_headers {
            header.put(name.clone(), value.clone())?;
        }
        self.dress(&mut header, context)?;
        write(session, header, body).await
    }

    /// Answers what is no request, and ends the connection.
    pub(super) async fn refuse_unreadable(&self, mut session: ServerSession, error: &pingora::Error) {
        if matches!(error.etype, ErrorType::InvalidHTTPHeader) {
            let detail = "the request could not be read; send HTTP/1.1 as RFC 9112 has it";
            let problem = Problem::new(Code::BadRequest, detail);
            return self.refuse_unread(session, &problem, clock::now()).await;
        }
        session.shutdown().await;
    }

    /// Answers a problem with what was never taken up as a request, and ends the connection.
    pub(super) async fn refuse_unread(&self, mut session: ServerSession, problem: &Problem, now: Now) {
        let id = RequestId::new(now);
        tracing::info!(code = problem.code.as_str(), request_id = %id, "refused what is no request");
        self.counters.refused(problem.code);
        self.counters.answered(None, problem.status(), Duration::ZERO);
        self.log_unreadable(problem, id, now);
        let answer = head_and_body(problem, id.header());
        let written = async { answer.map(|(head, body)| session.write_error_response(head, body))?.await };
        if let Err(unwritten) = taken(written).await {
            tracing::debug!(%unwritten, "a refusal could not be written");
        }
        session.shutdown().await;
    }

    /// What is our fault or the upstream's is a warning; what is the client's is news.
    fn log_refusal(&self, problem: &Problem, cause: Option<&pingora::Error>, context: &Context) {
        let (code, status) = (problem.code.as_str(), problem.status());
        let route = self.pattern(context);
        let customer = context.identity.as_ref().map(|identity| &*identity.customer);
        let request_id = context.request_id;
        // An error's own text may quote what the upstream sent.
        let cause = cause.map(|error| error.etype.as_str());
        if status >= 500 {
            tracing::warn!(code, status, route, customer, cause, %request_id, "refused");
        } else {
            tracing::info!(code, status, route, customer, cause, %request_id, "refused");
        }
    }

    fn tell_refusal(&self, problem: &Problem, context: &Context) {
        news::tell("refusal", || {
            json!({
                "at": rfc3339(context.now.seconds()),
                "code": problem.code.as_str(),
                "status": problem.status(),
                "route": self.pattern(context),
                "customer": context.identity.as_ref().map(|identity| &*identity.customer),
                "request_id": context.request_id.to_string(),
            })
        });
    }

    /// The route's pattern, as metrics and logs name it.
    pub(super) fn pattern(&self, context: &Context) -> &str {
        context.route.map_or("none", |id| &*self.catalogue.routes.get(id).pattern)
    }
}

fn head_and_body(problem: &Problem, request_id: HeaderValue) -> pingora::Result<(ResponseHeader, Bytes)> {
    let body = Bytes::from(problem.body(request_id.to_str().unwrap_or_default()));
    let mut header = ResponseHeader::build(problem.status(), Some(10))?;
    header.insert_header(header::CONTENT_TYPE, "application/problem+json")?;
    header.insert_header(header::CONTENT_LENGTH, body.len())?;
    header.insert_header(header::CACHE_CONTROL, "no-store")?;
    header.put(REQUEST_ID, request_id)?;
    if let Some(challenge) = problem.www_authenticate() {
        header.insert_header(header::WWW_AUTHENTICATE, challenge)?;
    }
    if let Some(seconds) = problem.retry_after {
        header.insert_header(header::RETRY_AFTER, seconds)?;
    }
    if let Some(allow) = &problem.allow {
        header.insert_header(header::ALLOW, allow)?;
    }
    Ok((header, body))
}

/// Lets pingora read what is left of a refused request's body, instead of closing the connection. Not where the rest
/// is too much or too slow, or where a client that waits for `100 Continue` will not send it.
fn keep_connection(session: &mut ServerSession, problem: &Problem) {
    let waits = session.get_header(header::EXPECT).is_some();
    let too_much = matches!(problem.code, Code::BodyTooLarge | Code::HeadersTooLarge | Code::RequestTimeout);
    if !waits && !too_much {
        session.set_close_on_response_before_downstream_finish(false);
    }
}

/// Reads on what a client still sends where the connection ends with this answer, for a while: closed upon unread bytes
/// it would take the answer with it (RFC 9112, section 9.6). Who was too slow, or sends nothing, is not waited for.
pub(super) async fn linger(session: &mut ServerSession, refused: Option<Code>) {
    let upgraded = answered(session) == Some(101);
    let ServerSession::H1(session) = session else { return };
    if session.will_keepalive() || session.is_body_done() {
        return;
    }
    let slow = refused == Some(Code::RequestTimeout);
    let waits = session.get_header(header::EXPECT).is_some();
    if upgraded || slow || waits {
        return;
    }
    // Whichever of these fails: the connection ends.
    if session.finish_body().await.is_ok() {
        let _ = session.drain_request_body().await;
    }
}

/// Tells a client that waits for it to send the body. To pingora an answer before the body's end, even this one, is a
/// reason to close the connection afterwards.
pub(super) async fn ask_for_body(session: &mut ServerSession) -> pingora::Result<()> {
    if session.get_header(header::EXPECT).is_some() {
        let keepalive = session.get_keepalive();
        session.write_continue_response().await?;
        session.set_keepalive(keepalive);
    }
    Ok(())
}

/// Writes a whole answer.
pub(super) async fn write(
    session: &mut ServerSession,
    header: ResponseHeader,
    body: Bytes,
) -> pingora::Result<()> {
    let no_body = body.is_empty() || session.req_header().method == Method::HEAD;
    if no_body && let ServerSession::H2(session) = session {
        // Trailers without a body are a header that is the end.
        return session.write_response_header(Box::new(header), true);
    }
    taken(session.write_response_header(Box::new(header))).await?;
    if !no_body {
        taken(session.write_response_body(body, true)).await?;
    }
    Ok(())
}
