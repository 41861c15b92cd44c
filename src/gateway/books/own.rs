//! Requests to our own endpoints, once another process answers those.

use axum::body::{Body, to_bytes};
use axum::response::Response;
use http::Request;

use crate::auth::Identity;
use crate::problem::{Code, Problem};

use super::super::Parts;
use super::super::in_process::MAX_ANSWER_BYTES;
use super::Heir;
use super::words::{Answer, OwnAnswer, OwnRequest, Question, Shown};

impl Heir {
    /// The answer of the other process.
    pub(in super::super) async fn answer_own(&self, request: Request<bytes::Bytes>) -> Response {
        let (parts, body) = request.into_parts();
        let asked = OwnRequest {
            method: parts.method.to_string(),
            uri: parts.uri.to_string(),
            headers: Shown::of(&parts.headers),
            body: body.to_vec(),
            client: parts.extensions.get().copied(),
            certified: parts
                .extensions
                .get::<std::sync::Arc<Identity>>()
                .map(|identity| identity.customer.to_string()),
        };
        match self.ask(Question::Own(Box::new(asked))).await {
            Ok(Answer::Own(answer)) => answer.into_response(),
            _ => unanswered(),
        }
    }
}

impl OwnAnswer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = http::StatusCode::from_u16(self.status).unwrap_or_default();
        *response.headers_mut() = self.headers.into_map();
        if let Some(problem) = self.problem {
            response.extensions_mut().insert(problem);
        }
        response
    }
}

fn unanswered() -> Response {
    let mut response = Response::default();
    let problem = Problem::new(Code::Draining, "this gateway is being replaced; try again");
    response.extensions_mut().insert(problem);
    response
}

impl Parts {
    /// Answers a request to one of our own endpoints that came to the process before.
    pub(super) async fn answer_for_guest(&self, asked: OwnRequest) -> OwnAnswer {
        let request = Request::builder().method(asked.method.as_str()).uri(asked.uri);
        let Ok(mut request) = request.body(bytes::Bytes::from(asked.body)) else { return OwnAnswer::none() };
        *request.headers_mut() = asked.headers.into_map();
        let certified = asked.certified.and_then(|customer| Identity::certified(&customer));
        if let Some(client) = asked.client {
            request.extensions_mut().insert(client);
        }
        if let Some(certified) = certified {
            request.extensions_mut().insert(std::sync::Arc::new(certified));
        }
        let response = self.answer_own(request).await;
        let problem = response.extensions().get::<Problem>().cloned();
        let (parts, body) = response.into_parts();
        let Ok(body) = to_bytes(body, MAX_ANSWER_BYTES).await else { return OwnAnswer::none() };
        let (status, headers) = (parts.status.as_u16(), Shown::of(&parts.headers));
        OwnAnswer { status, headers, body: body.to_vec(), problem }
    }
}

impl OwnAnswer {
    fn none() -> Self {
        let problem = Problem::new(Code::Internal, "try again");
        let status = problem.status();
        Self { status, headers: Shown::default(), body: Vec::new(), problem: Some(problem) }
    }
}
