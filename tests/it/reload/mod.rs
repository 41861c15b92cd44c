//! Another configuration while everything runs.

mod asked;
mod callers;
mod certificates;
mod exchanges;
mod secrets;
mod series;
mod terms;
mod upstreams;

use crate::harness::World;

pub use certificates::Files;

/// Reloads so far that were put in force.
async fn applied(world: &World) -> u64 {
    world
        .metric(r#"tollgate_config_reload_total{outcome="applied"}"#)
        .await
        .expect("it is there from the start")
}

/// Reloads so far that changed nothing.
async fn rejected(world: &World) -> u64 {
    world
        .metric(r#"tollgate_config_reload_total{outcome="rejected"}"#)
        .await
        .expect("it is there from the start")
}

/// The usual routes, and these behind them.
pub fn routes(more: &str) -> String {
    format!(
        r#"routes = [
            {{ path = "/signals", methods = ["GET", "POST"], cost = 1 }},
            {{ path = "/signals/history/{{symbol}}", cost = 2 }},
            {{ path = "/export/csv", cost = 3 }},
            {{ path = "/export/pdf", cost = 5 }},
            {more}
        ]
        "#
    )
}
