//! Others are told what happens to customers: once, signed, until they take it.

mod daily;
mod delivery;
mod limits;
mod watch;

use rusqlite::Connection;

use crate::harness::{Listener, PATIENCE, World, until};

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

/// Waits until all that was to be told has been taken, and that is known: a gateway that ends before tells it again.
async fn until_settled(world: &World) {
    let open = "SELECT (SELECT count(*) FROM notices WHERE NOT spread)
                     + (SELECT count(*) FROM deliveries WHERE state = 'pending')";
    until("all is delivered", PATIENCE, async || {
        let open: i64 = store(world).query_row(open, [], |row| row.get(0)).expect("notices");
        (open == 0).then_some(())
    })
    .await;
}
