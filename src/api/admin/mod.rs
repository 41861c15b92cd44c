//! The operator's port: metrics, health, and what an operator can see and correct.
//!
//! A customer in a path is named as tokens name them; one that nobody has heard of is 404, and never made. What
//! changes a customer leaves an audit row, and is in force when it has been answered; it is done whole, even if nobody
//! waits for the answer any more.

mod adjust;
mod answers;
mod audit;
mod catalogue;
mod charges;
mod credits;
mod customer;
mod customers;
mod events;
mod health;
mod hosts;
mod keys;
mod link;
mod log;
mod notices;
mod outbox;
mod people;
mod receipts;
mod reconcile;
mod reload;
mod stats;
mod sync;
mod usage;
mod webhooks;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};

use crate::billing::{Links, Sync};
use crate::customers::Customers;
use crate::domain::catalogue::Catalogue;
use crate::domain::origin::Origin;
use crate::fleet::Fleet;
use crate::ledger::Ledger;
use crate::live::Live;
use crate::problem::{Code, Problem};
use crate::reporting::{Reconciler, Reporter};
use crate::seal::Sealer;
use crate::store::Store;
use crate::stripe::Transport;

use super::{Failed, Others, not_found, only};

pub use answers::answer_others;
pub use charges::Charges;
pub use keys::{KeyDesk, MadeKey, WantedKey, WantedRotation, key_json};
pub use outbox::waiting_event_json;
pub use reload::{Reloaded, Reloads};

/// What the operator's endpoints reach.
#[derive(Clone)]
pub struct AdminState {
    pub catalogue: Arc<Live<Catalogue>>,
    pub charges: Arc<Charges>,
    pub customers: Arc<Customers>,
    pub keys: Arc<Live<KeyDesk>>,
    pub ledger: Arc<Ledger>,
    /// To the usage page.
    pub links: Arc<Links>,
    pub store: Arc<Store>,
    pub reporter: Arc<Reporter>,
    pub reconciler: Arc<Reconciler>,
    pub sync: Arc<Sync>,
    pub transport: Arc<Transport>,
    pub draining: Arc<AtomicBool>,
    /// The fleet, where nothing is served without it.
    pub needed: Option<Arc<Fleet>>,
    pub others: Others,
    /// The names of those who are told what happens.
    pub targets: Arc<[String]>,
    /// Told when a webhook is to be applied again.
    pub arrived: Arc<Notify>,
    pub settings: Arc<Live<AdminSettings>>,
    /// Reads the configuration again.
    pub reloads: Reloads,
    /// False until everything serves.
    pub started: Arc<AtomicBool>,
    /// True once the gateway stops: streams end.
    pub stopping: watch::Receiver<bool>,
}

/// What guards the operator's port.
pub struct AdminSettings {
    /// Names under which the port may be asked, in lower case, beside those that [`hosts`] always takes.
    pub hosts: Vec<String>,
    /// Opens the payloads of webhooks.
    pub sealer: Option<Arc<Sealer>>,
    /// SHA-256 of the admin token; without one `/admin/*` is closed.
    pub token_digest: Option<[u8; 32]>,
    /// Where customers may be sent back to.
    pub return_origins: Vec<Origin>,
}

/// The router of the admin port.
pub struct Admin;

impl Admin {
    pub fn digest(token: &str) -> [u8; 32] {
        Sha256::digest(token.as_bytes()).into()
    }

    pub fn router(state: AdminState) -> Router {
        let closed = acts().layer(middleware::from_fn_with_state(state.clone(), authorize));
        let closed = closed.layer(middleware::from_fn_with_state(state.clone(), hosts::check));
        with_probes(closed).with_state(state).layer(middleware::map_response(render))
    }

    /// Has every path of a router answer to names that are known to be ours alone.
    pub fn by_our_names(router: Router, state: AdminState) -> Router {
        router
            .layer(middleware::from_fn_with_state(state, hosts::check))
            .layer(middleware::map_response(render))
    }

    /// The router for those who have been let in already: nothing asks for a token. A failure is a [`Problem`] among
    /// the response's extensions.
    pub fn opened(state: AdminState) -> Router {
        with_probes(acts()).with_state(state)
    }
}

/// What needs no token, and `/admin`.
fn with_probes(acts: Router<AdminState>) -> Router<AdminState> {
    Router::new()
        .route("/metrics", get(health::metrics).fallback(|| async { only("GET, HEAD") }))
        .route("/healthz", get(|| async { "ok\n" }).fallback(|| async { only("GET, HEAD") }))
        .route("/readyz", get(health::ready).fallback(|| async { only("GET, HEAD") }))
        .route("/health/billing", get(health::billing).fallback(|| async { only("GET, HEAD") }))
        .nest("/admin", acts)
        .fallback(|| async { not_found() })
}

