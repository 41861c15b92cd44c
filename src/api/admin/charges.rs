//! `GET /admin/customers/{id}/charges`: the latest requests that a customer was charged for, from the ledger.
//!
//! Reading segments takes time and memory: it is done by one thread at once, which gives way to the requests, and for
//! so many bytes at most. `tollgate explain` tells more of one request, `tollgate ledger export` shows all.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, oneshot};
use uuid::Uuid;

use crate::domain::methods;
use crate::domain::period::rfc3339;
use crate::ledger::{Charged, Disk, Kind, Latest, LedgerId, RecordDraw, Survey};
use crate::priority;
use crate::problem::{Code, Problem};

use super::AdminState;
use super::customer::Named;
use crate::api::Failed;
use crate::api::fleet::{Question, Told, of_node, with_missing};
use crate::api::json::{Asked, Page};

/// Four segments, or some two million charges.
pub(super) const READ_AT_MOST: u64 = 256 << 20;

/// The ledger, to be read beside those who write it.
pub struct Charges {
    data_dir: PathBuf,
    folder: PathBuf,
    ledger: LedgerId,
    one_at_a_time: Arc<Mutex<()>>,
}

impl Charges {
    pub fn new(data_dir: PathBuf, ledger: LedgerId) -> Self {
        Self { folder: data_dir.join("ledger"), data_dir, ledger, one_at_a_time: Arc::default() }
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// Reads with a thread of its own, after whoever reads already.
    pub(super) async fn beside<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<T> {
        let turn = self.one_at_a_time.clone().lock_owned().await;
        let (tell, told) = oneshot::channel();
        std::thread::Builder::new().name("charges".to_owned()).spawn(move || {
            priority::give_way();
            // Whoever asked may have gone.
            let _ = tell.send(read());
            drop(turn);
        })?;
        told.await.map_err(std::io::Error::other)
    }

    async fn latest(&self, customer: u32, limit: usize) -> std::io::Result<Latest> {
        let (folder, ledger) = (self.folder.clone(), self.ledger);
        let read = move || {
            let disk = Arc::new(Disk::open_read_only(folder)?);
            Survey::new(disk, ledger)?.latest(customer, limit, READ_AT_MOST)
        };
        self.beside(read).await?
    }
}

pub(super) async fn list(
    State(state): State<AdminState>,
    Named(customer): Named,
    Asked(page): Asked<Page>,
) -> Result<Json<Value>, Failed> {
    if page.cursor.is_some() {
        return Err(Failed(Problem::new(
            Code::BadRequest,
            "charges have no cursor: ask for more with limit",
        )));
    }
    let limit = page.limit()?;
    let (own, told) = tokio::join!(
        latest(&state, customer.number, limit, state.others.node()),
        state.others.ask::<Shown>(Question::Charges { customer: customer.name.clone(), limit }),
    );
    let missing = told.as_ref().map(|told| told.missing.clone());
    let Shown { rows, complete } = merge(own?, told.into_iter().flat_map(Told::into_answers), limit);
    let list = json!({ "data": rows, "has_more": !complete, "next_cursor": null });
    Ok(Json(with_missing(list, missing.as_deref())))
}

/// The latest charges of one node or of several, as they are shown, the latest first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Shown {
    rows: Vec<Value>,
    /// False: there may be earlier ones, which were not looked for.
    complete: bool,
}

/// Nobody was charged.
impl Default for Shown {
    fn default() -> Self {
        Self { rows: Vec::new(), complete: true }
    }
}

/// This node's. `node` is its name in a fleet.
pub(super) async fn latest(
    state: &AdminState,
    customer: u32,
    limit: u32,
    node: Option<&str>,
) -> Result<Shown, Failed> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let latest = state.charges.latest(customer, limit).await.map_err(|error| {
        tracing::error!(%error, "the ledger could not be read");
        Problem::new(Code::Internal, "the ledger could not be read")
    })?;
    let names = state.store.numbered_names(numbers(&latest)).await?;
    let rows = latest.charges.iter().map(|charged| of_node(shown(charged, &names), node)).collect();
    Ok(Shown { rows, complete: latest.complete })
}

fn merge(own: Shown, others: impl Iterator<Item = Shown>, limit: u32) -> Shown {
    let all = others.fold(own, |mut all, other| {
        all.rows.extend(other.rows);
        Shown { complete: all.complete && other.complete, ..all }
    });
    let Shown { mut rows, complete } = all;
    // Instants of one form compare as texts.
    rows.sort_by(|one, other| other["at"].as_str().cmp(&one["at"].as_str()));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let complete = complete && rows.len() <= limit;
    rows.truncate(limit);
    Shown { rows, complete }
}

/// Of all names that are shown.
fn numbers(latest: &Latest) -> Vec<u32> {
    let mut numbers: Vec<u32> = latest
        .charges
        .iter()
        .flat_map(|Charged { record, .. }| {
            let meters = record.draws.iter().map(|draw| draw.meter);
            meters.chain([record.member, record.route, record.tier])
        })
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn shown(charged: &Charged, names: &HashMap<u32, String>) -> Value {
    let Charged { record, segment, corrections } = charged;
    let by_meter = |value: &dyn Fn(&RecordDraw) -> Value| -> Map<String, Value> {
        let meter =
            |draw: &RecordDraw| names.get(&draw.meter).cloned().unwrap_or_else(|| format!("#{}", draw.meter));
        record.draws.iter().map(|draw| (meter(draw), value(draw))).collect()
    };
    let corrected_by = |meter: u32| -> i64 {
        let draws = corrections.iter().flat_map(|correction| &correction.draws);
        draws.filter(|draw| draw.meter == meter).map(RecordDraw::units).sum()
    };
    let foreign = record.foreign_request.as_deref().map(|id| String::from_utf8_lossy(id).into_owned());
    json!({
        "request_id": Uuid::from_bytes(record.request).to_string(),
        "foreign_request_id": foreign,
        "at": instant(record.at_micros),
        "kind": match record.kind {
            _ if record.is_repeat() => "repeat",
            Kind::Estimate => "estimate",
            Kind::Charge | Kind::Slice { .. } | Kind::Correction { .. } => "charge",
        },
        "member": names.get(&record.member),
        "route": names.get(&record.route),
        "method": methods::name(record.method),
        "status": record.status,
        "tier": names.get(&record.tier),
        "cost": by_meter(&|draw| json!(draw.units())),
        "drawn": by_meter(&drawn),
        "period": { "start": rfc3339(record.period.start), "end": rfc3339(record.period.end) },
        "corrected": corrections.last().map(|last| json!({
            "at": instant(last.at_micros),
            "cost": by_meter(&|draw| json!(draw.units() + corrected_by(draw.meter))),
        })),
        "record": { "number": record.number, "segment": segment },
    })
}

/// What nothing paid for is said where there is any.
fn drawn(draw: &RecordDraw) -> Value {
    let RecordDraw { included, extra, credits, overage, uncovered, .. } = draw;
    let mut drawn = json!({ "included": included, "extra": extra, "credits": credits, "overage": overage });
    if *uncovered != 0 {
        drawn["uncovered"] = json!(uncovered);
    }
    drawn
}

/// To the microsecond, as the ledger has it.
fn instant(micros: i64) -> String {
    let at = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
