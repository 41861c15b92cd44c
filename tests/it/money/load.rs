//! Many customers, many requests: not a unit is lost or made up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Customer, World};

const CUSTOMERS: usize = 200;
const CONCURRENCY: usize = 64;
/// Costs of 1, 2, 3 and 5 units.
const PATHS: [&str; 4] = ["/signals", "/signals/history/ACME", "/export/csv", "/export/pdf"];

/// `TOLLGATE_TEST_REQUESTS` sets another number.
fn requests() -> usize {
    let asked = std::env::var("TOLLGATE_TEST_REQUESTS").ok();
    asked.map_or(20_000, |number| number.parse().expect("TOLLGATE_TEST_REQUESTS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_unit_that_clients_were_charged_reaches_stripe_customer_by_customer() {
    let world =
        World::builder().config("[tiers.free]\nincluded = { api_calls = \"unlimited\" }").start().await;
    let subscribe = |at| {
        let name = format!("customer-{at}");
        let subscribed = world.stripe.subscribe("pro", Some(&name));
        (world.claiming(&name, Some(&subscribed.customer)), subscribed.customer)
    };
    let (customers, at_stripe): (Vec<_>, Vec<_>) = (0..CUSTOMERS).map(subscribe).unzip();
    let customers: Arc<[Customer]> = customers.into();
    let next = Arc::new(AtomicUsize::new(0));
    let workers = (0..CONCURRENCY).map(|_| {
        let (customers, next) = (customers.clone(), next.clone());
        tokio::spawn(async move {
            let mut charged = vec![0; CUSTOMERS];
            loop {
                let request = next.fetch_add(1, Ordering::Relaxed);
                if request >= requests() {
                    return charged;
                }
                // Every customer meets every cost.
                let (who, path) = (request % CUSTOMERS, PATHS[(request / CUSTOMERS) % PATHS.len()]);
                let reply = customers[who].get(path).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
                charged[who] += reply.charged();
            }
        })
    });
    let mut charged = vec![0; CUSTOMERS];
    for worker in workers.collect::<Vec<_>>() {
        let units = worker.await.expect("no request failed");
        charged.iter_mut().zip(units).for_each(|(sum, units)| *sum += units);
    }
    world.flush_all().await;
    let metered = world.stripe.metered().await;
    for (stripe_customer, charged) in at_stripe.iter().zip(&charged) {
        let account = (stripe_customer.clone(), "api_calls".to_owned());
        assert_eq!(metered.get(&account).copied().unwrap_or(0), *charged, "{stripe_customer}");
    }
    let (units, held): (u64, u64) = (charged.iter().sum(), metered.values().sum());
    eprintln!("{} requests of {CUSTOMERS} customers: {units} units charged, Stripe holds {held}", requests());
    let expected: usize = (0..requests()).map(|request| [1, 2, 3, 5][(request / CUSTOMERS) % 4]).sum();
    assert_eq!(charged.iter().sum::<u64>(), expected as u64, "the configured costs were charged");
    world.finish().await;
}
