//! The script is what [`Book`] is, whatever it is told: both are put the same calls, and must answer the same.
//!
//! `SEED=7 cargo test --lib fleet::book` plays one seed; a failure prints its own.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;
use smallvec::SmallVec;

use super::scripts::{BACK, LEASE, Run};
use super::{Answered, Named, Version, Words, keys, values, wire};
use crate::domain::lease::book::{Book, Caller, Entry};
use crate::domain::lease::{Ask, Call, Pool, RateAsk};
use crate::domain::rate::Rate;
use crate::domain::route::{Methods, RouteId};
use crate::domain::units::MeterId;
use crate::domain::usage::Now;

const STEPS: u64 = 2_500;
const SLOTS: [u32; 4] = [5, 6, 7, 46_655];
const POOLS: [Pool; 6] = [
    Pool::Included(MeterId(0)),
    Pool::Extra(MeterId(0)),
    Pool::Lot(9),
    Pool::Overage(MeterId(1)),
    Pool::Credits(MeterId(1)),
    Pool::Cap,
];

/// A real server; it ends with the test.
struct Server {
    process: Child,
    connection: redis::Connection,
}

impl Server {
    fn start() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port().to_string();
        drop(free);
        let args = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"];
        let process = Command::new("redis-server").args(args).stdout(Stdio::null()).spawn();
        let process = process.expect("redis-server is installed: apt-get install redis-server");
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).expect("an address");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match client.get_connection() {
                Ok(connection) => return Self { process, connection },
                Err(error) => assert!(Instant::now() < deadline, "no server: {error}"),
            }
        }
    }

    fn run(&mut self, script: &Run) -> Value {
        script.in_full().query(&mut self.connection).expect("the script runs")
    }

    fn command(&mut self, words: &[&str]) {
        let () = redis::cmd(words[0]).arg(&words[1..]).query(&mut self.connection).expect("a command");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.roll(of) == 0
    }

    fn small(&mut self) -> u32 {
        u32::try_from(self.roll(12)).expect("it is small")
    }
}

/// Redis and the book as they were: keys with what they held, and the versions.
type Copy = (Vec<(Vec<u8>, Vec<u8>)>, Book, HashMap<String, u64>);

/// What others said, as the script has it and as the book has it.
type Others = (Box<str>, Vec<(u32, Entry)>);

struct Game {
    seed: u64,
    dice: Dice,
    server: Server,
    book: Book,
    words: Arc<Words>,
    /// All of one bucket.
    customers: Vec<String>,
    versions: HashMap<String, u64>,
    copy: Option<Copy>,
    /// Markers by what the script calls them.
    markers: HashMap<String, u64>,
    seen_marker: HashMap<u32, (String, u64)>,
    /// By caller and customer.
    seen_others: HashMap<(u32, String), Others>,
    start: i64,
}

fn slot_text(slot: u32) -> String {
    keys::text::<4>(slot.into())
}

impl Game {
    fn new(seed: u64) -> Self {
        let bucket = keys::bucket("acme");
        let names = (0..).map(|n| format!("customer {n}"));
        let minutes = crate::clock::now().seconds() / 60;
        Self {
            seed,
            dice: Dice(seed),
            server: Server::start(),
            book: Book::default(),
            words: Arc::new(Words::new(["calls", "tokens"], [("/a", &Methods::All)])),
            customers: names.filter(|name| keys::bucket(name) == bucket).take(3).collect(),
            versions: HashMap::new(),
            copy: None,
            markers: HashMap::new(),
            seen_marker: HashMap::new(),
            seen_others: HashMap::new(),
            start: minutes * 60,
        }
    }

    fn asks(&mut self) -> SmallVec<[Ask; 2]> {
        let mut asks = SmallVec::new();
        for pool in POOLS {
            if self.dice.one_in(3) {
                continue;
            }
            let limit = [0, 7, 40, 400][usize::try_from(self.dice.roll(4)).expect("it is small")];
            let used = self.dice.roll(12);
            let keep = used + self.dice.roll(6);
            let window = if matches!(pool, Pool::Lot(_)) { 0 } else { self.window() };
            asks.push(Ask {
                pool,
                window,
                used,
                keep,
                least: keep + self.dice.roll(5),
                want: keep + self.dice.roll(30),
                limit,
                price: if pool == Pool::Cap { 0 } else { self.dice.roll(3) },
            });
        }
        asks
    }

    fn window(&mut self) -> i64 {
        self.start - if self.dice.one_in(4) { 86_400 } else { 0 }
    }

