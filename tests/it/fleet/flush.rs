//! Redis loses what it knows, under load: the bills stay exact, and limits hold but for what the fleet documents.

use std::cell::Cell;
use std::time::Duration;

use super::race::Race;
use super::redis::{Redis, Watched};
use super::trial::{CLIENTS, POLICIES, Trial};
use super::world::World;
use crate::harness::setting;

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_flushed_each_second_costs_no_bill_and_no_limit() {
    for (policy, bound) in POLICIES {
        let redis = Redis::start().await;
        let mut trial = Trial::start("flushed_each_second", World::on(&redis.url()), policy).await;
        let flushes = Cell::new(0);
        let flushing = async {
            let mut seconds = tokio::time::interval(Duration::from_secs(1));
            loop {
                seconds.tick().await;
                let () = redis.ask(&["FLUSHALL"]).await;
                flushes.set(flushes.get() + 1);
            }
        };
        let racing = async {
            while flushes.get() < setting("TOLLGATE_TEST_ROUNDS", 5) {
                trial.round(async |_| {}).await;
            }
        };
        tokio::select! {
            () = flushing => {}
            () = racing => {}
        }
        trial.end(&format!("{policy}, {} times FLUSHALL", flushes.get()), bound).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_and_comes_back_empty_costs_no_bill_and_no_limit() {
    for (policy, bound) in POLICIES {
        let mut redis = Redis::start().await;
        let mut trial = Trial::start("killed_and_empty", World::on(&redis.url()), policy).await;
        for _ in 0..setting("TOLLGATE_TEST_ROUNDS", 3) {
            trial.round(async |_| redis.restart().await).await;
        }
        trial.end(&format!("{policy}, Redis killed"), bound).await;
    }
}

/// The replica stands still for a while before the master dies: what was written in between is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_loses_the_last_writes_costs_no_bill_and_no_limit() {
    for (policy, bound) in POLICIES {
        let mut watched = Watched::start().await;
        let mut trial = Trial::start("failover", World::on(&watched.url()), policy).await;
        let (at, moment) = trial.next();
        let race = Race::start(&at, CLIENTS, &mut trial.dice);
        race.reaches(moment / 2).await;
        watched.replica.pause();
        race.reaches(race.charged() + 200).await;
        watched.master.kill();
        watched.replica.resume();
        trial.note(race, &at).await;
        trial.end(&format!("{policy}, a failover"), bound).await;
    }
}
