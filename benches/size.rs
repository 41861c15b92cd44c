//! The ledger, the outbox, the customers and Stripe's news at size:
//! `cargo bench --bench size -- restart|sealing|draining|power|customers|start|sync|webhooks|whatif`.
//!
//! `TOLLGATE_BENCH_RECORDS`, `TOLLGATE_BENCH_CUSTOMERS` and `TOLLGATE_BENCH_ROWS` make them smaller or larger. Each writes
//! to a folder below the system's temporary one, so set `TMPDIR` to the disk that is to be measured.

#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a table for people"
)]

#[path = "shared/capped.rs"]
mod capped;
#[path = "size/customers.rs"]
mod customers;
#[path = "shared/gateway.rs"]
mod gateway;
#[path = "size/start.rs"]
mod start;
#[path = "size/stripe.rs"]
mod stripe;
#[path = "size/whatif.rs"]
mod whatif;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tollgate::domain::catalogue::Report;
use tollgate::domain::period::Period;
use tollgate::ledger::{Disk, Durability, Kind, Ledger, LedgerId, Options, Record, RecordDraw, Resume};
use tollgate::reporting::{Folder, Reporter, ReporterOptions};
use tollgate::sandbox::{self, Sandbox};
use tollgate::store::{Batch, SealPlan, SealScope, Store, TotalKey, TotalUnits};
use tollgate::stripe::{Secret, Transport, TransportOptions};

const NOW: i64 = 1_795_174_000;
const ID: LedgerId = LedgerId([1; 16]);

/// The binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("the first one");
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let parts: [(&str, fn()); 9] = [
        ("restart", restart),
        ("sealing", sealing),
        ("draining", draining),
        ("power", power),
        ("customers", customers::at_size),
        ("start", customers::at_start),
        ("sync", stripe::sync),
        ("webhooks", stripe::webhooks),
        ("whatif", whatif::whatif),
    ];
    for (name, part) in parts {
        if chosen.is_empty() || chosen.iter().any(|word| word == name) {
            println!("## {name}");
            part();
        }
    }
}

/// A start after a crash that left everything to be folded.
fn restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let records = asked("TOLLGATE_BENCH_RECORDS", 10_000_000);
    let customers = asked("TOLLGATE_BENCH_CUSTOMERS", 100_000);
    let ledger = open(folder.path(), Durability::Process);
    let started = Instant::now();
    for number in 0..records {
        let customer = u32::try_from(number % customers).expect("few customers") + 1;
        while ledger.append(&record(customer)).is_err() {
            // The disk does not keep up.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    println!("append: {:.2} µs each, {records} records", micros(started) / records as f64);
    drop(ledger);
    let store = Arc::new(Store::open(folder.path()).expect("opens"));
    let started = Instant::now();
    let ledger = Arc::new(open(folder.path(), Durability::Process));
    println!("open and check: {:.2} s", started.elapsed().as_secs_f64());
    let mut fold = Folder::new(ledger, store.clone(), Report::All, Resume::default(), Vec::new());
    fold.catch_up().expect("folds");
    println!("open, check and fold: {:.2} s, {customers} customers", started.elapsed().as_secs_f64());
    println!("memory at most: {} MiB", peak_mebibytes());
}

/// A flush in which every customer has something to report.
fn sealing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (runtime, customers) = (runtime(), asked("TOLLGATE_BENCH_CUSTOMERS", 1_000_000));
    let store = Store::open(folder.path()).expect("opens");
    populate(folder.path(), &store, customers);
    let (started, mut rows, mut longest, mut after) = (Instant::now(), 0, Duration::ZERO, None);
    loop {
        let slice = Instant::now();
        let plan = SealPlan {
            identifier_prefix: format!("tg-{ID}"),
            naming: tollgate::store::Naming::BySequence,
            event_names: vec![(1, "api_calls".into())],
            scope: SealScope::All,
            now: NOW,
            limit: 1_000,
            after,
        };
        let sealed = runtime.block_on(store.seal(plan)).expect("seals");
        longest = longest.max(slice.elapsed());
        rows += sealed.rows;
        after = sealed.next;
        if after.is_none() {
            break;
        }
    }
    println!("sealed {rows} customers in {:.2} s", started.elapsed().as_secs_f64());
    println!(
        "longest slice: {:.1} ms; memory at most: {} MiB",
        longest.as_secs_f64() * 1e3,
        peak_mebibytes()
    );
}

