//! `GET|PUT|DELETE /admin/log`: how much this gateway's log tells, for a while.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock;
use crate::config;
use crate::domain::period::rfc3339;
use crate::problem::{Code, Problem};
use crate::store::Act;
use crate::telemetry::LOG;

use super::AdminState;
use super::adjust::OPERATOR;
use crate::api::Failed;
use crate::api::json::Body;

/// Where nobody says how long.
const USUAL: Duration = Duration::from_mins(15);
const LONGEST: Duration = Duration::from_hours(24);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    level: String,
    #[serde(rename = "for")]
    lasts: Option<String>,
}

pub(super) async fn show() -> Json<Value> {
    shown()
}

/// `PUT`: in force when it has been answered, and noted before.
pub(super) async fn set(
    State(state): State<AdminState>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Value>, Failed> {
    let lasts = lasts(wanted.lasts.as_deref())?;
    if wanted.level.trim().is_empty() {
        return Err(no_level(""));
    }
    let before = LOG.told().directives;
    LOG.set(&wanted.level, lasts).map_err(|error| no_level(&format!(": {error}")))?;
    note(&state, before).await?;
    Ok(shown())
}

/// `DELETE`: as usual again.
pub(super) async fn reset(State(state): State<AdminState>) -> Result<Json<Value>, Failed> {
    let before = LOG.told();
    LOG.reset();
    if before.left.is_some() {
        note(&state, before.directives).await?;
    }
    Ok(shown())
}

async fn note(state: &AdminState, before: String) -> Result<(), Failed> {
    let after = LOG.told();
    let lasts = after.left.map(|left| format!("for {} s", left.as_secs_f64().round()));
    tracing::info!(level = after.directives, "an operator has changed what the log tells");
    let act = Act {
        action: "log_level",
        detail: lasts.unwrap_or_else(|| "as usual".to_owned()),
        actor: OPERATOR,
        before: Some(before),
        after: Some(after.directives),
        ..Act::default()
    };
    Ok(state.store.note(act, clock::now().seconds()).await?)
}

fn lasts(written: Option<&str>) -> Result<Duration, Failed> {
    let Some(written) = written else { return Ok(USUAL) };
    let lasts = config::duration(written).filter(|lasts| !lasts.is_zero() && *lasts <= LONGEST);
    lasts.ok_or_else(|| {
        let detail = r#"for: write a duration of at most "24h", such as "10m""#;
        Failed(Problem::new(Code::BadRequest, detail))
    })
}

fn no_level(why: &str) -> Failed {
    let detail = format!(
        "level: write \"error\", \"warn\", \"info\", \"debug\" or \"trace\", or directives such as \
         \"info,tollgate::stripe=debug\"{why}"
    );
    Failed(Problem::new(Code::BadRequest, detail))
}

fn shown() -> Json<Value> {
    let told = LOG.told();
    let ends = told.left.map(|left| {
        let left = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        rfc3339(clock::now().seconds().saturating_add(left))
    });
    Json(json!({ "level": told.directives, "by": told.by, "ends_at": ends, "usual": told.usual }))
}
