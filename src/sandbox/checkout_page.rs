//! The page behind a checkout session's `url`: what is bought, what it costs, a button and a way back.
//! Plain HTML without scripts; everything from outside is escaped.

use std::fmt::Write as _;

use rust_decimal::Decimal;

use super::checkout::{Session, SessionStatus, Trial, total};
use super::prices::Price;
use super::pricing::Scheme;
use super::state::State;

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;background:#f6f8fa;color:#1a1f36;margin:0;display:grid;\
min-height:100vh;place-items:center}\
main{background:#fff;border:1px solid #e3e8ee;border-radius:12px;padding:2rem;width:min(26rem,90vw)}\
h1{font-size:1.1rem;margin:0 0 1rem}ul{list-style:none;padding:0;margin:0 0 1.5rem}\
li{padding:.75rem 0;border-bottom:1px solid #e3e8ee}small{display:block;color:#697386}\
.due{display:flex;justify-content:space-between;font-weight:600;margin-bottom:1.5rem}\
button{width:100%;padding:.75rem;border:0;border-radius:8px;background:#0055de;color:#fff;font:inherit;\
font-weight:600;cursor:pointer}button:focus-visible,a:focus-visible{outline:3px solid #9cc2ff}\
button.plain{background:none;color:#697386;font-weight:400;margin-top:.5rem}.alert{color:#b3093c;font-weight:600}\
a{display:block;text-align:center;margin-top:1rem;color:#697386}\
.note{color:#697386;font-size:.85rem;margin:1.5rem 0 0}";

/// The page for a session; `alert` says what just went wrong.
pub fn render(state: &State, session: &Session, alert: Option<&str>) -> String {
    let body = match session.status {
        SessionStatus::Open => open(state, session, alert),
        SessionStatus::Complete => "<h1>Already paid</h1><p>This order is complete.</p>".to_owned(),
        SessionStatus::Expired => "<h1>Expired</h1><p>Start again from the shop.</p>".to_owned(),
    };
    frame(&body)
}

/// A page that says what went wrong.
pub fn problem(message: &str) -> String {
    frame(&format!("<h1>Something went wrong</h1><p>{}</p>", escape(message)))
}

fn frame(body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>Checkout (sandbox)</title><style>{STYLE}</style></head>\
         <body><main>{body}<p class=\"note\">This is a local sandbox. No money moves.</p></main></body></html>"
    )
}

fn open(state: &State, session: &Session, alert: Option<&str>) -> String {
    let mut page = String::from("<h1>Your order</h1><ul>");
    for line in &session.lines {
        let Some(price) = state.prices.get(&line.price) else { continue };
        let product = state.products.get(&price.product).map_or("", |product| product.name.as_str());
        let quantity = line.quantity.filter(|n| *n != 1).map_or(String::new(), |n| format!(" × {n}"));
        // Writing to a string cannot fail.
        let _ =
            write!(page, "<li>{}{quantity}<small>{}</small></li>", escape(product), escape(&describe(price)));
    }
    let (due, currency) = total(state, session);
    let due = money(Decimal::from(due), &currency.unwrap_or_default());
    let id = escape(&session.id);
    let due = escape(&due);
    let _ = write!(page, "</ul><div class=\"due\"><span>Due today</span><span>{due}</span></div>");
    if let Some(trial) = session.trial {
        let _ = write!(page, "<p>{}</p>", describe_trial(trial));
    }
    if session.allows_promotion_codes {
        page.push_str("<p>Promotion codes are taken on Stripe's page; the sandbox knows none.</p>");
    }
    if let Some(alert) = alert {
        let _ = write!(page, "<p class=\"alert\" role=\"alert\">{}</p>", escape(alert));
    }
    for (action, class, label) in
        [("pay", "", "Pay"), ("decline", "plain", "Pay with a card that is declined")]
    {
        let _ = write!(
            page,
            "<form method=\"post\" action=\"/checkout/{id}/{action}\">\
             <button type=\"submit\" class=\"{class}\">{label}</button></form>"
        );
    }
    if let Some(url) = &session.cancel_url {
        let _ = write!(page, "<a href=\"{}\">Cancel</a>", escape(url));
    }
    page
}

fn describe_trial(trial: Trial) -> String {
    match trial {
        Trial::Days(1) => "1 day free".to_owned(),
        Trial::Days(days) => format!("{days} days free"),
        Trial::Until(end) => format!("free until {}", super::delivery::rfc3339(end)),
    }
}

fn describe(price: &Price) -> String {
    let every = price.recurring.as_ref().map_or(String::new(), |recurring| {
        match (recurring.cadence.count, recurring.cadence.interval.name()) {
            (1, interval) => format!(" per {interval}"),
            (n, interval) => format!(" every {n} {interval}s"),
        }
    });
    let tiers = match &price.scheme {
        Scheme::PerUnit(unit) => return format!("{}{every}", money(*unit, &price.currency)),
        Scheme::Graduated(tiers) => tiers,
    };
    let tier = |tier: &super::pricing::Tier| {
        let unit = money(tier.unit, &price.currency);
        match tier.up_to {
            Some(last) => format!("up to {last}: {unit} each"),
            None => format!("beyond: {unit} each"),
        }
    };
    tiers.iter().map(tier).collect::<Vec<_>>().join(", ")
}

/// Cents as an amount of a currency: `99.00 USD`, `0.002 USD`.
pub fn money(cents: Decimal, currency: &str) -> String {
    let mut amount = (cents / Decimal::ONE_HUNDRED).normalize();
    if amount.scale() < 2 {
        amount.rescale(2);
    }
    format!("{amount} {}", currency.to_ascii_uppercase())
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_shows_at_least_two_places_and_loses_none() {
        let dec = |text: &str| text.parse::<Decimal>().expect("a decimal");
        assert_eq!(money(dec("9900"), "usd"), "99.00 USD");
        assert_eq!(money(dec("0.2"), "usd"), "0.002 USD");
        assert_eq!(money(dec("0"), "eur"), "0.00 EUR");
    }

    #[test]
    fn markup_from_outside_is_shown_as_text() {
        assert_eq!(escape("<b a='1'>&\""), "&lt;b a=&#39;1&#39;&gt;&amp;&quot;");
        assert!(problem("<script>").contains("&lt;script&gt;"));
    }
}
