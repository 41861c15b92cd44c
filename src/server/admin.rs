//! The operator's port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::api::{Admin, AdminState, Charges, Failed};
use crate::config::Config;
use crate::gateway::Flow;
use crate::pages::dashboard;
use crate::problem::{Code, Problem};

use super::ServerError;
use super::build::Rooms;
use super::fleet::{self, Member};
use super::ports::Ports;
use super::reload::Asked;

/// Serves it until the server stops. Answers who asks for a reload there.
pub(super) fn serve(
    config: &Config,
    rooms: &Rooms,
    member: Option<&Member>,
    (flow, ports): (&Arc<Flow>, &Ports),
    started: &Arc<AtomicBool>,
    runtime: &Runtime,
    stopping: &watch::Receiver<bool>,
) -> Result<Asked, ServerError> {
    let listener = ports.open(config.server.admin_listen, std::net::TcpListener::bind)?;
    listener.set_nonblocking(true)?;
    let (reloads, asked) = mpsc::channel(1);
    let state = AdminState {
        catalogue: rooms.public.catalogue.clone(),
        charges: Arc::new(Charges::new(config.server.data_dir.clone(), rooms.ledger_id)),
        customers: rooms.customers.clone(),
        keys: rooms.key_desk.clone(),
        ledger: rooms.ledger.clone(),
        links: rooms.public.links.clone(),
        store: rooms.public.store.clone(),
        reporter: rooms.reporter.clone(),
        reconciler: rooms.reconciler.clone(),
        sync: rooms.billing.sync(),
        transport: rooms.transport.clone(),
        draining: flow.draining.clone(),
        needed: member.filter(|member| !member.degrades).map(|member| member.fleet.clone()),
        others: rooms.public.others.clone(),
        targets: rooms.notices.targets(),
        arrived: rooms.public.arrived.clone(),
        settings: rooms.admin.clone(),
        reloads,
        started: started.clone(),
        stopping: stopping.clone(),
    };
    fleet::answer(member, &state, runtime);
    let settings = rooms.admin.clone();
    let token = Arc::new(move || settings.now().token_digest);
    let pages = dashboard::router(Admin::opened(state.clone()), token, stopping.clone());
    let pages = Admin::by_our_names(pages, state.clone());
    let router = Admin::router(state)
        .merge(pages)
        .layer(middleware::from_fn_with_state(flow.clone(), unless_elsewhere));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let mut stopping = stopping.clone();
    let _guard = runtime.enter();
    let listener = TcpListener::from_std(listener)?;
    runtime.spawn(async move {
        let served = axum::serve(listener, service).with_graceful_shutdown(async move {
            // An error means that the server is gone, which ends this too.
            let _ = stopping.wait_for(|stop| *stop).await;
        });
        if let Err(error) = served.await {
            tracing::error!(%error, "the admin port failed");
        }
    });
    Ok(asked)
}

/// What comes on a kept connection when another process has taken this one's place is to be asked of that one.
async fn unless_elsewhere(State(flow): State<Arc<Flow>>, request: Request, next: Next) -> Response {
    if let Ok(_own) = flow.books.begin_own().await {
        return next.run(request).await;
    }
    let detail = "this gateway has been replaced by another process; connect again";
    Failed(Problem::new(Code::Draining, detail)).into_response()
}
