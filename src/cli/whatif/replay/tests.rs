//! What is told late comes to what it would have come to at once.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rust_decimal::Decimal;
use smallvec::smallvec;
use tempfile::TempDir;

use super::*;
use crate::cli::whatif::exchanges::Exchanges;
use crate::cli::whatif::exchanges::tests::{SECOND, correction, record};
use crate::cli::whatif::tally::OfMeter;
use crate::config;
use crate::ledger::{Kind, Record, RecordDraw};
use crate::store::{AtOnce, NameKind, Store};

const CONFIG: &str = r#"
    server = { listen = "127.0.0.1:1" }
    auth.jwt = { algorithms = ["HS256"], secret = "0123456789abcdef0123456789abcdef" }
    upstreams.api = { servers = ["127.0.0.1:9000"] }
    meters.api_calls = {}
    billing = { currency = "usd" }
    stripe = { mode = "sandbox" }
    [tiers.free]
    default = true
    included = { api_calls = 7 }
    overage = { unit_amount = { api_calls = "0.10" } }
    [[routes]]
    path = "/told"
"#;
const MEASURED: &str = "cost = { api_calls = { json = \"/units\", hold = 10 } }";
const FIXED: &str = "cost = 5";

struct Ground {
    books: Books,
    _folder: TempDir,
}

impl Ground {
    /// A store that has the names behind the numbers of [`record`].
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("opens");
        store.ledger_id([1; 16]).expect("writes");
        for (kind, name) in [
            (NameKind::Route, "/other"),
            (NameKind::Route, "/told"),
            (NameKind::Tier, "free"),
            (NameKind::Route, "/another"),
            (NameKind::Meter, "api_calls"),
        ] {
            store.number_names(kind, vec![name.to_owned()]).expect("writes");
        }
        drop(store);
        let file = folder.path().join("t.toml");
        let server = format!("listen = \"127.0.0.1:1\", data_dir = {:?}", folder.path());
        let text = format!("{}\n{FIXED}", CONFIG.replace("listen = \"127.0.0.1:1\"", &server));
        std::fs::write(&file, text).expect("writes");
        let Ok(books) = Books::open(&file) else { panic!("a store and its configuration") };
        Self { books, _folder: folder }
    }

    /// What records come to where the route costs this.
    fn replay(&self, cost: &str, records: &[Record]) -> OfMeter {
        let config = config::parse(&format!("{CONFIG}\n{cost}"), "t.toml".as_ref(), &|_| None);
        let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let mut replay = Replay::new(Mapping::new(config.catalogue), config.billing.idempotency);
        let (start, mut exchanges) = (Start::new(AtOnce::default()), Exchanges::default());
        let mut see = |told: Told<'_>| assert!(replay.see(&told, &start, &self.books).is_ok());
        for record in records {
            exchanges.take(record, &mut see);
        }
        exchanges.finish(&mut see);
        let (_, customers) = replay.into_tallies();
        let tallies = customers.values().flat_map(Tallies::iter);
        let mut sum = OfMeter::default();
        for (_, tally) in tallies {
            assert_eq!(tally.refusals().count(), 0);
            tally.meters().for_each(|(_, found)| sum.add(&found));
        }
        sum
    }
}

/// Of one exchange: what each of its slices came to, and how many seconds each was open.
type Slices = Vec<(i64, i64)>;

/// Records of exchanges that begin a second after each other, in the order of their instants.
fn recorded(exchanges: &[Slices]) -> Vec<Record> {
    #[derive(Clone, Copy)]
    enum Of {
        Truth(usize, usize),
        Slice(usize, usize),
    }
    let mut due = BTreeMap::new();
    for (number, slices) in exchanges.iter().enumerate() {
        let mut at = 1_000_000 + i64::try_from(number).expect("few");
        for (slice, (_, open_for)) in slices.iter().enumerate() {
            due.entry((at, number, slice)).or_insert_with(Vec::new).push(Of::Slice(number, slice));
            at += open_for;
            due.entry((at, number, slice)).or_insert_with(Vec::new).push(Of::Truth(number, slice));
        }
    }
    let (mut records, mut charged) = (Vec::<Record>::new(), BTreeMap::new());
    for ((at, ..), all) in due {
        for of in all {
            let (next, at) = (records.len() as u64 + 1, at * SECOND);
            let of_exchange = |exchange| charged.get(&(exchange, 0)).map(|first: &Record| first.number);
            records.push(match of {
                Of::Truth(exchange, slice) => {
                    correction(&charged[&(exchange, slice)], next, at, exchanges[exchange][slice].0 - 10)
                }
                Of::Slice(exchange, slice) => {
                    let draws = smallvec![RecordDraw { meter: 5, included: 10, ..RecordDraw::default() }];
                    let kind = of_exchange(exchange).map_or(Kind::Estimate, |of| Kind::Slice { of });
                    let made = Record { kind, draws, ..record(next, at, 0) };
                    charged.insert((exchange, slice), made.clone());
                    made
                }
            });
        }
    }
    records
}

#[test]
fn whenever_it_is_told_an_exchange_costs_its_units_or_once_what_it_costs_at_all() {
    let ground = Ground::new();
    let slice = (prop_oneof![Just(0), 1i64..30], prop_oneof![Just(1), Just(50), Just(200)]);
    let exchanges = prop::collection::vec(prop::collection::vec(slice, 1..4), 1..6);
    proptest!(|(exchanges in exchanges)| {
        let records = recorded(&exchanges);
        let told: i64 = exchanges.iter().flatten().map(|(units, _)| units).sum();
        let paid = exchanges.iter().filter(|slices| slices.iter().any(|(units, _)| *units > 0)).count();
        for (cost, units) in [(MEASURED, told), (FIXED, 5 * i64::try_from(paid).expect("few"))] {
            let overage = (units - 7).max(0);
            let amount = Decimal::new(10, 2) * Decimal::from(overage);
            prop_assert_eq!(ground.replay(cost, &records), OfMeter { units, overage, amount });
        }
    });
}

#[test]
fn an_answer_that_breaks_off_late_costs_nothing_and_what_began_before_is_corrected_as_it_was() {
    let at = 1_000_000 * SECOND;
    let charge = |number, at| Record { kind: Kind::Charge, ..record(number, at, 0) };
    let (before, broken) = (charge(3, at - SECOND), charge(7, at));
    let ground = Ground::new();
    let records = [
        broken.clone(),
        charge(8, at + 100 * SECOND),
        correction(&broken, 9, at + 101 * SECOND, -4),
        correction(&before, 10, at + 102 * SECOND, -3),
    ];
    for (cost, units) in [(MEASURED, 4 - 3), (FIXED, 5 - 3)] {
        assert_eq!(ground.replay(cost, &records).units, units);
    }
}
