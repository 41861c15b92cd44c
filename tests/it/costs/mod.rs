//! Costs that the exchange itself tells: a hold is reserved, and the truth is billed.

mod books;
mod estimates;
mod limits;
mod settled;
mod sockets;

use crate::harness::{Customer, Reply};

/// One route for each measure, on the only meter.
const ROUTES: &str = r#"
    routes = [
        { path = "/sized", cost = { api_calls = { response_bytes = "1KiB", hold = 5 } } },
        { path = "/sent", cost = { api_calls = { request_bytes = "1KiB", hold = 5 } } },
        { path = "/both", cost = { api_calls = { bytes = "1KiB", hold = 5 } } },
        { path = "/told", cost = { api_calls = { header = "x-cost", hold = 5, most = 50 } } },
        { path = "/twice", cost = { api_calls = { header = "x-cost", times = 2, missing = "zero" } } },
        { path = "/timed", cost = { api_calls = { duration = "1h", hold = 5 } } },
        { path = "/cached", cost = 3, free_when = { header = "x-cache", contains = "hit" } },
        { path = "/signals", cost = 1 },
    ]
"#;

/// The held units that an answer shows.
fn held(reply: &Reply) -> Option<u64> {
    reply.header("x-usage-cost")?.strip_prefix("api_calls=")?.strip_suffix(";held")?.parse().ok()
}

/// Asks for what is measured to its end: the answer shows what was held.
async fn ask(customer: &Customer, path: &str, truth: u64) -> Reply {
    let reply = customer.get(path).await;
    assert_eq!((reply.status, held(&reply)), (200, Some(5)), "{:?}", reply.headers);
    customer.owes(&format!("api_calls={truth}"));
    reply
}
