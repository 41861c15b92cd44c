//! Who gives way to whom among the gateway's threads.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;

use crate::harness::World;

/// The name and the nice value of each thread of a process, see proc(5).
fn threads(process: u32) -> Vec<(String, i32)> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("a running process");
    // One that ends meanwhile is not listed.
    let stats = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    stats.map(|stat| thread(&stat).expect("as documented")).collect()
}

fn thread(stat: &str) -> Option<(String, i32)> {
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
    Some((name.to_owned(), rest.split(' ').nth(16)?.parse().ok()?))
}

#[tokio::test]
async fn those_beside_the_requests_give_way_and_those_that_requests_wait_for_do_not() {
    let world = World::start().await;
    let threads = threads(world.gateway.id());
    let usual = threads.iter().find(|(name, _)| name == "store-read").expect("it runs").1;
    let give_way = threads.iter().filter(|(_, nice)| *nice > usual).map(|(name, _)| name.as_str());
    assert_eq!(give_way.collect::<BTreeSet<_>>(), ["fold", "store", "store-scan"].into());
    world.finish().await;
}
