//! `POST /dashboard/customer/{act}`: what forms of a customer's page ask for, handed to the admin API.

use axum::extract::{Path, State};
use axum::http::Method;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::api::Api;
use super::customer::{self, path_of};
use super::door::Sent;
use super::{Dashboard, frame};
use crate::pages::parts::layout::with_status;
use crate::problem::{Code, Problem};

pub async fn act(State(dashboard): State<Dashboard>, Path(act): Path<String>, sent: Sent) -> Response {
    let name = match sent.named("name") {
        Ok(name) => name,
        Err(problem) => return frame::problem(&sent.operator, "This was not done", "Customers", &problem),
    };
    match carry_out(&dashboard.api, &act, name, &sent).await {
        Ok(()) => frame::done(customer::PATH, &[("name", name)], &act),
        Err(problem) => {
            let top = frame::wrong(&problem);
            let page = customer::shown(&dashboard.api, &sent.operator, name, &top).await;
            with_status(page, &problem)
        }
    }
}

async fn carry_out(api: &Api, act: &str, name: &str, sent: &Sent) -> Result<(), Problem> {
    let (method, rest, body) = match act {
        "credits" => (Method::POST, "/credits", Some(credits(sent)?)),
        "override" => (Method::PUT, "/override", Some(wanted(sent)?)),
        "override-end" => (Method::DELETE, "/override", None),
        "block" => (Method::POST, "/block", Some(json!({ "reason": sent.field("block-reason") }))),
        "unblock" => (Method::POST, "/unblock", None),
        "sync" => (Method::POST, "/sync", None),
        "cache" => (Method::POST, "/cache/clear", None),
        _ => return Err(Problem::new(Code::NotFound, "these pages can do no such thing")),
    };
    let key = (act == "credits").then(|| sent.field("key")).flatten();
    api.act::<Value>(method, &path_of(name, rest), body.as_ref(), key).await.map(drop)
}

fn credits(sent: &Sent) -> Result<Value, Problem> {
    let amount = sent.named("amount")?;
    let amount: i64 = amount.parse().map_err(|_| {
        Problem::new(Code::Unprocessable, "units are a whole number; a negative one takes credits away")
    })?;
    let mut body = json!({ "amount": amount, "reason": sent.field("reason").unwrap_or_default() });
    if let Some(day) = sent.field("expires_at") {
        body["expires_at"] = json!(day);
    }
    Ok(body)
}

/// An override: what was left empty is as it is billed.
fn wanted(sent: &Sent) -> Result<Value, Problem> {
    let mut included = Map::new();
    for (meter, units) in sent.with_prefix("included:") {
        let units = match units.replace([',', '_', ' '], "") {
            word if word == "unlimited" => json!("unlimited"),
            digits => json!(digits.parse::<u64>().map_err(|_| {
                let detail = format!("included units of {meter} are a whole number, or \"unlimited\"");
                Problem::new(Code::Unprocessable, detail)
            })?),
        };
        included.insert(meter.to_owned(), units);
    }
    let mut body = json!({ "included": included, "reason": sent.field("reason").unwrap_or_default() });
    for name in ["tier", "until"] {
        if let Some(text) = sent.field(name) {
            body[name] = json!(text);
        }
    }
    Ok(body)
}
