//! The sample API of the demo: what a team might sell. `tollgate sample-api` is that alone.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::extract::Path;
use axum::http::{HeaderMap, header};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, print};

#[derive(clap::Args)]
pub(super) struct SampleApi {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
}

impl SampleApi {
    pub fn run(self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            let address = start(self.listen).await.with_context(|| {
                format!(
                    "cannot listen on {}; stop what uses the port, or name another with --listen",
                    self.listen
                )
            })?;
            print(&format!("sample API: http://{address}\n"))?;
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                _ = terminate.recv() => {}
                interrupted = tokio::signal::ctrl_c() => interrupted?,
            }
            Ok(())
        })
    }
}

/// Serves on the current runtime until it ends. Answers where.
pub(super) async fn start(listen: SocketAddr) -> std::io::Result<SocketAddr> {
    let router = Router::new()
        .route("/signals", get(signals))
        .route("/signals/history/{symbol}", get(history))
        .route("/export/csv", get(csv))
        .route("/export/pdf", get(pdf))
        .route("/health", get(|| async { "ok\n" }));
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// Shows what the gateway tells an API of its caller.
async fn signals(headers: HeaderMap) -> Json<Value> {
    let told = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Json(json!({
        "customer": told("x-tollgate-customer"),
        "tier": told("x-tollgate-tier"),
        "signals": [{ "symbol": "ACME", "side": "buy" }, { "symbol": "EMCA", "side": "sell" }],
    }))
}

async fn history(Path(symbol): Path<String>) -> Json<Value> {
    Json(json!({ "symbol": symbol, "closes": ["101.25", "102.50", "99.75"] }))
}

async fn csv() -> ([(header::HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "text/csv")], "symbol,side\nACME,buy\nEMCA,sell\n")
}

/// The smallest document that viewers open.
async fn pdf() -> ([(header::HeaderName, &'static str); 1], &'static str) {
    let document = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n\
        2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n\
        3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]>>endobj\n\
        trailer<</Root 1 0 R>>\n%%EOF\n";
    ([(header::CONTENT_TYPE, "application/pdf")], document)
}
