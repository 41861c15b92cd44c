//! What can be done for a customer. What is not undone by a click unfolds first, without a script.

use maud::{Markup, html};

use super::{PATH, included_of};
use crate::pages::dashboard::answers::{Catalogue, Customer};
use crate::pages::dashboard::door::Operator;
use crate::pages::dashboard::frame::{choice, field};

/// A form that does one of the acts for the customer.
fn form(operator: &Operator, customer: &Customer, act: &str, class: &str, fields: &Markup) -> Markup {
    html! {
        form class=(class) method="post" action={ (PATH) "/" (act) } {
            (operator.token())
            input type="hidden" name="name" value=(customer.customer);
            (fields)
        }
    }
}

pub fn credits(operator: &Operator, customer: &Customer) -> Markup {
    // Sent twice it is done once.
    let key = uuid::Uuid::new_v4().to_string();
    let fields = html! {
        input type="hidden" name="key" value=(key);
        div.row {
            div.field {
                label for="amount" { "Units" }
                input #amount type="number" name="amount" step="1" required placeholder="500, or -500";
            }
            div.field {
                label for="expires_at" { "Expire on" }
                input #expires_at type="date" name="expires_at";
            }
        }
        div.row {
            (required("credits-reason", "Reason", "", "an apology"))
            button.main type="submit" { "Change credits" }
        }
    };
    html! { section.panel {
        h2 { "Change credits" }
        p.quiet { "A negative number takes units away. Without a date they never expire." }
        (form(operator, customer, "credits", "", &fields))
    } }
}

pub fn overrides(operator: &Operator, customer: &Customer, catalogue: &Catalogue) -> Markup {
    let set = customer.overridden.as_ref();
    let tiers: Vec<String> = catalogue.tiers.iter().map(|tier| tier.name.clone()).collect();
    let chosen = set.and_then(|set| set.tier.as_deref()).unwrap_or_default();
    let until = set.and_then(|set| set.until.as_deref()).unwrap_or_default();
    let fields = html! {
        div.row {
            (choice("tier", "Tier", Some("as billed"), &tiers, chosen))
            @for meter in &catalogue.meters {
                @let units = included_of(set.and_then(|set| set.included.get(&meter.name)));
                (field(&format!("included:{}", meter.name), &format!("Included {}", meter.name), &units, "as the tier"))
            }
            (field("until", "Until", until, "2026-12-31, or for good"))
        }
        div.row {
            (required("override-reason", "Reason", set.map_or("", |set| &*set.reason), "a trial of more"))
            button.main type="submit" { "Set override" }
        }
    };
    html! { section.panel {
        h2 { "Override" }
        p.quiet { "A tier or included units instead of what is billed; the difference is not billed." }
        (form(operator, customer, "override", "", &fields))
        @if set.is_some() {
            hr;
            (form(operator, customer, "override-end", "", &html! { button type="submit" { "Take the override back" } }))
        }
    } }
}

pub fn acts(operator: &Operator, customer: &Customer) -> Markup {
    let block = html! {
        div.row {
            (field("block-reason", "Reason (customers are not told)", "", "fraud"))
            button.danger type="submit" { "Block now" }
        }
    };
    let button =
        |act: &str, text: &str| form(operator, customer, act, "", &html! { button type="submit" { (text) } });
    html! { section.panel {
        h2 { "Act" }
        div.acts {
            @if customer.stripe_customer.is_some() { (button("sync", "Read from Stripe")) }
            (button("cache", "Clear cache"))
            @if customer.blocked.is_some() { (button("unblock", "Unblock")) }
        }
        @if customer.blocked.is_none() {
            details {
                summary { "Block this customer…" }
                p { "From then on no request of theirs passes: each is answered 403 and costs nothing." }
                (form(operator, customer, "block", "", &block))
            }
        }
    } }
}

fn required(id: &str, label: &str, value: &str, hint: &str) -> Markup {
    html! {
        div.field.grow {
            label for=(id) { (label) }
            input id=(id) name="reason" value=(value) required maxlength="500" placeholder=(hint) autocomplete="off";
        }
    }
}
