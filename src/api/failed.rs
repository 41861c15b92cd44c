//! A problem on its way out of a handler.

use axum::response::{IntoResponse, Response};

use crate::problem::{Code, Problem};
use crate::store::StoreError;

/// Travels as an extension of an empty response; whoever serves the router writes it out.
#[derive(Debug)]
pub struct Failed(pub Problem);

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let mut response = self.0.status_code().into_response();
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
