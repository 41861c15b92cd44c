//! Making what a plan lacks.

use std::collections::HashMap;

use crate::domain::offer::Terms;
use crate::stripe::{
    CallError, NewPrice, PriceInPlace, Transport, create_meter, create_price, create_product, note_lookup_key,
};

use super::plan::{Entry, Plan, Replaced, State, Subject};

/// Why a plan was not made to its end.
#[derive(Debug, thiserror::Error)]
#[error("{what} could not be made")]
pub struct Broken {
    /// Such as `price tollgate_pro_monthly`.
    pub what: String,
    pub source: CallError,
}

/// Makes what is missing, one after the other; `told` hears of each that is there, with its id.
///
/// # Errors
/// The first that Stripe refuses or does not answer; what was made stays, and the next run goes on behind it.
pub async fn make(
    transport: &Transport,
    plan: &Plan,
    mut told: impl FnMut(&Entry, &str),
) -> Result<(), Broken> {
    let mut meters: HashMap<&str, String> = HashMap::new();
    for entry in &plan.entries {
        if let (Subject::Meter { event_name, .. }, State::AsOffered { id }) = (&entry.subject, &entry.state) {
            meters.insert(event_name, id.clone());
        }
        if !entry.is_to_make() {
            continue;
        }
        let made = one(transport, entry, &meters).await;
        let id = made.map_err(|source| Broken { what: entry.subject.told(), source })?;
        if let Subject::Meter { event_name, .. } = &entry.subject {
            meters.insert(event_name, id.clone());
        }
        told(entry, &id);
    }
    Ok(())
}

async fn one(
    transport: &Transport,
    entry: &Entry,
    meters: &HashMap<&str, String>,
) -> Result<String, CallError> {
    match &entry.subject {
        Subject::Meter { name, event_name } => create_meter(transport, name, event_name).await,
        Subject::Product { tier, id } => create_product(transport, id, tier).await,
        Subject::Price { tier, lookup_key, product, terms: Some(terms), event_name } => {
            let meter = event_name.as_deref().and_then(|name| meters.get(name)).map(String::as_str);
            let replaced = match &entry.state {
                State::Replaced(replaced) => Some(replaced),
                _ => None,
            };
            let new = NewPrice { product, tier, lookup_key, terms, meter, replaces: None };
            price(transport, new, terms, replaced).await
        }
        Subject::Price { terms: None, .. } => Err(unsendable("nothing is offered under it")),
    }
}

async fn price(
    transport: &Transport,
    new: NewPrice<'_>,
    terms: &Terms,
    replaced: Option<&Replaced>,
) -> Result<String, CallError> {
    // Without its meter it would be another price: one that is paid in advance.
    if terms.metered && new.meter.is_none() {
        return Err(unsendable("its meter is not there"));
    }
    let Some(old) = replaced else { return create_price(transport, &new).await };
    // Before it loses the key: who pays it must not lose their tier.
    if !old.is_noted {
        note_lookup_key(transport, &old.id, new.lookup_key, new.tier).await?;
    }
    let replaces = Some(PriceInPlace { id: &old.id, tax_behavior: old.tax_behavior.as_deref() });
    create_price(transport, &NewPrice { replaces, ..new }).await
}

fn unsendable(reason: &str) -> CallError {
    CallError::Unsendable { reason: reason.to_owned() }
}

impl Subject {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Meter { .. } => "meter",
            Self::Product { .. } => "product",
            Self::Price { .. } => "price",
        }
    }

    /// What it is found by at Stripe.
    pub fn name(&self) -> &str {
        match self {
            Self::Meter { event_name, .. } => event_name,
            Self::Product { id, .. } => id,
            Self::Price { lookup_key, .. } => lookup_key,
        }
    }

    fn told(&self) -> String {
        format!("{} {}", self.kind(), self.name())
    }
}