    fn rates(&mut self) -> SmallVec<[RateAsk; 1]> {
        let mut rates = SmallVec::new();
        for route in [None, Some(RouteId(0))] {
            if self.dice.one_in(2) {
                let count = |n| NonZeroU32::new(n).expect("not nothing");
                let rate = if route.is_none() {
                    Rate::new(count(300), count(1), count(20))
                } else {
                    Rate::new(count(7), count(3), count(5))
                };
                let (left, least, want) = (self.dice.small() / 2, self.dice.small() / 4, self.dice.small());
                rates.push(RateAsk { route, rate, left, least, want });
            }
        }
        rates
    }

    fn call(&mut self, step: u64) -> Call {
        let ended = if self.dice.one_in(5) {
            POOLS
                .iter()
                .filter(|pool| !matches!(pool, Pool::Lot(_)))
                .map(|pool| (*pool, self.start - 86_400))
                .collect()
        } else {
            Vec::new()
        };
        let mut asks = self.asks();
        // Nobody states what has ended.
        asks.retain(|ask| !ended.contains(&(ask.pool, ask.window)));
        Call {
            // Some are late.
            seq: step + 10 - self.dice.roll(3) * 5,
            asks,
            rates: self.rates(),
            ended,
            expires: self.start + 86_400,
            wants_others: self.dice.one_in(2),
            sent: Now::default(),
        }
    }

    fn version(&mut self, customer: &str) -> Version {
        let stored = self.versions.get(customer).copied().unwrap_or(0);
        let behind = if self.dice.one_in(6) { self.dice.roll(3) } else { 0 };
        Version::of(stored.saturating_sub(behind))
    }

    fn play(&mut self) {
        for step in 0..STEPS {
            match self.dice.roll(60) {
                0 => self.flush(),
                1 => self.put(),
                50..58 => self.copy = Some(self.copied()),
                58 if self.dice.one_in(2) => self.fall_back(),
                2..10 => self.put_back(),
                _ => self.settle(step),
            }
        }
    }

    fn flush(&mut self) {
        if self.dice.one_in(3) {
            self.server.command(&["FLUSHALL"]);
            self.book.flush();
            self.versions.clear();
        }
    }

    fn copied(&mut self) -> Copy {
        let connection = &mut self.server.connection;
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(connection).expect("keys");
        let held = |key: Vec<u8>| {
            let value = redis::cmd("DUMP").arg(&key).query(&mut self.server.connection).expect("a value");
            (key, value)
        };
        (keys.into_iter().map(held).collect(), self.book.clone(), self.versions.clone())
    }

    /// As if a replica that is behind, or a backup, had taken the place of what there was.
    fn fall_back(&mut self) {
        let Some((held, book, versions)) = self.copy.clone() else { return };
        self.server.command(&["FLUSHALL"]);
        for (key, value) in held {
            let mut restore = redis::cmd("RESTORE");
            let restore = restore.arg(key).arg(0).arg(value);
            let () = restore.query(&mut self.server.connection).expect("it is as it was");
        }
        self.book.fall_back(book);
        self.versions = versions;
    }

    fn put(&mut self) {
        let customer = self.customer();
        let version = self.versions.get(&customer).copied().unwrap_or(0) + 1 + self.dice.roll(3);
        self.versions.insert(customer.clone(), version);
        let text = Version::of(version);
        self.server.command(&["HSET", &keys::customer(&customer), "v", &text.to_string()]);
        self.book.put(&customer, text.0);
    }

    fn put_back(&mut self) {
        let slot = self.slot();
        let Some((marker, _)) = self.seen_marker.get(&slot).cloned() else { return };
        let mut script = BACK.key(keys::marker(keys::bucket("acme")));
        self.server.run(script.arg(slot_text(slot)).arg(&marker));
        self.book.put_back(slot, self.markers[&marker]);
    }

    fn slot(&mut self) -> u32 {
        SLOTS[usize::try_from(self.dice.roll(SLOTS.len() as u64)).expect("it is small")]
    }

    fn customer(&mut self) -> String {
        self.customers[usize::try_from(self.dice.roll(3)).expect("it is small")].clone()
    }

