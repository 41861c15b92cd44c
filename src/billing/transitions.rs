//! What others are told when a customer's tier or status has changed.

use serde_json::{Value, json};

use crate::clock;
use crate::customers::{Customers, Position};
use crate::domain::notice::NoticeKind;
use crate::domain::period::rfc3339;
use crate::domain::subscription::Status;
use crate::news;
use crate::store::{CustomerRow, NewNotice, State, StateChange, Store, StoreError};

/// What a customer has now.
pub struct Noted {
    pub state: State,
    /// It was another one before.
    pub changed: bool,
}

/// Keeps what has become of one customer, and tells of it, unless another handler does.
pub async fn note_state(
    store: &Store,
    customers: &Customers,
    row: CustomerRow,
    shadow: bool,
) -> Result<Noted, StoreError> {
    let CustomerRow { number, name, .. } = row;
    let now = clock::now();
    let position = customers.position(&name, now).await?;
    let tier = position.tier.as_ref().map(|tier| tier.name.to_string());
    let state = State { tier, status: position.status() };
    let called = name.clone();
    let tell = move |change: &StateChange| {
        if shadow { Vec::new() } else { notices(change, &called, &position) }
    };
    let default_tier = customers.default_tier().map(|tier| tier.name.to_string());
    let change = store.note_state(number, state.clone(), default_tier, tell, now.seconds()).await?;
    if let Some(change) = &change {
        tell_now(change, &name, now.seconds());
    }
    Ok(Noted { state, changed: change.is_some() })
}

/// The notices of one change; none for a change that concerns nobody.
fn notices(change: &StateChange, customer: &str, position: &Position) -> Vec<NewNotice> {
    let data = data(change, customer, position);
    let notice = |kind: NoticeKind| NewNotice {
        kind,
        customer: Some(change.customer),
        cause: format!("state:{}:{}", change.id, kind.as_str()),
        data: data.clone(),
    };
    let changed = (change.from_tier != change.to.tier).then(|| notice(NoticeKind::TierChanged));
    let past_due = Status::PastDue.as_str();
    let begins = position.in_grace && change.from_status != past_due;
    let grace = begins.then(|| notice(NoticeKind::GraceStarted));
    changed.into_iter().chain(grace).collect()
}

/// For those who watch: every change of a tier, as it happens.
fn tell_now(change: &StateChange, customer: &str, now: i64) {
    if change.from_tier != change.to.tier {
        news::tell("tier.changed", || {
            json!({
                "at": rfc3339(now),
                "customer": customer,
                "from": change.from_tier,
                "to": change.to.tier,
                "status": change.to.status,
            })
        });
    }
}

fn data(change: &StateChange, customer: &str, position: &Position) -> Value {
    let until = position.subscription.and_then(|outline| outline.expires_at());
    json!({
        "customer": customer,
        "tier": change.to.tier,
        "status": change.to.status,
        "previous_tier": change.from_tier,
        "previous_status": change.from_status,
        "expires_at": until.map(rfc3339),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(from: (Option<&str>, &str), to: (Option<&str>, &'static str)) -> Vec<&'static str> {
        told_of(from, to, to.1 == "past_due")
    }

    fn told_of(
        from: (Option<&str>, &str),
        to: (Option<&str>, &'static str),
        in_grace: bool,
    ) -> Vec<&'static str> {
        let tier = |name: Option<&str>| name.map(str::to_owned);
        let change = StateChange {
            id: 1,
            customer: 7,
            from_tier: tier(from.0),
            from_status: from.1.to_owned(),
            to: State { tier: tier(to.0), status: to.1 },
        };
        let position = Position { number: 7, tier: None, subscription: None, in_grace };
        notices(&change, "acme", &position).iter().map(|notice| notice.kind.as_str()).collect()
    }

    #[test]
    fn a_tier_is_told_when_it_changes_and_a_grace_when_it_begins() {
        let (free, pro) = (Some("free"), Some("pro"));
        assert_eq!(told((None, "no_subscription"), (pro, "trialing")), ["tier.changed"]);
        assert_eq!(told((pro, "trialing"), (pro, "active")), [""; 0]);
        assert_eq!(told((pro, "active"), (pro, "past_due")), ["grace.started"]);
        assert_eq!(told((pro, "past_due"), (free, "canceled")), ["tier.changed"]);
        assert_eq!(told((pro, "past_due"), (pro, "active")), [""; 0]);
        assert_eq!(told_of((free, "active"), (free, "past_due"), false), [""; 0], "what is sold elsewhere");
    }
}
