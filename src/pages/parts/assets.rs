//! Style, script and icon, in the binary. Their path changes with their content, so that browsers keep them for good.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use super::layout;
use crate::problem::{Code, Problem};

/// Name, media type and content.
const FILES: [(&str, &str, &str); 3] = [
    ("style.css", "text/css; charset=utf-8", include_str!("style.css")),
    ("script.js", "text/javascript; charset=utf-8", include_str!("script.js")),
    ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

/// A year: as long as browsers keep anything.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all = FILES.iter().fold(Sha256::new(), |all, (_, _, content)| all.chain_update(content));
    all.finalize().iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
});

/// Where a file lies below the pages' own path.
pub fn path(base: &str, file: &str) -> String {
    format!("{base}/static/{}/{file}", *VERSION)
}

/// `/static/{version}/{file}`, to be nested where the pages are.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/static/{version}/{file}", get(file))
}

async fn file(Path((version, name)): Path<(String, String)>) -> Response {
    let found = FILES.iter().find(|(known, ..)| version == *VERSION && *known == name);
    let Some((_, kind, content)) = found else {
        return layout::bare_problem(&Problem::new(Code::NotFound, "there is nothing under this path"));
    };
    ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, FOR_GOOD)], *content).into_response()
}
