//! The commands that read and mend what a gateway keeps, while it runs and while it does not.

mod doctor;
mod explain;
mod ledger;
mod outbox;

use serde_json::Value;

use crate::harness::{Ended, World, tollgate};

/// Runs a command on the world's configuration.
fn command(world: &World, arguments: &[&str]) -> Ended {
    let config = world.gateway.config.display().to_string();
    let folder = world.gateway.config.parent().expect("a folder");
    tollgate(folder, &[arguments, &["--config", &config]].concat(), &[])
}

/// Runs a command that must end well; answers its JSON.
fn json(world: &World, arguments: &[&str]) -> Value {
    let ended = command(world, &[arguments, &["--json"]].concat());
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("no JSON: {}", ended.stdout))
}
