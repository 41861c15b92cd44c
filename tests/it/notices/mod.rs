//! Others are told what happens to customers: once, signed, until they take it.

mod daily;
mod delivery;
mod limits;
mod watch;

use rusqlite::Connection;

use crate::harness::{Listener, PATIENCE, World};

/// The store, to be changed.
fn store(world: &World) -> Connection {
    let store = Connection::open(world.gateway.data_dir.join("tollgate.db")).expect("a store");
    store.busy_timeout(PATIENCE).expect("a store");
    store
}

/// A world whose gateway tells one listener everything.
async fn told(config: &str) -> (World, Listener) {
    let listener = Listener::start().await;
    let world =
        World::builder().config(&format!("{config}\n{}", listener.wants("crm", &["*"]))).start().await;
    (world, listener)
}
