//! Limits that customers reach become notices, each once for its period.

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::clock;
use crate::customers::{Reached, ReachedLimit};
use crate::domain::account::Mark;
use crate::domain::catalogue::Catalogue;
use crate::domain::notice::NoticeKind;
use crate::domain::period::rfc3339;
use crate::domain::tier::{Overage, Tier};
use crate::live::Live;
use crate::store::{NewNotice, Store};

use super::LOOK;

/// Notices that are written together.
const AT_ONCE: usize = 256;

/// Ends with the sender.
pub(super) async fn run(
    store: &Store,
    catalogue: &Live<Catalogue>,
    mut reached: mpsc::UnboundedReceiver<Reached>,
) {
    let mut some = Vec::new();
    while reached.recv_many(&mut some, AT_ONCE).await > 0 {
        let notices: Vec<_> = some.drain(..).map(|reached| notice(&reached, &catalogue.now())).collect();
        while let Err(error) = store.notify_unknown(notices.clone(), clock::now().seconds()).await {
            tracing::error!(%error, "notices of reached limits could not be written; it is tried again");
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn notice(reached: &Reached, catalogue: &Catalogue) -> NewNotice {
    let Reached { customer, period, .. } = reached;
    let (kind, cause, what) = match reached.limit {
        ReachedLimit::Share(Mark { meter, share, included }) => {
            let meter = &*catalogue.meter(meter).name;
            let cause = format!("quota:{customer}:{meter}:{}:{share}", period.start);
            let what = json!({ "meter": meter, "percent": share, "included": included });
            (NoticeKind::QuotaReached, cause, what)
        }
        ReachedLimit::SpendCap => {
            let cap =
                reached.tier.as_deref().and_then(cap).map(|cap| catalogue.currency.round(cap).to_string());
            let cause = format!("cap:{customer}:{}", period.start);
            let what = json!({ "cap": cap, "currency": catalogue.currency.code() });
            (NoticeKind::SpendCapReached, cause, what)
        }
    };
    NewNotice { kind, customer: Some(*customer), cause, data: data(reached, what) }
}

fn data(reached: &Reached, mut what: Value) -> Value {
    what["customer"] = json!(*reached.name);
    what["tier"] = json!(reached.tier.as_ref().map(|tier| &*tier.name));
    what["status"] = json!(reached.status);
    what["period"] = json!({ "start": rfc3339(reached.period.start), "end": rfc3339(reached.period.end) });
    what
}

fn cap(tier: &Tier) -> Option<Decimal> {
    match &tier.overage {
        Overage::Priced { cap, .. } => *cap,
        Overage::Deny => None,
    }
}
