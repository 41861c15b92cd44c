//! A member of a fleet without a gateway around it.

use std::sync::Arc;
use std::time::Duration;

use tollgate::fleet::{Fleet, Options};

use super::redis_server::Redis;

pub const PUBLISH: Duration = Duration::from_millis(250);

/// Joins; whatever Redis loses there is nothing to be put back.
pub async fn join(redis: &Redis, name: &str) -> Arc<Fleet> {
    let options = Options {
        address: redis.address(),
        timeout: Duration::from_secs(5),
        publish_interval: PUBLISH,
        take_over_after: Duration::from_mins(10),
        node: name.to_owned(),
        ledger: uuid::Uuid::new_v4().simple().to_string(),
    };
    let fleet = Arc::new(Fleet::new(&options).expect("an address"));
    fleet.join().await.expect("a member");
    let running = fleet.clone();
    tokio::spawn(async move { running.run().await });
    let losing = fleet.clone();
    tokio::spawn(async move {
        loop {
            let generation = losing.next_loss().await;
            // It is lost again where this fails.
            let _ = losing.put_back(&generation).await;
        }
    });
    let returning = fleet.clone();
    tokio::spawn(async move {
        loop {
            let rejoin = returning.next_rejoin().await;
            returning.rejoined(rejoin);
        }
    });
    fleet
}
