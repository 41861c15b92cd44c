//! What requests through three gateways cost Redis, and what Redis costs them.

use std::time::Duration;

use tokio::runtime::Runtime;

use super::asked;
use super::load::{self, Tally};
use super::nodes::{Gateways, tokens};
use super::redis_server::Redis;

const BUSY: usize = 100;
const CONNECTIONS: usize = 96;
/// What the clients and the API need beside the gateways.
const ROUNDS: usize = 5;

fn lasts() -> Duration {
    Duration::from_secs(asked("TOLLGATE_BENCH_SECONDS", 10))
}

/// At saturation by busy customers.
pub fn commands() {
    let runtime = Runtime::new().expect("a runtime");
    let redis = Redis::start();
    let gateways = Gateways::start(runtime.block_on(load::origin()), Some(&redis));
    let tokens = tokens("busy", BUSY);
    runtime.block_on(load::run(&gateways.at, &tokens, CONNECTIONS, Duration::from_secs(3)));
    let count = redis.count();
    let before = count.so_far();
    let tally = runtime.block_on(load::run(&gateways.at, &tokens, CONNECTIONS, lasts()));
    let commands = count.so_far() - before;
    let seconds = lasts().as_secs_f64();
    println!(
        "3 gateways, {BUSY} customers, {CONNECTIONS} connections: {:.0} requests/s, {:.0} commands/s, {:.4} commands a request",
        tally.requests() as f64 / seconds,
        commands as f64 / seconds,
        commands as f64 / tally.requests() as f64,
    );
}

/// Customers who come once each, and then never again.
pub fn once() {
    const CUSTOMERS: usize = 5_000;
    let runtime = Runtime::new().expect("a runtime");
    let redis = Redis::start();
    let gateways = Gateways::start(runtime.block_on(load::origin()), Some(&redis));
    let count = redis.count();
    let idle = Duration::from_secs(5);
    let before = count.so_far();
    std::thread::sleep(idle);
    let of_nobody = (count.so_far() - before) as f64 / idle.as_secs_f64();
    let tokens = tokens("once", CUSTOMERS);
    let (before, begun) = (count.so_far(), std::time::Instant::now());
    let first = runtime.block_on(load::each_once(gateways.at[0], &tokens));
    // What is told of them in ticks, and given back when they are quiet.
    std::thread::sleep(Duration::from_secs(4));
    let commands = (count.so_far() - before) as f64 - of_nobody * begun.elapsed().as_secs_f64();
    println!("of nobody: {of_nobody:.0} commands/s of 3 gateways");
    println!(
        "{CUSTOMERS} customers once each: {:.2} commands a customer in all; p50 {} µs, p99 {}",
        commands / CUSTOMERS as f64,
        first.percentile(50),
        first.percentile(99),
    );
    let one = &tokens[..1];
    let known = runtime.block_on(load::run(&gateways.at[..1], one, 1, Duration::from_secs(2)));
    println!("one who is known: p50 {} µs, p99 {}", known.percentile(50), known.percentile(99));
}

/// The same gateways with and without a fleet, in turn.
pub fn latency() {
    let runtime = Runtime::new().expect("a runtime");
    let redis = Redis::start();
    let origin = runtime.block_on(load::origin());
    let fleet = Gateways::start(origin, Some(&redis));
    let alone = Gateways::start(origin, None);
    let tokens = tokens("busy", BUSY);
    for (what, nodes, connections) in [("one of them", 1, 4), ("all three", 3, CONNECTIONS)] {
        let ask = |gateways: &Gateways, lasts| {
            runtime.block_on(load::run(&gateways.at[..nodes], &tokens, connections, lasts))
        };
        for gateways in [&fleet, &alone] {
            ask(gateways, Duration::from_secs(2));
        }
        let mut ratios = Vec::new();
        for round in 0..ROUNDS {
            let mut both = [Tally::default(), Tally::default()];
            let mut order = [(0, &fleet), (1, &alone)];
            order.rotate_left(round % 2);
            for (at, gateways) in order {
                both[at] = ask(gateways, lasts() / 3);
            }
            let [with, without] = &both;
            ratios.push(f64::from(with.percentile(50)) / f64::from(without.percentile(50)));
            println!(
                "{what}, {connections} connections: p50 {} µs in a fleet, {} without; p99 {} and {}; {} and {} requests",
                with.percentile(50),
                without.percentile(50),
                with.percentile(99),
                without.percentile(99),
                with.requests(),
                without.requests(),
            );
        }
        ratios.sort_by(f64::total_cmp);
        println!(
            "{what}: p50 in a fleet is {:.3} of that without ({:.3} to {:.3})",
            ratios[ROUNDS / 2],
            ratios[0],
            ratios[ROUNDS - 1]
        );
    }
}
