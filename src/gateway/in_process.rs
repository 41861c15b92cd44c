//! The gateway's own endpoints, answered in-process by the `api` router.

use axum::body::{Body, to_bytes};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use tower::ServiceExt;

use crate::problem::{Code, Problem};

use super::context::Context;
use super::headers::{Headers, REQUEST_ID};
use super::{Parts, answer};

/// Stripe's events and our own requests are far smaller.
const MAX_BODY_BYTES: usize = 1 << 20;
/// What our own endpoints answer.
pub(super) const MAX_ANSWER_BYTES: usize = 16 << 20;

impl Parts {
    /// Answers the request from the router.
    pub(super) async fn answer_in_process(
        &self,
        session: &mut ServerSession,
        context: &mut Context,
    ) -> pingora::Result<()> {
        let body = self.read_body(session, context).await.map_err(pingora::Error::into_down)?;
        let Some(body) = body else {
            let problem = Problem::new(Code::BodyTooLarge, "send at most 1 MiB");
            return self.refuse(session, &problem, None, context).await;
        };
        context.body_is_over();
        let mut parts = session.req_header().as_owned_parts();
        let normalised = context.forwarded_path.as_deref().and_then(|path| path.parse().ok());
        parts.uri = normalised.unwrap_or(parts.uri);
        parts.extensions.extend(self.client_address(session, context));
        if let Some(certified) = self.certified(&parts.headers, context) {
            parts.extensions.insert(certified);
        }
        let request = Request::from_parts(parts, body);
        let response = self.answer_own(request).await;
        self.relay(session, response, context).await
    }

    /// Here, or where the books are.
    pub(super) async fn answer_own(&self, request: Request<Bytes>) -> Response {
        match self.flow.books.begin_own().await {
            Ok(_own) => {
                let Ok(response) = self.api.clone().oneshot(request.map(Body::from)).await;
                response
            }
            Err(heir) => Box::pin(heir.answer_own(request)).await,
        }
    }

    /// For limits by source address.
    fn client_address(&self, session: &ServerSession, context: &Context) -> Extensions {
        let mut extensions = Extensions::new();
        if let Some(client) = self.client(&session.req_header().headers, &context.connection) {
            extensions.insert(client);
        }
        extensions
    }

    /// The whole body; none if it is too large.
    async fn read_body(
        &self,
        session: &mut ServerSession,
        context: &Context,
    ) -> pingora::Result<Option<Bytes>> {
        answer::ask_for_body(session).await?;
        let mut body = BytesMut::new();
        while let Some(chunk) = session.read_request_body().await? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
            self.hear(body.len() as u64, context)?;
        }
        Ok(Some(body.freeze()))
    }

    async fn relay(
        &self,
        session: &mut ServerSession,
        response: Response,
        context: &mut Context,
    ) -> pingora::Result<()> {
        if let Some(problem) = response.extensions().get::<Problem>() {
            context.shown_headers.extend(for_browsers(response.headers()));
            return self.refuse(session, problem, None, context).await;
        }
        let (parts, body) = response.into_parts();
        let body = match to_bytes(body, MAX_ANSWER_BYTES).await {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "an endpoint's answer could not be read");
                return self.refuse(session, &Problem::new(Code::Internal, "try again"), None, context).await;
            }
        };
        let mut header = ResponseHeader::from(parts);
        header.remove_header(&header::TRANSFER_ENCODING);
        header.insert_header(header::CONTENT_LENGTH, body.len())?;
        header.put(REQUEST_ID, context.shown_request_id())?;
        self.say_if_last(session, context);
        answer::write(session, header, body).await
    }
}

/// Without these a page is not told of a failure at all.
fn for_browsers(headers: &HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> + '_ {
    let shown = |name: &HeaderName| *name == header::VARY || name.as_str().starts_with("access-control-");
    headers.iter().filter(move |(name, _)| shown(name)).map(|(name, value)| (name.clone(), value.clone()))
}