/// A backlog on its way to a Stripe that takes a tenth of a second for each answer.
fn draining() {
    let folder = tempfile::tempdir().expect("a folder");
    let (runtime, rows) = (runtime(), asked("TOLLGATE_BENCH_ROWS", 1_000_000));
    let store = Arc::new(Store::open(folder.path()).expect("opens"));
    populate(folder.path(), &store, rows);
    let ledger = Arc::new(open(folder.path(), Durability::Process));
    let fold = Folder::new(ledger.clone(), store.clone(), Report::All, Resume::default(), Vec::new());
    let sandbox = runtime.block_on(slow_stripe());
    let options = TransportOptions::new(sandbox.base_url(), Secret::new("sk_test_bench"));
    let transport = Arc::new(Transport::new(options).expect("sound options"));
    let reporter = Reporter::new(
        store.clone(),
        ledger,
        (fold.folded(), fold.hurry()),
        transport,
        ReporterOptions {
            identifier_prefix: format!("tg-{ID}"),
            meters: vec![(1, "api_calls".into(), "api_calls".into())],
            flush_interval: Duration::from_hours(1),
            report: Report::All,
            moved: mpsc::unbounded_channel().0,
            reconcile_settle: Duration::from_hours(1),
        },
    );
    let (stop, stopping) = watch::channel(false);
    let work = runtime.spawn(async move { reporter.run(stopping).await });
    let pending = || runtime.block_on(store.outbox_counts()).expect("counts").pending;
    while pending() < rows {
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("sealed; memory at most: {} MiB", peak_mebibytes());
    let (started, before) = (Instant::now(), pending());
    std::thread::sleep(Duration::from_secs(30));
    let sent = before - pending();
    let rate = sent as f64 / started.elapsed().as_secs_f64();
    println!(
        "{rate:.0} meter events a second of a backlog of {rows}; memory at most: {} MiB",
        peak_mebibytes()
    );
    stop.send_replace(true);
    drop(work);
}

async fn slow_stripe() -> Sandbox {
    let sandbox = Sandbox::start(sandbox::Options::default()).await.expect("a free port");
    sandbox
        .seed(&sandbox::Catalogue {
            currency: "usd".to_owned(),
            event_name: "api_calls".to_owned(),
            meter: "api_calls".to_owned(),
            tiers: Vec::new(),
            id_prefix: None,
        })
        .expect("a meter");
    let slow =
        serde_json::json!({ "operation": "meter_events.create", "times": 1_000_000_000, "delay_ms": 100 });
    let planned = reqwest::Client::new()
        .post(format!("{}/_sandbox/faults", sandbox.base_url()))
        .body(slow.to_string())
        .header("content-type", "application/json")
        .send();
    assert!(planned.await.expect("the sandbox answers").status().is_success());
    sandbox
}

/// What waiting for the disk costs.
fn power() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    println!("fdatasync of one small write, alone: {:.0} µs (median)", bare_fdatasync(folder.path()));
    let ledger = Arc::new(open(folder.path(), Durability::Power));
    for writers in [1, 4, 16, 64] {
        let tasks: Vec<_> = (0..writers)
            .map(|_| {
                let ledger = ledger.clone();
                runtime.spawn(async move {
                    let mut times = Vec::new();
                    for _ in 0..500 {
                        let started = Instant::now();
                        let appended = ledger.append(&record(1)).expect("appends");
                        ledger.durable(appended).await.expect("syncs");
                        times.push(micros(started));
                    }
                    times
                })
            })
            .collect();
        let times = tasks.into_iter().flat_map(|task| runtime.block_on(task).expect("ran")).collect();
        println!("append and wait, {writers} at once: {:.0} µs (median)", median(times));
    }
}

fn bare_fdatasync(folder: &Path) -> f64 {
    use std::io::Write;
    let mut file = std::fs::File::create(folder.join("bare")).expect("a file");
    let mut times = Vec::new();
    for _ in 0..500 {
        file.write_all(&[7; 120]).expect("room");
        let started = Instant::now();
        file.sync_data().expect("syncs");
        times.push(micros(started));
    }
    median(times)
}

/// Customers with a Stripe customer, and a total of one unit each.
fn populate(folder: &Path, store: &Store, customers: u64) {
    let db = rusqlite::Connection::open(folder.join("tollgate.db")).expect("opens");
    db.execute_batch(&format!(
        "BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {customers})
         INSERT INTO customers (number, name, stripe_customer, linked_by, linked_at, first_seen)
         SELECT i, 'customer-' || i, 'cus_' || i, 'claim', 1, 1 FROM n; COMMIT"
    ))
    .expect("room");
    let period = Period::calendar_month(NOW);
    let mut from = (0, 0);
    for (slice, first) in (1..=customers).step_by(100_000).enumerate() {
        let to = (1, slice as u64 + 1);
        let mut batch = Batch { from, segment: to.0, offset: to.1, ..Batch::default() };
        for customer in first..(first + 100_000).min(customers + 1) {
            let customer = u32::try_from(customer).expect("few customers");
            let key = TotalKey { customer, meter: 1, period_start: period.start };
            let units = TotalUnits {
                period_end: period.end,
                included: 1,
                reportable: 1,
                first_at_micros: NOW * 1_000_000,
                last_at_micros: clock_micros(),
                ..TotalUnits::default()
            };
            batch.totals.insert(key, units);
        }
        store.fold(batch).expect("folds");
        from = to;
    }
}

/// Stripe takes nothing older than 35 days.
fn clock_micros() -> i64 {
    tollgate::clock::now().micros()
}

fn record(customer: u32) -> Record {
    Record {
        number: 0,
        at_micros: NOW * 1_000_000,
        request: [7; 16],
        customer,
        member: 0,
        counts_for_member: false,
        in_shadow: false,
        route: 1,
        tier: 1,
        configuration: 1,
        period: Period::calendar_month(NOW),
        kind: Kind::Charge,
        status: 200,
        method: 1,
        draws: smallvec::smallvec![RecordDraw { meter: 1, included: 1, ..RecordDraw::default() }],
        lots: Vec::new(),
        key: None,
        foreign_request: None,
    }
}

fn open(folder: &Path, durability: Durability) -> Ledger {
    let options = Options { durability, sync_interval: Duration::from_millis(200), segment_bytes: 64 << 20 };
    let disk = Disk::open(folder.join("ledger")).expect("a folder");
    Ledger::open(Arc::new(disk), ID, Resume::default(), options, NOW * 1_000_000).expect("opens")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn asked(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn peak_mebibytes() -> u64 {
    kibibytes("self", "VmHWM:") / 1_024
}

fn resident_bytes() -> u64 {
    kibibytes("self", "VmRSS:") * 1_024
}

/// A line of a process's `/proc/…/status`, see proc(5); 0 when it has ended.
fn kibibytes(process: &str, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let found =
        status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    found.unwrap_or(0)
}
