//! What is promised of the command line and of signals.

use std::process::Command;

use crate::harness::{PATIENCE, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn sigquit_waits_for_a_new_process_and_ends_nobody() {
    let mut world = World::start().await;
    let sent = Command::new("kill").arg("-QUIT").arg(world.gateway.id().to_string()).status();
    assert!(sent.expect("`kill` starts").success());
    until("it is heard", PATIENCE, async || world.gateway.log().contains("SIGQUIT").then_some(())).await;
    assert_eq!(world.customer("calm").get("/signals").await.charged(), 1);
    world.gateway.upgrade().await;
    world.gateway.replaced_ended().await;
    assert_eq!(world.customer("calm").get("/signals").await.charged(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_being_asked_to_a_second_process_takes_nothing_over() {
    let world = World::start().await;
    let (code, said) = world.gateway.run_in_vain().await;
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(world.customer("calm").get("/signals").await.charged(), 1);
    world.finish().await;
}
