//! Which operation a method and path name. Faults are planned by the operation's name.

use super::state::Operation;
use super::{
    checkout, checkout_create, collection, customers, entitlements, events, hooks, invoices, meter_events,
    meters, payment_intents, payment_methods, portal, prices, products, subscriptions, summaries,
    thin_events, webhooks,
};

pub struct Route<'a> {
    pub name: &'static str,
    pub operation: Operation,
    /// The id in the path; empty where there is none.
    pub id: &'a str,
    /// The id in front of it, of what it belongs to; empty where there is none.
    pub owner: &'a str,
}

/// Finds the operation for a path below `/v1/`.
pub fn api<'a>(method: &str, path: &'a str) -> Option<Route<'a>> {
    let segments: Vec<&str> = path.split('/').collect();
    let (resource, action, name): (&str, &str, &[&'a str]) = match segments.as_slice() {
        ["billing", resource, rest @ ..] => (resource, "billing", rest),
        ["checkout", "sessions", rest @ ..] => ("sessions", "checkout", rest),
        ["billing_portal", "sessions", rest @ ..] => ("sessions", "portal", rest),
        ["entitlements", "active_entitlements"] if method == "GET" => {
            return route("entitlements.active_entitlements.list", entitlements::index, "");
        }
        [resource, rest @ ..] => (resource, "", rest),
        [] => return None,
    };
    match action {
        "billing" => billing(method, resource, name),
        "checkout" => checkout_sessions(method, name),
        "portal" if method == "POST" && name.is_empty() => {
            route("billing_portal.sessions.create", portal::create, "")
        }
        "portal" => None,
        _ => core(method, resource, name),
    }
}

/// Finds the operation for a path below `/v2/`.
pub fn second_api<'a>(method: &str, path: &'a str) -> Option<Route<'a>> {
    match (method, path.split('/').collect::<Vec<_>>().as_slice()) {
        ("GET", ["core", "events", id]) => route("core.events.retrieve", thin_events::retrieve, id),
        _ => None,
    }
}

#[allow(clippy::unnecessary_wraps)] // so that every arm of a table is one line
fn route<'a>(name: &'static str, operation: Operation, id: &'a str) -> Option<Route<'a>> {
    Some(Route { name, operation, id, owner: "" })
}

#[allow(clippy::unnecessary_wraps)] // the same
fn owned<'a>(name: &'static str, operation: Operation, owner: &'a str, id: &'a str) -> Option<Route<'a>> {
    Some(Route { name, operation, id, owner })
}

fn core<'a>(method: &str, resource: &str, rest: &[&'a str]) -> Option<Route<'a>> {
    match resource {
        "customers" => customers(method, resource, rest),
        "payment_methods" | "payment_intents" => payments(method, resource, rest),
        "products" | "prices" => catalogue(method, resource, rest),
        "subscriptions" => subscriptions(method, rest),
        "invoices" => invoices(method, rest),
        "events" | "webhook_endpoints" => notifications(method, resource, rest),
        _ => None,
    }
}

fn customers<'a>(method: &str, resource: &str, rest: &[&'a str]) -> Option<Route<'a>> {
    match (method, resource, rest) {
        ("POST", "customers", []) => route("customers.create", customers::create, ""),
        ("GET", "customers", []) => route("customers.list", customers::index, ""),
        ("GET", "customers", [id]) => route("customers.retrieve", customers::retrieve, id),
        ("POST", "customers", [id]) => route("customers.update", customers::update, id),
        ("DELETE", "customers", [id]) => route("customers.delete", customers::delete, id),
        ("GET", "customers", [owner, "payment_methods"]) => {
            owned("payment_methods.list", payment_methods::index, owner, "")
        }
        ("GET", "customers", [owner, "payment_methods", id]) => {
            owned("customers.payment_methods.retrieve", payment_methods::retrieve_owned, owner, id)
        }
        _ => None,
    }
}

