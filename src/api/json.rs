//! Bodies and lists of our own endpoints: JSON objects in, pages of rows out.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::problem::{Code, Problem};

use super::Failed;

/// A JSON object; an empty body is an empty one. A member that is not known is refused by its name, so that a
/// misspelt one is never passed over.
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failed> {
        let kind = request.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().map(is_json));
        let body = Bytes::from_request(request, state).await.map_err(|_| too_large())?;
        if body.is_empty() {
            return read(b"{}");
        }
        match kind {
            Some(Ok(true)) | None => read(&body),
            _ => {
                let detail = "send the body as application/json";
                Err(Failed(Problem::new(Code::UnsupportedMediaType, detail)))
            }
        }
    }
}

fn is_json(kind: &str) -> bool {
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn too_large() -> Failed {
    Failed(Problem::new(Code::BodyTooLarge, "the body is larger than this endpoint takes"))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<Body<T>, Failed> {
    let refuse = |detail: String| Failed(Problem::new(Code::BadRequest, detail));
    let value: Value =
        serde_json::from_slice(body).map_err(|error| refuse(format!("the body is no JSON: {error}")))?;
    if !value.is_object() {
        return Err(refuse("the body must be a JSON object".to_owned()));
    }
    serde_json::from_value(value).map(Body).map_err(|error| refuse(format!("the body is not right: {error}")))
}

/// What stands behind the `?`. What is not known there is refused by its name.
pub(super) struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failed> {
        let asked = Query::try_from_uri(&parts.uri).map(|Query(asked)| Self(asked));
        asked.map_err(|wrong| Failed(Problem::new(Code::BadRequest, wrong.body_text())))
    }
}

/// What a path names. One that is no text names nothing.
pub(super) struct Named<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(named)| Self(named))
            .map_err(|_| super::not_found())
    }
}

/// Which part of a list is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    pub limit: Option<u32>,
    /// As the list before it gave it.
    pub cursor: Option<String>,
}

const USUAL_ROWS: u32 = 100;
const MOST_ROWS: u32 = 1_000;

impl Page {
    pub fn limit(&self) -> Result<u32, Failed> {
        let limit = self.limit.unwrap_or(USUAL_ROWS);
        if (1..=MOST_ROWS).contains(&limit) {
            return Ok(limit);
        }
        Err(Failed(Problem::new(Code::BadRequest, format!("limit is a number from 1 to {MOST_ROWS}"))))
    }

    /// As a list of Stripe's takes it.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The number of the row behind which the page begins.
    pub fn after(&self) -> Result<Option<i64>, Failed> {
        let number = self.cursor.as_deref().map(str::parse).transpose();
        number.map_err(|_| Failed(Problem::new(Code::BadRequest, "cursor is the next_cursor of a list")))
    }
}

/// A page of a list from one row more than it shows: that one tells that there is more.
pub(super) fn list<T>(
    mut rows: Vec<T>,
    limit: u32,
    cursor: impl Fn(&T) -> String,
    show: impl Fn(&T) -> Value,
) -> Json<Value> {
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > shown;
    rows.truncate(shown);
    let next = rows.last().filter(|_| has_more).map(cursor);
    Json(
        json!({ "data": rows.iter().map(show).collect::<Vec<_>>(), "has_more": has_more, "next_cursor": next }),
    )
}
