//! `GET /admin/receipts/{request_id}`: why one request was charged, as `tollgate explain --json` tells it.
//!
//! The id is the one that our answers carry; those that proxies sent, which every segment must be searched for, are for
//! the command. What had been used before is told as far as it can be read in a moment.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use crate::domain::catalogue::Report;
use crate::ledger::{Disk, Survey};
use crate::problem::{Code, Problem};
use crate::reporting::{ReceiptBooks, ReceiptError, receipt_json};
use crate::store::StoreReader;

use super::AdminState;
use super::charges::{Charges, READ_AT_MOST};
use crate::api::Failed;
use crate::api::fleet::Question;
use crate::api::json::Named;

const NONE: &str = "there is no record of this request: it was refused, failed upstream, cost nothing, or is older \
                    than ledger.retention";

pub(super) async fn receipt(
    State(state): State<AdminState>,
    Named(id): Named<String>,
) -> Result<Json<Value>, Failed> {
    Ok(Json(match here(&state, id.clone()).await? {
        Some(receipt) => receipt,
        None => state.others.find(Question::Receipt { id }, NONE).await?,
    }))
}

/// Of a request that this node served.
pub(super) async fn here(state: &AdminState, id: String) -> Result<Option<Value>, Failed> {
    let report = state.catalogue.now().report;
    let node = state.others.node().map(str::to_owned);
    let charges = state.charges.clone();
    let read = state.charges.beside(move || read(&charges, &id, report, node.as_deref())).await;
    read.map_err(ReceiptError::Ledger).flatten().map_err(|error| {
        tracing::error!(%error, "a receipt could not be read");
        Failed(Problem::new(Code::Internal, "the ledger could not be read"))
    })
}

fn read(
    charges: &Charges,
    id: &str,
    report: Report,
    node: Option<&str>,
) -> Result<Option<Value>, ReceiptError> {
    let store = StoreReader::open(charges.data_dir())?;
    let survey = Survey::new(Arc::new(Disk::open_read_only(charges.folder())?), charges.ledger())?;
    let books = ReceiptBooks {
        store: &store,
        survey: &survey,
        report,
        node,
        most_bytes: Some(READ_AT_MOST),
        foreign: false,
        progress: &|_| (),
    };
    Ok(books.receipt(id)?.as_ref().map(receipt_json))
}