/// `/admin`, without what guards it.
fn acts() -> Router<AdminState> {
    Router::new()
        .route("/audit", get(audit::list).fallback(|| async { only("GET, HEAD") }))
        .route("/cache/clear", post(adjust::clear_all).fallback(|| async { only("POST") }))
        .route("/catalogue", get(catalogue::catalogue).fallback(|| async { only("GET, HEAD") }))
        .merge(customers())
        .merge(keys::routes())
        .route("/events", get(events::events).fallback(|| async { only("GET, HEAD") }))
        .route(
            "/log",
            get(log::show)
                .put(log::set)
                .delete(log::reset)
                .fallback(|| async { only("GET, HEAD, PUT, DELETE") }),
        )
        .route("/notices", get(notices::log).fallback(|| async { only("GET, HEAD") }))
        .route("/notices/retry", post(notices::retry_all).fallback(|| async { only("POST") }))
        .route("/notices/{id}/{target}/retry", post(notices::retry).fallback(|| async { only("POST") }))
        .route("/outbox", get(outbox::list).fallback(|| async { only("GET, HEAD") }))
        .route("/outbox/{identifier}/retry", post(outbox::retry).fallback(|| async { only("POST") }))
        .route("/outbox/flush", post(outbox::flush).fallback(|| async { only("POST") }))
        .route("/receipts/{request_id}", get(receipts::receipt).fallback(|| async { only("GET, HEAD") }))
        .route("/reconcile", post(reconcile::reconcile).fallback(|| async { only("POST") }))
        .route("/reload", post(reload::reload).fallback(|| async { only("POST") }))
        .route("/stats", get(stats::stats).fallback(|| async { only("GET, HEAD") }))
        .route("/sync", get(sync::progress).post(sync::all).fallback(|| async { only("GET, HEAD, POST") }))
        .nest("/webhooks", webhooks::routes())
        .fallback(|| async { not_found() })
        .layer(middleware::from_fn(carry_out))
}

/// `/admin/customers`.
fn customers() -> Router<AdminState> {
    let of_one = Router::new()
        .route(
            "/",
            get(customer::show).delete(people::erase).fallback(|| async { only("GET, HEAD, DELETE") }),
        )
        .route("/block", post(adjust::block).fallback(|| async { only("POST") }))
        .route("/cache/clear", post(adjust::clear).fallback(|| async { only("POST") }))
        .route("/charges", get(charges::list).fallback(|| async { only("GET, HEAD") }))
        .route(
            "/credits",
            get(credits::history).post(credits::change).fallback(|| async { only("GET, HEAD, POST") }),
        )
        .route("/export", get(people::export).fallback(|| async { only("GET, HEAD") }))
        .route("/link", post(link::link).fallback(|| async { only("POST") }))
        .route(
            "/override",
            put(adjust::set).delete(adjust::take_back).fallback(|| async { only("PUT, DELETE") }),
        )
        .route("/sync", post(sync::customer).fallback(|| async { only("POST") }))
        .route("/unblock", post(adjust::unblock).fallback(|| async { only("POST") }))
        .route("/usage", get(usage::usage).fallback(|| async { only("GET, HEAD") }));
    Router::new()
        .route("/customers", get(customers::list).fallback(|| async { only("GET, HEAD") }))
        .nest("/customers/{id}", of_one)
}

/// Checked before method, route and body. Digests are compared, so that timing tells nothing of the token.
async fn authorize(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = sent
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let expected = state.settings.now().token_digest;
    match token {
        Some((_, token)) if expected.is_some_and(|digest| digest == Admin::digest(token.trim())) => {
            next.run(request).await
        }
        Some(_) => Failed(Problem::new(Code::TokenInvalid, "send the admin token of the configuration"))
            .into_response(),
        None => {
            Failed(Problem::new(Code::TokenMissing, "send the admin token as a bearer token")).into_response()
        }
    }
}

/// What changes something is done whole.
async fn carry_out(request: Request, next: Next) -> Response {
    let is_act = !request.method().is_safe();
    let answer = next.run(request);
    if is_act { whole(answer).await } else { answer.await }
}

/// Carries an act out to its end, even if whoever asked for it goes: what is stored is put into force.
async fn whole(act: impl Future<Output = Response> + Send + 'static) -> Response {
    tokio::spawn(act).await.unwrap_or_else(|error| {
        tracing::error!(%error, "an operator's act broke off");
        Failed(Problem::new(Code::Internal, "something went wrong here; try again")).into_response()
    })
}

/// Writes out the problems of handlers.
async fn render(response: Response) -> Response {
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    let status = response.status();
    let headers: [(HeaderName, Option<String>); 4] = [
        (header::CONTENT_TYPE, Some("application/problem+json".to_owned())),
        (header::WWW_AUTHENTICATE, problem.www_authenticate().map(str::to_owned)),
        (header::ALLOW, problem.allow.clone()),
        (header::RETRY_AFTER, problem.retry_after.map(|seconds| seconds.to_string())),
    ];
    let request_id = uuid::Uuid::new_v4().to_string();
    let mut rendered = (status, problem.body(&request_id)).into_response();
    for (name, value) in headers {
        if let Some(value) = value.and_then(|value| value.parse().ok()) {
            rendered.headers_mut().insert(name, value);
        }
    }
    rendered
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_act_is_carried_out_whole_when_whoever_asked_goes() {
        let (began, go, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let steps = (began.clone(), go.clone(), done.clone());
        let asked = tokio::spawn(whole(async move {
            steps.0.notify_one();
            steps.1.notified().await;
            steps.2.notify_one();
            Response::default()
        }));
        began.notified().await;
        asked.abort();
        assert!(asked.await.is_err_and(|error| error.is_cancelled()));
        go.notify_one();
        tokio::time::timeout(Duration::from_secs(10), done.notified()).await.expect("it is carried out");
    }
}
