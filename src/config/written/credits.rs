//! `[[credit_packs]]`.

use crate::config::read::{Given, Keys, Section};
use crate::config::values::money::Money;
use crate::config::values::number::Number;
use crate::config::values::span::Span;
use crate::config::values::text::Name;

#[derive(Debug)]
pub(crate) struct CreditPack {
    pub name: Given<Name>,
    pub units: Given<Number<1, 1_000_000_000_000>>,
    pub price: Given<Money>,
    pub expire: Given<Span<1_000>>,
}

impl Section for CreditPack {
    const ABOUT: &'static str = "[[credit_packs]]: prepaid units that customers can buy.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            name: keys.required("name", "What a checkout names."),
            units: keys.required("units", "How many units are granted for one payment."),
            price: keys.required("price", "What it costs, in major units of the currency."),
            expire: keys.optional("expire", "How long the units last; left out: for ever."),
        }
    }
}
