//! The dashboard as a client of the admin API: it asks the same router that the port serves.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt;

use crate::problem::{Code, Problem};

/// More is no answer to a person.
const LARGEST_ANSWER: usize = 32 << 20;

/// The admin API's router, which asks for no token and leaves problems among the response's extensions.
#[derive(Clone)]
pub struct Api(Router);

impl Api {
    pub fn new(router: Router) -> Self {
        Self(router)
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        read(&self.ask(Method::GET, path, None, None).await?)
    }

    pub async fn text(&self, path: &str) -> Result<String, Problem> {
        let body = self.ask(Method::GET, path, None, None).await?;
        String::from_utf8(body).map_err(|_| failed())
    }

    /// Does something. What is done under one `key` is done once, where the endpoint knows keys.
    pub async fn act<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<T, Problem> {
        read(&self.ask(method, path, body, key).await?)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Vec<u8>, Problem> {
        let request =
            Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        let request = key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.body(body).map_err(|_| {
            Problem::new(Code::BadRequest, "this cannot be asked for: it holds what no request can carry")
        })?;
        let Ok(mut response) = self.0.clone().oneshot(request).await;
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            return Err(problem);
        }
        let body = to_bytes(response.into_body(), LARGEST_ANSWER).await.map_err(|_| failed())?;
        Ok(body.into())
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        tracing::error!(%error, "the dashboard does not understand the admin API");
        failed()
    })
}

fn failed() -> Problem {
    Problem::new(Code::Internal, "something went wrong here; try again")
}

/// A text as a segment of a path, or as a value behind the `?`.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A path with what stands behind its `?`; what is empty is left out.
pub fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<String> = given.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_name_holds_it_stays_one_value() {
        let path = with_query("/customer", &[("name", "a/..&b=?#%\""), ("said", "")]);
        assert_eq!(path, "/customer?name=a%2F%2E%2E%26b%3D%3F%23%25%22");
        assert_eq!(with_query("/customers", &[("q", "")]), "/customers");
    }
}
