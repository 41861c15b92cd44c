//! A problem on its way out of a handler.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::problem::{Code, Problem};
use crate::store::StoreError;

/// Travels as an extension of an empty response; whoever serves the router writes it out.
#[derive(Debug)]
pub struct Failed(pub Problem);

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed an endpoint");
        Self(Problem::new(Code::Internal, "something went wrong here; try again"))
    }
}
