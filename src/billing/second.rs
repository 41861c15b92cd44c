//! Two subscriptions at once that give a tier: the customer pays for one of them for nothing. Operators are told once
//! for each pair or more of them; none is canceled from here, since nobody here knows which one was meant.

use serde_json::json;

use crate::clock;
use crate::domain::catalogue::Catalogue;
use crate::domain::notice::NoticeKind;
use crate::domain::subscription::{Facts, Subscription};
use crate::store::{Act, CustomerRow, NewNotice, State, Store, StoreError};

/// Looks at what is known of a Stripe customer, who stands for one of ours.
pub(super) async fn tell(
    store: &Store,
    catalogue: &Catalogue,
    stripe_customer: &str,
    row: &CustomerRow,
    state: &State,
) -> Result<(), StoreError> {
    let known = store.subscriptions_of(stripe_customer.to_owned()).await?;
    let paid = paid_at_once(&known, catalogue);
    if paid.len() < 2 {
        return Ok(());
    }
    let ids = paid.join(", ");
    let data = json!({
        "customer": row.name,
        "tier": state.tier,
        "status": state.status,
        "subscriptions": paid,
    });
    let notice = NewNotice {
        kind: NoticeKind::SubscriptionSecond,
        customer: Some(row.number),
        cause: format!("second:{}:{ids}", row.number),
        data,
    };
    let act = Act {
        action: "second_subscription",
        customer: Some(row.number),
        detail: format!("{ids}: only the one with the highest tier counts"),
        actor: "stripe",
        ..Act::default()
    };
    if store.alert(notice, act, clock::now().seconds()).await? {
        tracing::warn!(
            stripe_customer,
            subscriptions = ids,
            "a customer pays for more than one subscription"
        );
    }
    Ok(())
}

/// The ids of those that give a tier, in order.
fn paid_at_once<'a>(known: &'a [Facts], catalogue: &Catalogue) -> Vec<&'a str> {
    let gives_a_tier =
        |facts: &&Facts| facts.status.entitles() && Subscription::read(facts, catalogue).tier.is_some();
    known.iter().filter(gives_a_tier).map(|facts| facts.id.as_str()).collect()
}
