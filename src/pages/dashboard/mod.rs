//! The operator's pages, on the admin port below `/dashboard`: what `/admin` shows and does, for a person.
//!
//! - Whoever has shown the admin token holds a cookie that opens these pages and nothing else ([`door`]).
//! - Every page asks the admin API in process ([`api`]) and draws the answer; every act is a form that is sent with its
//!   session's token, answered by a redirect to the page that shows what came of it.
//! - The overview is live where a script runs ([`live`]).

mod acts;
mod answers;
mod api;
mod audit;
mod catalogue;
mod charge;
mod customer;
mod customers;
mod door;
mod figures;
mod frame;
mod listing;
mod live;
mod outbox;
mod overview;
mod receipt;
mod reconcile;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::Redirect;
use axum::routing::{get, post};
use tokio::sync::{Semaphore, watch};

use super::parts::{assets, headers};
use api::Api;
use door::Door;

pub use door::TokenDigest;
pub use frame::BASE;

/// What the dashboard reaches.
#[derive(Clone)]
struct Dashboard {
    api: Api,
    door: Arc<Door>,
    /// Overviews that are kept live at once.
    watchers: Arc<Semaphore>,
    /// True once the gateway stops: streams end.
    stopping: watch::Receiver<bool>,
}

/// Each costs a little every few seconds.
const MOST_WATCHERS: usize = 32;
/// No form of ours is larger.
const LARGEST_FORM: usize = 64 << 10;

/// The router of `/` and `/dashboard`. `admin` is the admin API for those who have been let in, and `token` tells the
/// digest of the admin token as it is configured at the moment. Requests must carry the address they come from
/// ([`axum::extract::ConnectInfo`]).
pub fn router(admin: Router, token: TokenDigest, stopping: watch::Receiver<bool>) -> Router {
    let state = Dashboard {
        api: Api::new(admin),
        door: Arc::new(Door::new(token)),
        watchers: Arc::new(Semaphore::new(MOST_WATCHERS)),
        stopping,
    };
    let pages = Router::new()
        .route("/", get(overview::page))
        .route("/live", get(live::stream))
        .route("/sign-in", get(door::page).post(door::sign_in))
        .route("/sign-out", post(door::sign_out))
        .route("/customers", get(customers::page))
        .route("/customer", get(customer::page))
        .route("/customer/receipt", get(receipt::page))
        .route("/customer/{act}", post(acts::act))
        .route("/charge", get(charge::page))
        .route("/tiers", get(catalogue::page))
        .route("/webhooks", get(webhooks::list))
        .route("/webhook", get(webhooks::one))
        .route("/webhook/replay", post(webhooks::replay))
        .route("/outbox", get(outbox::page))
        .route("/outbox/flush", post(outbox::flush))
        .route("/outbox/retry", post(outbox::retry))
        .route("/reconcile", get(reconcile::page).post(reconcile::run))
        .route("/audit", get(audit::page))
        .merge(assets::routes())
        .fallback(frame::unknown);
    Router::new()
        .route("/", get(|| async { Redirect::to(BASE) }))
        .nest(BASE, pages)
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
        .layer(middleware::from_fn(headers::secure))
        .with_state(state)
}
