//! Calls from pages: the configured origins and no other, without cookies; failures are shown to them as well.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::Public;
use crate::domain::origin::Origin;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, idempotency-key");
const EXPOSED: HeaderValue = HeaderValue::from_static("x-request-id, retry-after");
/// Browsers ask again after so many seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// Around all of `/billing`. A preflight carries no token.
pub(super) async fn serve(State(public): State<Public>, request: Request, next: Next) -> Response {
    let origin = allowed(request.headers(), &public.billing.cors_origins);
    let asks_first = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if origin.is_some() && asks_first { permission() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

/// The request's origin, if it is one of the configured.
fn allowed(headers: &HeaderMap, origins: &[Origin]) -> Option<HeaderValue> {
    let sent = headers.get(header::ORIGIN)?;
    let origin = Origin::parse(sent.to_str().ok()?)?;
    origins.contains(&origin).then(|| sent.clone())
}

fn permission() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
    ];
    headers.into_response()
}
