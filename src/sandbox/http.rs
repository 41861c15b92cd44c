//! HTTP in, HTTP out: headers, bodies and status codes. What they mean is decided elsewhere.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

use super::checkout_pay::{Bank, Payment};
use super::connection::Line;
use super::error::ApiError;
use super::params::Params;
use super::service::{Answer, Outcome, Request, Service};
use super::{API_VERSION, checkout_page, checkout_pay, route};

const MAX_KEY: usize = 255;
const HTML: &str = "text/html; charset=utf-8";

type Shared = State<Arc<Service>>;

pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/checkout/{id}", get(show_checkout))
        .route("/checkout/{id}/pay", post(pay_checkout))
        .route("/checkout/{id}/decline", post(decline_checkout))
        .fallback(dispatch)
        .with_state(service)
}

async fn dispatch(
    State(service): Shared,
    ConnectInfo(line): ConnectInfo<Line>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path();
    if let Some(below) = path.strip_prefix("/_sandbox/") {
        let answer = match (route::hook(method.as_str(), below), hook_params(&headers, &uri, &body)) {
            (Some(route), Ok(params)) => service.run_hook(&route, &params),
            (None, _) => ApiError::unknown_url(method.as_str(), path).into(),
            (_, Err(error)) => error.into(),
        };
        return respond(&service, &headers, answer);
    }
    let outcome = match call(&service, &method, &uri, &headers, &body).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Answer(error.into()),
    };
    match outcome {
        Outcome::Answer(answer) => respond(&service, &headers, answer),
        Outcome::Html(status) => {
            page(status, "<html><body>Injected by the sandbox.</body></html>".to_owned())
        }
        Outcome::HangUp => {
            line.hang_up();
            Response::new(Body::empty())
        }
    }
}

async fn call(
    service: &Service,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Outcome, ApiError> {
    if !has_key(headers) {
        return Err(ApiError::unauthorized());
    }
    service.admit()?;
    let path = uri.path();
    let first = path.strip_prefix("/v1/").and_then(|below| route::api(method.as_str(), below));
    let second = || path.strip_prefix("/v2/").and_then(|below| route::second_api(method.as_str(), below));
    let route = first.or_else(second);
    let route = route.ok_or_else(|| ApiError::unknown_url(method.as_str(), path))?;
    let raw = raw_params(uri, body)?;
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    if key.is_some_and(|key| key.len() > MAX_KEY) {
        let message = "Idempotency-Key must be at most 255 characters.";
        return Err(ApiError::parameter("idempotency_key", "parameter_invalid", message));
    }
    let request = Request {
        method: method.as_str(),
        path,
        params: Params::decode(&raw)?,
        raw: raw.as_bytes(),
        idempotency_key: key,
    };
    Ok(service.run(&route, &request).await)
}

/// Any secret key opens the sandbox, as a Bearer token or as the user of Basic authentication.
fn has_key(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => is_key(token.trim().as_bytes()),
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("basic") => {
            let user = STANDARD.decode(token.trim()).unwrap_or_default();
            is_key(&user)
        }
        _ => false,
    }
}

/// A restricted key may do everything here.
fn is_key(key: &[u8]) -> bool {
    key.starts_with(b"sk_") || key.starts_with(b"rk_")
}

/// Query and body as one form.
fn raw_params(uri: &Uri, body: &Bytes) -> Result<String, ApiError> {
    let body = std::str::from_utf8(body)
        .map_err(|_| ApiError::parameter("", "parameter_invalid", "Invalid request body: not UTF-8."))?;
    Ok(format!("{}&{body}", uri.query().unwrap_or_default()))
}

fn hook_params(headers: &HeaderMap, uri: &Uri, body: &Bytes) -> Result<Params, ApiError> {
    let json = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !json.is_some_and(|value| value.starts_with("application/json")) {
        return Params::decode(&raw_params(uri, body)?);
    }
    let value = serde_json::from_slice(body)
        .map_err(|error| ApiError::parameter("", "parameter_invalid", format!("Invalid JSON: {error}")))?;
    Ok(Params::from_json(&value))
}

fn respond(service: &Service, asked: &HeaderMap, answer: Answer) -> Response {
    let request_id = service.with(|state, _| state.ids.make("req"));
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert("request-id", id);
    }
    let version = asked.get("stripe-version").cloned();
    headers.insert("stripe-version", version.unwrap_or(HeaderValue::from_static(API_VERSION)));
    if let Some(key) = asked.get("idempotency-key") {
        headers.insert("idempotency-key", key.clone());
    }
    if answer.replayed {
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    let error = answer.error.as_ref();
    if let Some(retry) = error.and_then(|error| error.should_retry) {
        let retry = if retry { "true" } else { "false" };
        headers.insert("stripe-should-retry", HeaderValue::from_static(retry));
    }
    if let Some(reason) = error.and_then(|error| error.limited_by) {
        headers.insert("stripe-rate-limited-reason", HeaderValue::from_static(reason));
    }
    response
}

async fn show_checkout(State(service): Shared, Path(id): Path<String>) -> Response {
    checkout(&service, &id, 200, None)
}

/// The page of a checkout session.
fn checkout(service: &Service, id: &str, status: u16, alert: Option<&str>) -> Response {
    let rendered = service.with(|state, _| {
        let session = state.sessions.find(id)?;
        Ok::<_, ApiError>(checkout_page::render(state, session, alert))
    });
    match rendered {
        Ok(html) => page(status, html),
        Err(error) => page(error.status, checkout_page::problem(&error.message)),
    }
}

async fn pay_checkout(State(service): Shared, Path(id): Path<String>) -> Response {
    press(&service, &id, Bank::Pays)
}

async fn decline_checkout(State(service): Shared, Path(id): Path<String>) -> Response {
    press(&service, &id, Bank::Declines)
}

/// One of the buttons of a checkout page.
fn press(service: &Service, id: &str, bank: Bank) -> Response {
    let payment = Payment { bank, ..Payment::default() };
    match service.with(|state, now| checkout_pay::pay(state, now, id, payment)) {
        Ok(back) => match HeaderValue::from_str(&back) {
            Ok(back) => (StatusCode::SEE_OTHER, [(LOCATION, back)]).into_response(),
            Err(_) => page(500, checkout_page::problem("The shop's address cannot be followed.")),
        },
        Err(error) if error.is_decline() => checkout(service, id, error.status, Some(&error.message)),
        Err(error) => page(error.status, checkout_page::problem(&error.message)),
    }
}

fn page(status: u16, html: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    let headers =
        [("content-type", HTML), ("content-security-policy", policy), ("cache-control", "no-store")];
    (status, headers, html).into_response()
}
