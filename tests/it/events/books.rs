//! What the store holds of events, payments and credits.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

use crate::harness::World;

fn open(world: &World) -> Connection {
    let path = world.gateway.data_dir.join("tollgate.db");
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a store")
}

/// The first column of the rows of a query, as text.
pub fn texts(world: &World, query: &str) -> Vec<String> {
    let db = open(world);
    let mut query = db.prepare(query).expect("a query");
    let rows = query.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("texts")
}

pub fn count(world: &World, query: &str) -> i64 {
    open(world).query_row(query, [], |row| row.get(0)).expect("a count")
}

/// Outcome, amount and the overage in it of each payment.
pub fn payments(world: &World) -> Vec<String> {
    let row = "outcome || ' ' || kind || ' ' || amount_minor || ' ' || overage_minor || ' ' || attempts";
    texts(world, &format!("SELECT {row} FROM payments ORDER BY at, id"))
}

/// Units of each grant, in their order.
pub fn grants(world: &World) -> Vec<i64> {
    let units = texts(world, "SELECT CAST(units AS TEXT) FROM credits WHERE kind = 'granted' ORDER BY id");
    units.iter().map(|units| units.parse().expect("a number")).collect()
}

/// How many messages of a kind there are.
pub fn told(world: &World, kind: &str) -> i64 {
    count(world, &format!("SELECT count(*) FROM notices WHERE kind = '{kind}'"))
}

/// What all tables hold, but for some: a digest of each.
pub fn digests(world: &World, but: &[&str]) -> BTreeMap<String, String> {
    let db = open(world);
    let tables = texts(world, "SELECT name FROM sqlite_master WHERE type = 'table'").into_iter();
    let tables = tables.filter(|table| !but.contains(&&**table));
    tables.map(|table| (table.clone(), digest(&db, &table))).collect()
}

fn digest(db: &Connection, table: &str) -> String {
    let mut query = db.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).expect("a table");
    let columns = query.column_count();
    let mut rows = query.query([]).expect("rows");
    let mut digest = Sha256::new();
    while let Some(row) = rows.next().expect("a row") {
        for at in 0..columns {
            digest.update(format!("{:?}\n", row.get_ref(at).expect("a value")));
        }
    }
    digest.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
