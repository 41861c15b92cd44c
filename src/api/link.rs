//! Links to the usage page, as the customer's token or an operator's asks for them.

use axum::Json;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::billing::{LinkError, Links};
use crate::customers::Entry;
use crate::domain::origin::Origin;
use crate::domain::period::rfc3339;

use super::{Failed, return_url};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Where the page's link back to the app leads.
    return_url: Option<String>,
}

/// `{"url","expires_at"}`.
pub(super) async fn made(
    links: &Links,
    entry: &Entry,
    asked: Asked,
    origins: &[Origin],
) -> Result<Json<Value>, Failed> {
    let return_url =
        asked.return_url.map(|url| return_url::checked("return_url", &url, origins)).transpose()?;
    let link = links.make(entry, return_url).await.map_err(LinkError::problem)?;
    Ok(Json(json!({ "url": link.url, "expires_at": rfc3339(link.expires_at) })))
}
