//! Calls of our own endpoints, in process, as the session's customer.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Builder;
use axum::http::{HeaderValue, Method, Request, header};
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt;

use super::Settings;
use crate::auth::Identity;
use crate::problem::{Code, Problem};

/// More than any of their answers.
const MOST_BYTES: usize = 16 << 20;

pub(super) struct Client {
    api: Router,
    prefix: String,
    pricing: String,
}

impl Client {
    pub fn new(api: Router, settings: &Settings) -> Self {
        Self { api, prefix: settings.prefix.clone(), pricing: settings.pricing.clone() }
    }

    pub async fn get<T: DeserializeOwned>(&self, customer: &str, path: &str) -> Result<T, Problem> {
        let request = Request::builder().uri(format!("{}{path}", self.prefix));
        self.ask(Some(customer), request, Body::empty()).await
    }

    /// What is sold, to everybody.
    pub async fn pricing<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        self.ask(None, Request::builder().uri(&self.pricing), Body::empty()).await
    }

    /// `key`: the request's `Idempotency-Key`.
    pub async fn post<T: DeserializeOwned>(
        &self,
        customer: &str,
        path: &str,
        key: Option<&str>,
        body: &Value,
    ) -> Result<T, Problem> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.prefix))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            let stale = |_| Problem::new(Code::BadRequest, "this form is out of date; load the page again");
            request = request.header("idempotency-key", HeaderValue::from_str(key).map_err(stale)?);
        }
        self.ask(Some(customer), request, Body::from(body.to_string())).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        customer: Option<&str>,
        mut request: Builder,
        body: Body,
    ) -> Result<T, Problem> {
        if let Some(customer) = customer {
            let identity = Identity::visitor(customer).ok_or_else(strange)?;
            request = request.extension(Arc::new(identity));
        }
        let request = request.body(body).map_err(|_| strange())?;
        let Ok(response) = self.api.clone().oneshot(request).await;
        read(response).await
    }
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Problem> {
    if let Some(problem) = response.extensions().get::<Problem>() {
        return Err(problem.clone());
    }
    let body = to_bytes(response.into_body(), MOST_BYTES).await.map_err(|_| strange())?;
    serde_json::from_slice(&body).map_err(|error| {
        tracing::error!(%error, "an endpoint answers what the usage page cannot read");
        strange()
    })
}

fn strange() -> Problem {
    Problem::new(Code::Internal, "something went wrong here; load the page again")
}
