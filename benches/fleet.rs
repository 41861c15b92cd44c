//! What a fleet costs: `cargo bench --profile dist --bench fleet -- commands|once|latency|memory|beside`.
//!
//! Needs `redis-server`. `TOLLGATE_BENCH_SECONDS` makes each measurement longer, `TOLLGATE_BENCH_CUSTOMERS` the one of
//! memory smaller or larger.

#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a table for people"
)]

#[path = "fleet/beside.rs"]
mod beside;
#[path = "shared/capped.rs"]
mod capped;
#[path = "fleet/load.rs"]
mod load;
#[path = "fleet/member.rs"]
mod member;
#[path = "fleet/memory.rs"]
mod memory;
#[path = "fleet/nodes.rs"]
mod nodes;
#[path = "fleet/redis.rs"]
mod redis_server;
#[path = "fleet/requests.rs"]
mod requests;

/// The binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("the first one");
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let parts: [(&str, fn()); 5] = [
        ("commands", requests::commands),
        ("once", requests::once),
        ("latency", requests::latency),
        ("memory", memory::per_customer),
        ("beside", beside::decisions),
    ];
    for (name, part) in parts {
        if chosen.is_empty() || chosen.iter().any(|word| word == name) {
            println!("## {name}");
            part();
        }
    }
}

/// A number from the environment, or what is usual.
fn asked(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}
