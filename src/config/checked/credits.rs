//! `[[credit_packs]]`.

use super::seconds;
use crate::config::findings::{At, Findings};
use crate::config::written;
use crate::domain::catalogue::CreditPack;

pub(super) fn check(packs: &[At<written::CreditPack>], found: &mut Findings) -> Vec<CreditPack> {
    let mut checked: Vec<CreditPack> = Vec::new();
    for pack in packs {
        let written::CreditPack { name, units, price, expire } = &pack.value;
        let (Some(name), Some(units), Some(price)) = (name.at(), units.get(), price.at()) else { continue };
        if checked.iter().any(|other| *other.name == *name.value.0) {
            let what = format!("there is a credit pack `{}` already", name.value.0);
            found.error(&name.place, what, "give each a name of its own");
        }
        if price.value.0.is_zero() {
            found.error(&price.place, "a credit pack costs something", "write an amount above 0");
        }
        let name = name.value.0.as_str().into();
        let expires_after = expire.get().map(|span| seconds(span.0));
        checked.push(CreditPack { name, units: units.0, price: price.value.0, expires_after });
    }
    checked
}