    fn settle(&mut self, step: u64) {
        let (slot, customer) = (self.slot(), self.customer());
        let live: Vec<_> = SLOTS.into_iter().filter(|other| *other == slot || !self.dice.one_in(3)).collect();
        let seen = self.seen_marker.get(&slot).cloned();
        let rest = [0, 0, 3][usize::try_from(self.dice.roll(3)).expect("it is small")];
        let rebuild = [0, 20, 100_000][usize::try_from(self.dice.roll(3)).expect("it is small")];
        let known = self.seen_others.get(&(slot, customer.clone())).cloned().unwrap_or_default();
        let (others, entries) = if self.dice.one_in(4) { known } else { Default::default() };
        let named = Named {
            customer: customer.as_str().into(),
            version: self.version(&customer),
            call: self.call(step),
            words: self.words.clone(),
            lots: [(9, 12_345)].into_iter().collect(),
            others,
        };
        let line = wire::line(&named);
        let mut script = LEASE.key(keys::marker(keys::bucket(&customer)));
        script.key(keys::customer(&customer)).arg(slot_text(slot));
        script.arg(live.iter().map(|slot| slot_text(*slot)).collect::<Vec<_>>().join(","));
        let (marker, calls) = seen.clone().unwrap_or(("-".to_owned(), 0));
        script.arg(marker).arg(calls).arg(rest).arg(rebuild).arg(&line.text);
        let answer = self.server.run(&script);
        let [id, calls, now, is_back, answer] = values::array(&answer).expect("a list") else {
            panic!("{answer:?}")
        };
        let id = values::text(id).expect("an id").to_owned();
        let calls = u64::try_from(values::integer(calls).expect("a count")).expect("a count");
        let what = format!("SEED={}, step {step}: {}", self.seed, line.text);
        let answered = wire::answered(&named, &line, answer);
        let answered = answered.unwrap_or_else(|why| panic!("{what}: {why}: {answer:?}"));

        let caller = Caller {
            slot,
            live: &live,
            seen: seen.map(|(marker, calls)| (self.markers[&marker], calls)),
            rest_millis: rest,
            rebuild_millis: rebuild,
            at_millis: u64::try_from(values::integer(now).expect("a time")).expect("a time"),
        };
        let expected = self.book.settle(&caller, &customer, named.version.0, &named.call, &entries);
        let number = *self.markers.entry(id.clone()).or_insert(expected.marker.0);
        assert_eq!((number, calls), expected.marker, "{what}");
        assert_eq!(values::integer(is_back) == Some(1), expected.is_back, "{what}");
        assert_eq!(answered.settled, expected.settled, "{what}");
        assert_eq!(answered.version.0, expected.version.unwrap_or(Version::NONE.0), "{what}");
        same_others(&answered, &expected.others, &what);
        self.seen_marker.insert(slot, (id, calls));
        if named.call.wants_others && !expected.others.is_empty() {
            self.seen_others.insert((slot, customer), (answered.others, expected.others));
        }
    }
}

/// By slot: the call that it was, and how much is held and used in all.
fn same_others(answered: &Answered, expected: &[(u32, Entry)], what: &str) {
    let mut texts: Vec<_> = answered.others.split(';').filter(|text| !text.is_empty()).collect();
    texts.sort_unstable();
    let mut expected: Vec<_> = expected.iter().collect();
    expected.sort_by_key(|(slot, _)| slot_text(*slot));
    assert_eq!(texts.len(), expected.len(), "{what}");
    for (text, (slot, entry)) in texts.iter().zip(expected) {
        let (said_slot, said) = text.split_once(' ').expect("an entry");
        let parts: Vec<_> = said.split(',').collect();
        let pools = parts[2..].chunks(3).filter(|pool| !pool[0].starts_with('r'));
        let number = |text: &str| text.parse::<u64>().expect("a number");
        let sums = pools.fold((0, 0), |(held, used), pool| (held + number(pool[1]), used + number(pool[2])));
        let expected = entry.pools.values().fold((0, 0), |(h, u), (held, used)| (h + held, u + used));
        assert_eq!((said_slot, sums), (slot_text(*slot).as_str(), expected), "{what}: {text}");
        assert_eq!(parts[0], keys::text::<8>(entry.seq), "{what}: {text}");
    }
}

#[test]
fn what_a_newcomer_takes_for_the_first_life_is_a_later_one_to_whoever_knows_better() {
    let mut server = Server::start();
    let marker = keys::marker(0);
    let mut look = |slot: u32, seen: &str| {
        let mut script = LEASE.key(marker.as_str());
        script.arg(slot_text(slot)).arg(slot_text(slot)).arg(seen).arg(1).arg(0).arg(0);
        server.run(&script);
        let was_lost: String =
            redis::cmd("HGET").arg(&marker).arg("l").query(&mut server.connection).expect("l");
        was_lost
    };
    assert_eq!(look(5, "-"), "0");
    assert_eq!(look(6, "-"), "0", "nobody knows another");
    assert_eq!(look(7, "17000000000000000007"), "1", "what was lent in that life may still be spent");
    assert_eq!(look(6, "-"), "1");
}

#[test]
fn the_script_is_what_the_book_is() {
    let seeds = match std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..=seed,
        None => 1..=4,
    };
    for seed in seeds {
        Game::new(seed).play();
    }
}