fn payments<'a>(method: &str, resource: &str, rest: &[&'a str]) -> Option<Route<'a>> {
    match (method, resource, rest) {
        ("POST", "payment_methods", []) => route("payment_methods.create", payment_methods::create, ""),
        ("GET", "payment_methods", []) => route("payment_methods.list", payment_methods::index, ""),
        ("GET", "payment_methods", [id]) => route("payment_methods.retrieve", payment_methods::retrieve, id),
        ("POST", "payment_methods", [id, "attach"]) => {
            route("payment_methods.attach", payment_methods::attach, id)
        }
        ("POST", "payment_methods", [id, "detach"]) => {
            route("payment_methods.detach", payment_methods::detach, id)
        }
        ("GET", "payment_intents", []) => route("payment_intents.list", payment_intents::index, ""),
        ("GET", "payment_intents", [id]) => route("payment_intents.retrieve", payment_intents::retrieve, id),
        _ => None,
    }
}

fn catalogue<'a>(method: &str, resource: &str, rest: &[&'a str]) -> Option<Route<'a>> {
    match (method, resource, rest) {
        ("POST", "products", []) => route("products.create", products::create, ""),
        ("GET", "products", []) => route("products.list", products::index, ""),
        ("GET", "products", [id]) => route("products.retrieve", products::retrieve, id),
        ("POST", "products", [id]) => route("products.update", products::update, id),
        ("POST", "prices", []) => route("prices.create", prices::create, ""),
        ("GET", "prices", []) => route("prices.list", prices::index, ""),
        ("GET", "prices", [id]) => route("prices.retrieve", prices::retrieve, id),
        ("POST", "prices", [id]) => route("prices.update", prices::update, id),
        _ => None,
    }
}

fn subscriptions<'a>(method: &str, rest: &[&'a str]) -> Option<Route<'a>> {
    match (method, rest) {
        ("POST", []) => route("subscriptions.create", subscriptions::create, ""),
        ("GET", []) => route("subscriptions.list", subscriptions::index, ""),
        ("GET", [id]) => route("subscriptions.retrieve", subscriptions::retrieve, id),
        ("POST", [id]) => route("subscriptions.update", subscriptions::update, id),
        ("DELETE", [id]) => route("subscriptions.cancel", subscriptions::cancel, id),
        ("POST", [id, "migrate"]) => route("subscriptions.migrate", subscriptions::migrate, id),
        ("POST", [id, "resume"]) => route("subscriptions.resume", subscriptions::resume, id),
        _ => None,
    }
}

fn invoices<'a>(method: &str, rest: &[&'a str]) -> Option<Route<'a>> {
    match (method, rest) {
        ("GET", []) => route("invoices.list", invoices::index, ""),
        ("POST", ["create_preview"]) => route("invoices.create_preview", invoices::preview, ""),
        ("GET", [id]) => route("invoices.retrieve", invoices::retrieve, id),
        ("POST", [id, "pay"]) => route("invoices.pay", collection::pay, id),
        _ => None,
    }
}

fn notifications<'a>(method: &str, resource: &str, rest: &[&'a str]) -> Option<Route<'a>> {
    match (method, resource, rest) {
        ("GET", "events", []) => route("events.list", events::index, ""),
        ("GET", "events", [id]) => route("events.retrieve", events::retrieve, id),
        ("POST", "webhook_endpoints", []) => route("webhook_endpoints.create", webhooks::create, ""),
        ("GET", "webhook_endpoints", []) => route("webhook_endpoints.list", webhooks::index, ""),
        ("GET", "webhook_endpoints", [id]) => route("webhook_endpoints.retrieve", webhooks::retrieve, id),
        ("POST", "webhook_endpoints", [id]) => route("webhook_endpoints.update", webhooks::update, id),
        ("DELETE", "webhook_endpoints", [id]) => route("webhook_endpoints.delete", webhooks::delete, id),
        _ => None,
    }
}

