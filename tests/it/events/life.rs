//! A life for customers at Stripe, thrown with dice: what happens to them, and what the truth is in the end.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Dice, Stripe, World, unix_now};

const TIERS: [&str; 2] = ["starter", "pro"];
const STATUSES: [&str; 5] = ["trialing", "active", "past_due", "unpaid", "paused"];
const DAY: usize = 86_400;

/// Customers, each with a subscription or two.
pub struct Life<'a> {
    stripe: &'a Stripe,
    customers: Vec<Owner>,
    /// The newest event that was taken.
    newest: Option<String>,
}

struct Owner {
    name: String,
    id: String,
    /// Those that have not ended.
    live: Vec<String>,
}

/// What is true of a customer in the end.
#[derive(Debug)]
pub struct Truth {
    pub subscriptions: Subscriptions,
    /// What was paid by each invoice, in cents.
    pub paid: BTreeMap<String, i64>,
    /// Granted for invoices that paid for the tier pro.
    pub credits: u64,
}

/// What is compared of a subscription: status, whether it is canceled at its end, and its prices with their periods.
pub type Subscriptions = BTreeMap<String, Compared>;
pub type Compared = (String, bool, Vec<(String, i64)>);

pub const CREDITS_PER_INVOICE: u64 = 7;

impl<'a> Life<'a> {
    pub fn begin(world: &'a World) -> Self {
        Self { stripe: &world.stripe, customers: Vec::new(), newest: None }
    }

    /// Somebody new subscribes.
    pub fn welcome(&mut self) {
        let number = self.customers.len();
        let name = format!("customer-{number}");
        let subscribed = self.stripe.subscribe(TIERS[number % 2], Some(&name));
        self.customers.push(Owner { name, id: subscribed.customer, live: vec![subscribed.subscription] });
    }

    /// Something happens to somebody.
    pub async fn goes_on(&mut self, dice: &mut Dice) {
        let at = dice.below(self.customers.len());
        let stripe = self.stripe;
        let owner = &mut self.customers[at];
        if owner.live.is_empty() || (owner.live.len() == 1 && dice.percent(5)) {
            let subscription = subscribe(stripe, &owner.id, TIERS[dice.below(2)]).await;
            return owner.live.push(subscription);
        }
        let which = dice.below(owner.live.len());
        let subscription = owner.live[which].clone();
        match dice.below(20) {
            0..8 => stripe.set_status(&subscription, STATUSES[dice.below(STATUSES.len())]).await,
            8..12 => stripe.change_tier(&subscription, TIERS[dice.below(2)]).await,
            12..14 => move_period(stripe, &subscription, dice).await,
            14..16 => {
                stripe.hook(&format!("subscriptions/{subscription}/payment_failed"), json!({})).await;
            }
            16..19 => {
                let at_end = if dice.percent(50) { "true" } else { "false" };
                let path = format!("/v1/subscriptions/{subscription}");
                stripe.post(&path, &[("cancel_at_period_end", at_end)]).await;
            }
            _ => {
                stripe.delete(&format!("/v1/subscriptions/{subscription}")).await;
                owner.live.remove(which);
            }
        }
    }

    /// The events since the last time, oldest first. The first time there must be less than a page of them.
    pub async fn news(&mut self) -> Vec<Value> {
        let mut news: Vec<Value> = Vec::new();
        loop {
            let after = self.newest.as_ref().map(|newest| format!("&ending_before={newest}"));
            let page = self.stripe.get(&format!("/v1/events?limit=100{}", after.unwrap_or_default())).await;
            assert!(self.newest.is_some() || page["has_more"] == false, "the oldest are on another page");
            let mut page = page["data"].as_array().expect("a list").clone();
            page.reverse();
            let Some(last) = page.last() else { return news };
            self.newest = Some(last["id"].as_str().expect("an id").to_owned());
            news.extend(page);
        }
    }

    /// What is true of each customer, by name.
    pub async fn truth(&self) -> BTreeMap<String, Truth> {
        let mut truth = BTreeMap::new();
        for owner in &self.customers {
            let subscriptions = self.list("subscriptions?status=all", &owner.id).await;
            let invoices = self.list("invoices?status=paid", &owner.id).await;
            let paid = invoices.iter().map(|invoice| {
                let id = invoice["id"].as_str().expect("an id").to_owned();
                (id, invoice["amount_paid"].as_i64().expect("an amount"))
            });
            let paid: BTreeMap<_, _> = paid.filter(|(_, amount)| *amount > 0).collect();
            let pro = invoices.iter().filter(|invoice| invoice.to_string().contains("price_it_pro_monthly"));
            let credits = CREDITS_PER_INVOICE * pro.count() as u64;
            let subscriptions = subscriptions.iter().map(of_stripe).collect();
            truth.insert(owner.name.clone(), Truth { subscriptions, paid, credits });
        }
        truth
    }

    async fn list(&self, what: &str, customer: &str) -> Vec<Value> {
        let list = self.stripe.get(&format!("/v1/{what}&customer={customer}&limit=100")).await;
        assert_eq!(list["has_more"], false, "more than a page of {what}");
        list["data"].as_array().expect("a list").clone()
    }
}

async fn subscribe(stripe: &Stripe, customer: &str, tier: &str) -> String {
    let (flat, metered) = (format!("price_it_{tier}_monthly"), format!("price_it_{tier}_api_calls"));
    let form = [("customer", customer), ("items[0][price]", &flat), ("items[1][price]", &metered)];
    let made = stripe.post("/v1/subscriptions", &form).await;
    made["id"].as_str().expect("an id").to_owned()
}

async fn move_period(stripe: &Stripe, subscription: &str, dice: &mut Dice) {
    let seconds = |seconds: usize| i64::try_from(seconds).expect("a month");
    let (past, left) = (dice.below(20 * DAY), DAY + dice.below(20 * DAY));
    let period = json!({ "start": unix_now() - seconds(past), "end": unix_now() + seconds(left) });
    stripe.hook(&format!("subscriptions/{subscription}/period"), period).await;
}

fn of_stripe(object: &Value) -> (String, Compared) {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let items = object["items"]["data"].as_array().expect("items").iter();
    let mut items: Vec<_> = items
        .map(|item| (text(&item["price"]["id"]), item["current_period_end"].as_i64().expect("an instant")))
        .collect();
    items.sort();
    let at_end = object["cancel_at_period_end"].as_bool().expect("a truth");
    (text(&object["id"]), (text(&object["status"]), at_end, items))
}

/// What should be shown of a customer: the status, unless two have the same right to it, and the tier.
pub fn shown(subscriptions: &Subscriptions) -> (Option<String>, &'static str) {
    let entitles = |status: &str| matches!(status, "trialing" | "active" | "past_due");
    let rank = |(status, _, items): &Compared| {
        // The tier that is later in the file, where they are by name.
        let starter = items.iter().any(|(price, _)| price.starts_with("price_it_starter"));
        (entitles(status), status != "canceled", starter)
    };
    let best = subscriptions.values().map(rank).max().expect("a subscription");
    let alike: Vec<_> = subscriptions.values().filter(|of| rank(of) == best).map(|of| of.0.clone()).collect();
    let status = alike.iter().all(|status| *status == alike[0]).then(|| alike[0].clone());
    let tier = match best {
        (_, true, true) => "starter",
        (_, true, false) => "pro",
        (_, false, _) => "free",
    };
    (status, tier)
}
