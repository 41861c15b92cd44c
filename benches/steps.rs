//! The steps of a charged request, each by itself: `cargo bench --bench steps`.

#[path = "steps/admission.rs"]
mod admission;
#[path = "shared/capped.rs"]
mod capped;
#[allow(dead_code, reason = "the benches at size ask it for more")]
#[path = "shared/gateway.rs"]
mod gateway;
#[path = "steps/status.rs"]
mod status;
#[path = "steps/tokens.rs"]
mod tokens;

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate::config;
use tollgate::domain::account::{Account, Window};
use tollgate::domain::path::NormalPath;
use tollgate::domain::route::Found;
use tollgate::domain::subscription::Entitlement;
use tollgate::domain::usage::Now;
use tollgate::ledger::{Disk, Durability, Kind, Ledger, LedgerId, Options, Record, RecordDraw, Resume};
use tollgate::metrics::METRICS;
use tollgate::metrics::hot::{HotCounter, HotGauge, HotHistogram};
use tollgate::sharded::Running;

const NOW: i64 = 1_795_174_000;

/// The gateway's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn paths_and_routes(c: &mut Criterion) {
    let config = demo();
    let routes = &config.catalogue.routes;
    c.bench_function("normalise a plain path", |b| {
        b.iter(|| NormalPath::parse(black_box("/signals/history/ACME")).is_ok());
    });
    c.bench_function("normalise a path with escapes", |b| {
        b.iter(|| NormalPath::parse(black_box("/signals//history/%41CME/../EMCA")).is_ok());
    });
    let path = NormalPath::parse("/signals/history/ACME").expect("a path");
    c.bench_function("find a route", |b| {
        b.iter(|| matches!(routes.find(black_box(&path), &http::Method::GET), Found::Route(_)));
    });
}

fn accounts(c: &mut Criterion) {
    let config = demo();
    let entitlement = Entitlement::of(None, &config.catalogue);
    let window = Window::new(entitlement.windows.at(NOW), smallvec::smallvec![0]);
    let route = config.catalogue.routes.iter().next().expect("a route").clone();
    c.bench_function("admit, settle and undo", |b| {
        let mut account = Account::new(entitlement.clone(), window.clone());
        let mut now = Now::from_seconds(NOW);
        b.iter(|| {
            now = Now(now.nanos() + 20_000_000);
            account.admit(black_box(&route), None, now).expect("within the limits");
            let charge = account.settle(&route.cost, None, now);
            account.undo(&charge, now)
        });
    });
    c.bench_function("the policies of the headers", |b| {
        let mut account = Account::new(entitlement.clone(), window.clone());
        b.iter(|| {
            account.policies(black_box(&route), None, config.catalogue.currency, Now::from_seconds(NOW)).len()
        });
    });
}

fn ledger(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        durability: Durability::Process,
        sync_interval: Duration::from_millis(200),
        segment_bytes: 64 << 20,
    };
    let disk = Arc::new(Disk::open(folder.path()).expect("a folder"));
    let ledger = Ledger::open(disk, LedgerId([1; 16]), Resume::default(), options, 0).expect("opens");
    let record = Record {
        number: 0,
        at_micros: NOW * 1_000_000,
        request: [7; 16],
        customer: 1,
        member: 0,
        counts_for_member: false,
        in_shadow: false,
        route: 1,
        tier: 1,
        configuration: 1,
        period: tollgate::domain::period::Period::calendar_month(NOW),
        kind: Kind::Charge,
        status: 200,
        method: 1,
        draws: smallvec::smallvec![RecordDraw { meter: 1, included: 1, ..RecordDraw::default() }],
        lots: Vec::new(),
        key: None,
        foreign_request: None,
    };
    c.bench_function("append a record", |b| b.iter(|| ledger.append(black_box(&record)).is_ok()));
}

/// All that a charged request with a remembered token counts.
struct Counted {
    in_flight: Running,
    accepted: HotCounter,
    units: HotCounter,
    recorded: HotGauge,
    unsealed: HotGauge,
    requests: HotCounter,
    seconds: HotHistogram,
}

impl Counted {
    fn new() -> Self {
        Self {
            in_flight: Running::default(),
            accepted: METRICS.auth.with_label_values(&["ok"]),
            units: METRICS.units.with_label_values(&["api_units", "pro", "included"]),
            recorded: METRICS.recorded_units.with_label_values(&["api_units"]),
            unsealed: METRICS.unsealed_units.with_label_values(&["api_units"]),
            requests: METRICS.requests.with_label_values(&["/signals/{symbol}", "2xx"]),
            seconds: METRICS.request_seconds.with_label_values(&["/signals/{symbol}"]),
        }
    }

    fn count(&self) {
        self.in_flight.start();
        METRICS.token_cache_hits.inc();
        self.accepted.inc();
        METRICS.gateway_seconds.observe(black_box(Duration::from_nanos(21_345)));
        METRICS.ledger_appends.inc();
        METRICS.ledger_bytes.inc_by(black_box(120));
        self.units.inc_by(black_box(1));
        self.recorded.add(black_box(1));
        self.unsealed.add(black_box(1));
        self.requests.inc();
        self.seconds.observe(black_box(Duration::from_nanos(987_654)));
        self.in_flight.end();
    }
}

fn counting(c: &mut Criterion) {
    let counted = Counted::new();
    for (name, threads) in [("count a request", 1), ("count a request, on two threads at once", 2)] {
        c.bench_function(name, |b| b.iter_custom(|times| at_once(threads, times, &|| counted.count())));
    }
}

/// How long the slowest of some threads takes for as many calls.
fn at_once(threads: usize, times: u64, call: &(impl Fn() + Sync)) -> Duration {
    let all_there = Barrier::new(threads);
    let calls = || {
        all_there.wait();
        let started = Instant::now();
        (0..times).for_each(|_| call());
        started.elapsed()
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(calls)).collect();
        running.into_iter().map(|thread| thread.join().expect("it counts")).max().unwrap_or_default()
    })
}

fn demo() -> config::Config {
    config::parse(config::DEMO, std::path::Path::new("demo.toml"), &|_| None).expect("the demo is valid")
}

criterion_group!(
    steps,
    paths_and_routes,
    accounts,
    admission::admission,
    tokens::tokens,
    ledger,
    counting,
    status::status
);
criterion_main!(steps);
