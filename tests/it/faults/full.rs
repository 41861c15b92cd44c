//! A file system without room: nothing is free, nothing is lost, and it goes on by itself when there is room again.

use std::process::Command;
use std::time::{Duration, Instant};

use http::Method;

use super::stripe::{assert_each_counts_once, subscribers};
use crate::harness::{Behaviour, Load, PATIENCE, Room, Sizes, World, fill, make_room, until};

/// What DECISIONS promises from there being room to the first charged answer.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// What takes the room away, and gives it back.
#[derive(Clone, Copy, Debug)]
enum Pressure {
    /// A small file system, filled up.
    Filled,
    /// A limit on the size of files, set at run time: every write fails, on machines that forbid mounts too.
    Limited,
}

impl Pressure {
    fn apply(self, world: &World) {
        match self {
            Self::Filled => fill(&world.gateway.data_dir),
            Self::Limited => limit(world, "0:unlimited"),
        }
    }

    fn relieve(self, world: &World) {
        match self {
            Self::Filled => make_room(&world.gateway.data_dir),
            Self::Limited => limit(world, "unlimited:unlimited"),
        }
    }
}

fn limit(world: &World, size: &str) {
    let pid = world.gateway.id().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={size}")]).status();
    assert!(set.is_ok_and(|status| status.success()), "prlimit sets the limit of a process of ours");
}

fn mounts_are_forbidden() -> bool {
    let forbidden = !Room::is_allowed();
    if forbidden {
        eprintln!("this machine forbids mounts: the limit on files stands for the full disk");
    }
    forbidden
}

/// Load while there is no room, then room.
async fn outlives(pressure: Pressure, world: World) {
    let customers = subscribers(&world, 4);
    // Until then they have the free tier's units, which a slow machine may use up.
    for (customer, _) in &customers {
        customer.until_status("tier", "pro").await;
    }
    let clients: Vec<_> = customers.iter().map(|(customer, _)| customer.clone()).collect();
    let load = Load::start(&clients, 8);
    load.answers(50).await;
    for round in 1..=3 {
        pressure.apply(&world);
        // From the first refusal on every answer is one: a page of a file may still have had room.
        load.refusals(400).await;
        let charged = load.charged();
        load.refusals(200).await;
        assert_eq!(load.charged(), charged, "something was charged without room");
        let reply = clients[0].get("/signals").await;
        assert_eq!(reply.refusal(), (503, "ledger_unavailable".to_owned()));
        assert!(reply.header("retry-after").is_some());
        assert_eq!(world.admin(Method::GET, "/readyz", None).await.status, 503);
        for client in &clients {
            client.used().await;
        }
        assert_eq!(clients[0].get("/free").await.status, 200, "what costs nothing needs no record");

        pressure.relieve(&world);
        let room_since = Instant::now();
        load.answers(20).await;
        let back_after = room_since.elapsed();
        eprintln!(
            "{pressure:?}, round {round}: {} refused so far; back after {back_after:?}",
            load.refused()
        );
        assert!(back_after < BACK_WITHIN);
        assert_eq!(world.admin(Method::GET, "/readyz", None).await.status, 200);
    }
    assert_eq!(load.lost(), 0, "every request was answered");
    load.end().await;
    world.drain().await;
    let held = assert_each_counts_once(&world, &customers).await;
    assert_eq!(world.seen(), (held, 0));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_system_refuses_charged_routes_loses_nothing_and_ends_by_itself() {
    if !mounts_are_forbidden() {
        let world = World::builder().in_room(Sizes::Together { mebibytes: 16 }).start().await;
        outlives(Pressure::Filled, world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_files_does_the_same_and_does_not_end_the_process() {
    outlives(Pressure::Limited, World::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_record_cannot_be_written_is_discarded_and_not_charged() {
    for durability in ["process", "power"] {
        let config = format!("[ledger]\ndurability = \"{durability}\"");
        let world = World::builder().config(&config).start().await;
        let customer = world.customer("acme");
        assert_eq!(customer.get("/signals").await.charged(), 1);
        world.upstream.on("/export/pdf", Behaviour::Held);
        let asking = tokio::spawn({
            let customer = customer.clone();
            async move { customer.get("/export/pdf").await }
        });
        // The request was admitted and the API has answered it: then the room ends.
        world.upstream.arrived("/export/pdf", 1).await;
        Pressure::Limited.apply(&world);
        world.upstream.release();
        let reply = asking.await.expect("the task ran");
        assert_eq!(reply.refusal(), (503, "ledger_unavailable".to_owned()));
        assert_eq!(customer.used().await, 1);
        Pressure::Limited.relieve(&world);
        until("it is back", BACK_WITHIN, async || {
            (customer.get("/signals").await.status == 200).then_some(())
        })
        .await;
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_without_room_beside_a_store_with_room_does_the_same() {
    if mounts_are_forbidden() {
        return;
    }
    let sizes = Sizes::Apart { store_mebibytes: 16, ledger_mebibytes: 2 };
    let world = World::builder().in_room(sizes).start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    let ledger = world.gateway.data_dir.join("ledger");
    let answered = async |status: u16| {
        let reply = customer.get("/export/pdf").await;
        assert!(reply.status != 200 || reply.charged() == 5, "a free answer");
        (reply.status == status).then_some(())
    };
    fill(&ledger);
    until("the ledger is full", PATIENCE, async || answered(503).await).await;
    make_room(&ledger);
    until("it is back", BACK_WITHIN, async || answered(200).await).await;
    world.drain().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, world.seen_of("acme").0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_room_stops_no_request_and_catches_up_when_there_is_room() {
    if mounts_are_forbidden() {
        return;
    }
    let sizes = Sizes::Apart { store_mebibytes: 8, ledger_mebibytes: 16 };
    let mut world = World::builder().in_room(sizes).start().await;
    let customers = subscribers(&world, 3);
    for (customer, _) in &customers {
        customer.until_status("tier", "pro").await;
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    fill(&world.gateway.data_dir);
    let clients: Vec<_> = customers.iter().map(|(customer, _)| customer.clone()).collect();
    let load = Load::start(&clients, 4);
    until("folding fails", PATIENCE, async || world.gateway.log().contains("folding failed").then_some(()))
        .await;
    load.answers(200).await;
    // Whoever was never seen cannot be given a number, and so is not served for free.
    let stranger = world.customer("stranger");
    assert_eq!(stranger.get("/signals").await.status, 503);
    assert_eq!(load.refused(), 0, "the ledger has room");
    load.end().await;
    // Killed now, the ledger alone holds what was charged.
    world.gateway.kill9();
    make_room(&world.gateway.data_dir);
    world.gateway.restart().await;
    assert_eq!(stranger.get("/signals").await.charged(), 1);
    world.drain().await;
    let held = assert_each_counts_once(&world, &customers).await;
    assert_eq!(world.seen(), (held + 1, 0));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_room_ends_with_a_sentence_and_the_next_one_goes_on() {
    if mounts_are_forbidden() {
        return;
    }
    let mut world = World::builder().in_room(Sizes::Together { mebibytes: 8 }).start().await;
    let (customer, _) = world.subscriber("acme", "pro").await;
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    world.gateway.kill9();
    fill(&world.gateway.data_dir);
    let (code, last_words) = world.gateway.start_in_vain().await;
    assert_eq!(code, Some(1), "{last_words}");
    assert!(last_words.contains("No space left") && last_words.contains("data_dir"), "{last_words}");
    make_room(&world.gateway.data_dir);
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 5);
    world.drain().await;
    world.finish().await;
}
