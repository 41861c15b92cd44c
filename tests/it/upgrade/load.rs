//! Upgrades under load: nobody is turned away, and no limit is passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::{GET, free};
use crate::harness::{Load, World};

const UPGRADES: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_in_a_row_under_load_fail_no_request() {
    let mut world = World::start().await;
    let (pro, _) = world.subscriber("busy", "pro").await;
    let (other, _) = world.subscriber("busier", "pro").await;
    let load = Load::start(&[pro.clone(), other.clone()], 8);
    let stop = Arc::new(AtomicBool::new(false));
    let mut by_hand = JoinSet::new();
    // Connections that carry one request, and those that carry as many as the gateway says.
    for at in 0..4 {
        let wires = world.wires();
        let (customer, stop) = (if at % 2 == 0 { pro.clone() } else { other.clone() }, stop.clone());
        by_hand.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let mut wire = wires.connect().await;
                let head = if at < 2 { format!("{GET}\r\nConnection: close") } else { GET.to_owned() };
                loop {
                    let reply = wire.ask(&customer, &head).await;
                    assert_eq!((reply.status, reply.charged()), (200, 1), "{}", reply.text());
                    if reply.header("connection") == Some("close") || stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }
        });
    }
    for _ in 0..UPGRADES {
        load.answers(50).await;
        world.gateway.upgrade().await;
        load.answers(50).await;
    }
    assert_eq!((load.lost(), load.refused()), (0, 0), "somebody was turned away:\n{}", world.gateway.log());
    load.end().await;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = by_hand.join_next().await {
        ended.expect("every request was answered");
    }
    world.gateway.replaced_ended().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_ends_while_processes_change_is_sold_to_its_last_unit_and_not_beyond() {
    const UNITS: u64 = 400;
    let mut world = World::builder().config(&free(UNITS)).start().await;
    let customer = world.customer("tight");
    let charged = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (customer, charged) = (customer.clone(), charged.clone());
        clients.spawn(async move {
            loop {
                let reply = customer.get("/signals").await;
                match reply.status {
                    200 => charged.fetch_add(reply.charged(), Ordering::Relaxed),
                    429 => return assert_eq!(reply.code(), "quota_exceeded"),
                    _ => panic!("{} {}", reply.status, reply.text()),
                };
            }
        });
    }
    while clients.len() == 8 && charged.load(Ordering::Relaxed) < UNITS {
        world.gateway.upgrade().await;
        if clients.try_join_next().is_some() {
            break;
        }
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("charged, or refused for the quota");
    }
    assert_eq!(charged.load(Ordering::Relaxed), UNITS);
    assert_eq!(customer.used().await, UNITS);
    world.gateway.replaced_ended().await;
    world.finish().await;
}
