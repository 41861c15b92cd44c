//! The webhook endpoint at Stripe: whether it is ours, and brings what is needed and no more.

use crate::billing::applied_kinds;
use crate::stripe::{CallError, WebhookEndpoint, list_webhook_endpoints};

use super::Site;
use super::check::Check;
use super::stripe::{advice_for, is_live, mode};

const NAME: &str = "stripe webhooks";
/// Stripe holds every invoice back for up to three days while an endpoint that gets this does not answer it well
/// (docs.stripe.com/billing/invoices/workflow-transitions).
const HOLDS_INVOICES: &str = "invoice.created";

pub(super) async fn check(site: &Site) -> Vec<Check> {
    if !site.has_stripe() {
        return Site::without_stripe(NAME);
    }
    let endpoints = match list_webhook_endpoints(&site.stripe).await {
        Ok(endpoints) => endpoints,
        Err(CallError::Status(error)) if error.status == 403 => {
            let advice =
                "give it \"Webhook Endpoints: Read\", or compare them in Stripe's dashboard yourself";
            return vec![Check::warning(NAME, "the key may not read the endpoints", advice)];
        }
        Err(error) => return vec![Check::failed(NAME, error.to_string(), advice_for(&error))],
    };
    let Some(public) = &site.config.server.public_url else {
        let advice = "set server.public_url: then it is known which endpoint is ours";
        return vec![Check::warning(NAME, "server.public_url is not set", advice)];
    };
    let url = format!("{public}{}", site.config.billing.paths.webhook);
    judge(&url, &endpoints, is_live(site))
}

fn judge(url: &str, endpoints: &[WebhookEndpoint], is_live: bool) -> Vec<Check> {
    let ours: Vec<_> = endpoints.iter().filter(|endpoint| is_same(&endpoint.url, url)).collect();
    let Some(ours) = ours.iter().find(|endpoint| endpoint.is_enabled).or(ours.first()) else {
        return vec![without(url, endpoints, is_live)];
    };
    let mut checks = Vec::new();
    if let Some(livemode) = ours.livemode.filter(|livemode| *livemode != is_live) {
        let said =
            format!("{url} is of {} mode, and stripe.secret_key of {} mode", mode(livemode), mode(is_live));
        let advice = "make an endpoint in the key's mode, and write its secret as stripe.webhook_secrets";
        checks.push(Check::failed(NAME, said, advice));
    }
    if !ours.is_enabled {
        let advice = "enable it in Stripe's dashboard, then run `tollgate sync` for what was missed";
        checks.push(Check::failed(NAME, format!("{url} is disabled"), advice));
    }
    if ours.url.starts_with("http://") && !is_loopback(&ours.url) {
        let said = format!("{url} is not https: what Stripe sends can be read on its way");
        checks.push(Check::failed(NAME, said, "serve it over https, and change the endpoint"));
    }
    checks.extend(judge_events(url, &ours.events));
    if checks.is_empty() {
        let version = ours.api_version.as_deref().unwrap_or("the account's");
        checks.push(Check::ok(NAME, format!("{url}: enabled, with all events; API version {version}")));
    }
    checks
}

fn without(url: &str, endpoints: &[WebhookEndpoint], is_live: bool) -> Check {
    let known: Vec<_> = endpoints.iter().map(|endpoint| endpoint.url.as_str()).collect();
    let mode = mode(is_live);
    let others = if known.is_empty() { String::new() } else { format!("; others are {}", known.join(", ")) };
    let events: Vec<_> = applied_kinds().collect();
    Check::failed(
        NAME,
        format!("no endpoint of {mode} mode has the URL {url}{others}"),
        format!(
            "make one in {mode} mode with that URL, and write its secret as stripe.webhook_secrets; its events: {}",
            events.join(", ")
        ),
    )
}

fn judge_events(url: &str, enabled: &[String]) -> Vec<Check> {
    if enabled.iter().any(|kind| kind == "*") {
        let said = format!("{url} gets all events, {HOLDS_INVOICES} too: invoices wait while it fails");
        let events: Vec<_> = applied_kinds().collect();
        return vec![Check::warning(NAME, said, format!("choose these alone: {}", events.join(", ")))];
    }
    let mut checks = Vec::new();
    let missing: Vec<_> =
        applied_kinds().filter(|kind| enabled.iter().all(|enabled| enabled != kind)).collect();
    if !missing.is_empty() {
        let said = format!("{url} does not get {}", missing.join(", "));
        let advice = "add these events to the endpoint, then run `tollgate sync` for what was missed";
        checks.push(Check::failed(NAME, said, advice));
    }
    let more: Vec<_> = enabled
        .iter()
        .filter(|enabled| applied_kinds().all(|kind| kind != enabled.as_str()))
        .cloned()
        .collect();
    if !more.is_empty() {
        let holds = more.iter().any(|kind| kind == HOLDS_INVOICES);
        let why =
            if holds { ": while it fails, invoices wait up to three days" } else { ", which change nothing" };
        let said = format!("{url} also gets {}{why}", more.join(", "));
        checks.push(Check::warning(NAME, said, "take these events away from the endpoint"));
    }
    checks
}

/// But for a slash at the end.
fn is_same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

fn is_loopback(url: &str) -> bool {
    ["http://127.", "http://localhost", "http://[::1]"].iter().any(|start| url.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    const URL: &str = "https://api.example.com/webhooks/stripe";

    fn good() -> WebhookEndpoint {
        WebhookEndpoint {
            url: URL.to_owned(),
            is_enabled: true,
            events: applied_kinds().map(str::to_owned).collect(),
            api_version: None,
            livemode: Some(true),
        }
    }

    fn judged(endpoint: WebhookEndpoint) -> Vec<(Outcome, String)> {
        let checks = judge(URL, &[endpoint], true);
        checks.into_iter().map(|check| (check.outcome, check.said)).collect()
    }

    #[test]
    fn an_endpoint_gets_what_is_needed_and_no_more() {
        assert_eq!(judged(good())[0].0, Outcome::Ok);
        let mut fewer = good();
        fewer.events.retain(|kind| kind != "invoice.paid");
        let found = judged(fewer);
        assert!(
            found[0].0 == Outcome::Failed && found[0].1.ends_with("does not get invoice.paid"),
            "{found:?}"
        );
        let mut more = good();
        more.events.push(HOLDS_INVOICES.to_owned());
        let found = judged(more);
        assert!(found[0].0 == Outcome::Warning && found[0].1.contains("three days"), "{found:?}");
        let all = judged(WebhookEndpoint { events: vec!["*".to_owned()], ..good() });
        assert_eq!(all[0].0, Outcome::Warning);
    }

    #[test]
    fn an_endpoint_is_ours_by_url_and_mode() {
        let of_test = judged(WebhookEndpoint { livemode: Some(false), ..good() });
        assert!(of_test[0].0 == Outcome::Failed && of_test[0].1.contains("test mode"), "{of_test:?}");
        let elsewhere = judged(WebhookEndpoint { url: "https://b.example/".into(), ..good() });
        assert!(elsewhere[0].0 == Outcome::Failed && elsewhere[0].1.contains("b.example"), "{elsewhere:?}");
        let off = judged(WebhookEndpoint { is_enabled: false, ..good() });
        assert!(off[0].0 == Outcome::Failed && off[0].1.contains("disabled"), "{off:?}");
        assert_eq!(judged(WebhookEndpoint { url: format!("{URL}/"), ..good() })[0].0, Outcome::Ok);
    }
}