fn billing<'a>(method: &str, resource: &str, rest: &[&'a str]) -> Option<Route<'a>> {
    match (method, resource, rest) {
        ("POST", "meter_events", []) => route(METER_EVENT, meter_events::create, ""),
        ("POST", "meter_event_adjustments", []) => {
            route("meter_event_adjustments.create", meter_events::adjust, "")
        }
        ("POST", "meters", []) => route("meters.create", meters::create, ""),
        ("GET", "meters", []) => route("meters.list", meters::index, ""),
        ("GET", "meters", [id]) => route("meters.retrieve", meters::retrieve, id),
        ("POST", "meters", [id]) => route("meters.update", meters::update, id),
        ("POST", "meters", [id, "deactivate"]) => route("meters.deactivate", meters::deactivate, id),
        ("POST", "meters", [id, "reactivate"]) => route("meters.reactivate", meters::reactivate, id),
        ("GET", "meters", [id, "event_summaries"]) => route("meters.event_summaries", summaries::index, id),
        _ => None,
    }
}

fn checkout_sessions<'a>(method: &str, rest: &[&'a str]) -> Option<Route<'a>> {
    match (method, rest) {
        ("POST", []) => route("checkout.sessions.create", checkout_create::create, ""),
        ("GET", []) => route("checkout.sessions.list", checkout::index, ""),
        ("GET", [id]) => route("checkout.sessions.retrieve", checkout::retrieve, id),
        ("GET", [id, "line_items"]) => route("checkout.sessions.line_items", checkout::line_items, id),
        ("POST", [id, "expire"]) => route("checkout.sessions.expire", checkout::expire, id),
        _ => None,
    }
}

/// The operation that admits one call at a time per customer and meter.
pub const METER_EVENT: &str = "meter_events.create";

/// Finds the hook for a path below `/_sandbox/`.
pub fn hook<'a>(method: &str, path: &'a str) -> Option<Route<'a>> {
    let segments: Vec<&str> = path.split('/').collect();
    match (method, segments.as_slice()) {
        ("GET", ["health"]) => route("hooks.health", hooks::health, ""),
        ("GET", ["faults"]) => route("hooks.faults", hooks::list_faults, ""),
        ("POST", ["faults"]) => route("hooks.faults", hooks::plan_fault, ""),
        ("DELETE", ["faults"]) => route("hooks.faults", hooks::clear_faults, ""),
        ("GET", ["calls"]) => route("hooks.calls", hooks::list_calls, ""),
        ("DELETE", ["calls"]) => route("hooks.calls", hooks::clear_calls, ""),
        ("GET", ["meter_totals"]) => route("hooks.meter_totals", hooks::meter_totals, ""),
        ("POST", ["seed"]) => route("hooks.seed", hooks::seed, ""),
        ("POST", ["portal"]) => route("hooks.portal", hooks::configure_portal, ""),
        ("POST", [resource, id, action]) => change_hook(resource, id, action),
        _ => None,
    }
}

/// A hook that does something to one object.
fn change_hook<'a>(resource: &str, id: &'a str, action: &str) -> Option<Route<'a>> {
    match (resource, action) {
        ("subscriptions", "status") => route("hooks.status", hooks::set_status, id),
        ("subscriptions", "period") => route("hooks.period", hooks::set_period, id),
        ("subscriptions", "payment_failed") => route("hooks.payment_failed", hooks::payment_failed, id),
        ("subscriptions", "upcoming") => route("hooks.upcoming", hooks::tell_of_invoice, id),
        ("subscriptions", "trial_will_end") => route("hooks.trial_will_end", hooks::tell_of_trial, id),
        ("customers", "decline") => route("hooks.decline", hooks::set_declines, id),
        ("customers", "entitlements") => route("hooks.entitlements", entitlements::set, id),
        ("invoices", "attempt") => route("hooks.attempt", collection::try_again, id),
        ("payment_intents", "settle") => route("hooks.settle", hooks::settle, id),
        ("events", "resend") => route("hooks.resend", events::resend, id),
        ("meter_events", "reject") => route("hooks.reject", thin_events::reject, id),
        ("checkout", "pay") => route("hooks.pay", hooks::pay_checkout, id),
        _ => None,
    }
}
