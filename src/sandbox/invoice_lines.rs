//! The lines of an invoice: one for a flat fee, one per tier for graduated usage.

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

use super::error::ApiError;
use super::period::Period;
use super::prices::{Price, plain};
use super::pricing::{Charge, charges};
use super::state::State;
use super::subscriptions::{Item, Subscription};

/// What is billed for an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bill {
    /// The usage of a period that has run, or runs.
    Usage(Period),
    /// The flat fee for a period, in advance.
    Fee(Period),
    /// Nothing, for a trial.
    Trial(Period),
    /// What was paid for the time of a period after a moment, given back.
    Unused(Period, i64),
    /// The flat fee for the time of a period after a moment.
    Rest(Period, i64),
}

#[derive(Debug, Clone)]
pub struct Line {
    pub id: String,
    pub item: Option<String>,
    pub price: String,
    pub product: String,
    pub description: String,
    pub quantity: u64,
    pub unit: Decimal,
    pub amount: i64,
    pub period: Period,
    pub proration: bool,
}

impl Line {
    /// Leaves of a line what falls after a moment, to the second.
    fn prorate(&mut self, at: i64) {
        let whole = Decimal::from((self.period.end - self.period.start).max(1));
        let left = Decimal::from((self.period.end - at).max(0));
        self.period.start = self.period.start.max(at);
        let amount = (Decimal::from(self.amount) * left / whole)
            .round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
        self.amount = amount.to_i64().unwrap_or(self.amount);
        self.proration = true;
    }

    pub fn json(&self, invoice: &str, subscription: Option<&str>, currency: &str) -> Value {
        let parent = self.item.as_ref().map(|item| {
            json!({
                "invoice_item_details": null,
                "subscription_item_details": {
                    "invoice_item": null,
                    "proration": self.proration,
                    "proration_details": {"credited_items": null},
                    "subscription": subscription,
                    "subscription_item": item,
                },
                "type": "subscription_item_details",
            })
        });
        json!({
            "id": self.id,
            "object": "line_item",
            "amount": self.amount,
            "currency": currency,
            "description": self.description,
            "discount_amounts": [],
            "discountable": true,
            "discounts": [],
            "invoice": invoice,
            "livemode": false,
            "metadata": {},
            "parent": parent,
            "period": {"start": self.period.start, "end": self.period.end},
            "pretax_credit_amounts": [],
            "pricing": {
                "price_details": {"price": self.price, "product": self.product},
                "type": "price_details",
                "unit_amount_decimal": plain(self.unit),
            },
            "quantity": self.quantity,
            "subtotal": self.amount,
            "taxes": [],
        })
    }
}

/// The lines for one item.
pub fn for_item(
    state: &mut State,
    subscription: &Subscription,
    item: &Item,
    bill: Bill,
) -> Result<Vec<Line>, ApiError> {
    let price = state.prices.referenced(&item.price, "price")?.clone();
    let (period, quantity) = match bill {
        Bill::Usage(period) => (period, used(state, &subscription.customer, &price, period)),
        Bill::Fee(period) | Bill::Trial(period) | Bill::Unused(period, _) | Bill::Rest(period, _) => {
            (period, item.quantity.unwrap_or(1))
        }
    };
    let mut lines = for_price(state, &price, quantity, period)?;
    for line in &mut lines {
        line.item = Some(item.id.clone());
        match bill {
            Bill::Usage(_) | Bill::Fee(_) => {}
            Bill::Trial(_) => {
                (line.amount, line.unit) = (0, Decimal::ZERO);
                line.description = format!("Trial period for {}", product_name(state, &price));
            }
            Bill::Unused(_, at) => {
                line.prorate(at);
                line.amount = -line.amount;
                line.description = format!("Unused time on {}", line.description);
            }
            Bill::Rest(_, at) => {
                line.prorate(at);
                line.description = format!("Remaining time on {}", line.description);
            }
        }
    }
    Ok(lines)
}

/// The lines for a quantity of a price.
fn for_price(state: &mut State, price: &Price, quantity: u64, period: Period) -> Result<Vec<Line>, ApiError> {
    let charges = charges(&price.scheme, quantity).map_err(|error| ApiError::refused(error.to_string()))?;
    let product = product_name(state, price);
    let line = |charge: Charge| Line {
        id: state.ids.make("il"),
        item: None,
        price: price.id.clone(),
        product: price.product.clone(),
        description: describe(price, &product, &charge),
        quantity: charge.quantity,
        unit: charge.unit,
        amount: charge.amount,
        period,
        proration: false,
    };
    Ok(charges.into_iter().map(line).collect())
}

/// What a customer used of a metered price within a period.
fn used(state: &State, customer: &str, price: &Price, period: Period) -> u64 {
    let meter = price.meter().and_then(|id| state.meters.get(id));
    let aggregate = |meter: &super::meters::Meter| {
        let (start, end) = (period.start, period.end);
        state.usage.aggregate(&meter.id, customer, meter.formula, start, end)
    };
    meter.and_then(aggregate).unwrap_or(0)
}

fn product_name(state: &State, price: &Price) -> String {
    let product = state.products.get(&price.product);
    product.map_or_else(|| price.product.clone(), |product| product.name.clone())
}

fn describe(price: &Price, product: &str, charge: &Charge) -> String {
    let amount = super::checkout_page::money(charge.unit, &price.currency);
    let every = price.recurring.as_ref().map_or(String::new(), |recurring| match recurring.cadence.count {
        1 => format!(" / {}", recurring.cadence.interval.name()),
        n => format!(" every {n} {}s", recurring.cadence.interval.name()),
    });
    match charge.tier {
        Some(tier) => format!("{} × {product} (Tier {tier} at {amount}{every})", charge.quantity),
        None => format!("{} × {product} (at {amount}{every})", charge.quantity),
    }
}
