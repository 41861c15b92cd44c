//! A day of usage, replayed through another configuration by the real binary.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tollgate::domain::catalogue::Report;
use tollgate::domain::period::Period;
use tollgate::domain::usage::Now;
use tollgate::gateway::RequestId;
use tollgate::ledger::{Durability, Record, RecordDraw, Resume};
use tollgate::reporting::Folder;
use tollgate::store::{NameKind, Store};

use super::{ID, NOW, asked, kibibytes, open, record};

const DAY_MICROS: u64 = 86_400_000_000;

/// Writes the day, then replays it from one configuration to another.
pub fn whatif() {
    let records: u64 = asked("TOLLGATE_BENCH_RECORDS", 10_000_000);
    let customers: u64 = asked("TOLLGATE_BENCH_CUSTOMERS", 5_000);
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    let begun = Instant::now();
    write(&data_dir, records, customers);
    println!(
        "whatif: wrote and folded {records} records of {customers} customers in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let [current, new] =
        [("current", 2_000, "0.02"), ("new", 1_500, "0.03")].map(|(name, included, price)| {
            let path = folder.path().join(format!("{name}.toml"));
            std::fs::write(&path, configuration(&data_dir, included, price)).expect("a writable folder");
            path
        });
    for (what, compared) in [("with --current", true), ("without", false)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(["whatif", "--since", "2000-01-01", "--config"]).arg(&new);
        if compared {
            command.arg("--current").arg(&current);
        }
        let begun = Instant::now();
        let (output, peak) = watched(&mut command);
        let took = begun.elapsed().as_secs_f64();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.starts_with(&format!("{records} records")), "{text}");
        let rate = records as f64 / took / 1e6;
        println!("whatif {what}: {took:.1} s, {rate:.2} M records a second, at most {peak} MiB");
    }
}

/// Runs it to its end, and answers how many MiB of memory it took at most. It prints less than a pipe holds.
fn watched(command: &mut Command) -> (Output, u64) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let (process, mut peak) = (child.id().to_string(), 0);
    while child.try_wait().expect("a child").is_none() {
        peak = peak.max(kibibytes(&process, "VmHWM:"));
        std::thread::sleep(Duration::from_millis(10));
    }
    (child.wait_with_output().expect("it has ended"), peak / 1_024)
}

/// Every customer asks now and then, over the whole day; some more than others. All is folded, as a gateway does it.
fn write(data_dir: &Path, records: u64, customers: u64) {
    std::fs::create_dir_all(data_dir).expect("a folder");
    let store = Store::open(data_dir).expect("opens");
    let number = |kind, name: &str| store.number_names(kind, vec![name.to_owned()]).expect("numbered")[0];
    let routes = ["/signals", "/signals/history/{symbol}"].map(|route| number(NameKind::Route, route));
    let (tier, meter) = (number(NameKind::Tier, "pro"), number(NameKind::Meter, "api_calls"));
    store.ledger_id(ID.0).expect("an id");
    let ledger = Arc::new(open(data_dir, Durability::Process));
    let period = Period::calendar_month(NOW);
    for at in 0..records {
        let micros = NOW * 1_000_000 + (DAY_MICROS / records.max(1) * at).cast_signed();
        let route = usize::from(at % 3 == 0);
        let units = if route == 0 { 1 } else { 2 };
        // Squared: those with low numbers ask most.
        let part = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let customer = u32::try_from(((part * part % (1 << 48)) * customers) >> 48).expect("few") + 1;
        let record = Record {
            at_micros: micros + 3_000,
            request: RequestId::new(Now::from_micros(micros)).bytes(),
            route: routes[route],
            tier,
            period,
            draws: smallvec::smallvec![RecordDraw { meter, included: units, ..RecordDraw::default() }],
            ..record(customer)
        };
        while ledger.append(&record).is_err() {
            // The disk does not keep up.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let mut fold = Folder::new(ledger, Arc::new(store), Report::All, Resume::default(), Vec::new());
    fold.catch_up().expect("folds");
}

fn configuration(data_dir: &Path, included: u64, price: &str) -> String {
    format!(
        r#"
        [server]
        listen = "127.0.0.1:18080"
        data_dir = "{}"
        [auth.jwt]
        algorithms = ["HS256"]
        secret = "a secret of the bench, long enough for HS256"
        [upstreams.api]
        servers = ["127.0.0.1:19000"]
        [meters.api_calls]
        [[routes]]
        path = "/signals"
        cost = 1
        [[routes]]
        path = "/signals/history/{{symbol}}"
        cost = 2
        [tiers.pro]
        default = true
        included = {{ api_calls = {included} }}
        overage = {{ unit_amount = {{ api_calls = "{price}" }}, cap = "500.00" }}
        rate = "50/s"
        [billing]
        currency = "usd"
        [stripe]
        mode = "sandbox"
        "#,
        data_dir.display()
    )
}
