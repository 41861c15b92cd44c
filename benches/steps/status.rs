//! `GET /billing/status` from memory, over HTTP: one of 1,000 customers after another, on one connection.

use std::time::{Duration, Instant};

use criterion::Criterion;
use tokio::runtime::Runtime;

use super::gateway::{Gateway, token};

const CUSTOMERS: usize = 1_000;

pub fn status(c: &mut Criterion) {
    // Another part may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = Runtime::new().expect("a runtime");
    let mut gateway = Gateway::start(folder.path(), r#"mode = "sandbox""#);
    gateway.until_it_listens();
    let tokens: Vec<String> = (0..CUSTOMERS).map(|number| token(&format!("user-{number:09}"))).collect();
    for token in &tokens {
        runtime.block_on(gateway.status(token));
    }
    let (mut times, mut turn) = (Vec::new(), 0);
    c.bench_function("status of one of 1,000 customers, over HTTP", |b| {
        b.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut sum = Duration::ZERO;
                for _ in 0..rounds {
                    // Neighbours do not follow one another.
                    turn = (turn + 389) % CUSTOMERS;
                    let started = Instant::now();
                    gateway.status(&tokens[turn]).await;
                    let took = started.elapsed();
                    times.push(took);
                    sum += took;
                }
                sum
            })
        });
    });
    times.sort_unstable();
    if let Some(last) = times.len().checked_sub(1) {
        eprintln!("of {} answers: p99 {:?}, at most {:?}", times.len(), times[last * 99 / 100], times[last]);
    }
}
