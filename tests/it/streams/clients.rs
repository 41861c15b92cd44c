//! Libraries that are not ours, as clients and as servers: `tests/clients`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{Authority, World, free_address};
use crate::tls::Secure;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// Python with what `requirements.txt` names, installed once; none where `TOLLGATE_SKIP_SDK=1` forbids to reach `PyPI`.
fn python() -> Option<PathBuf> {
    if std::env::var("TOLLGATE_SKIP_SDK").is_ok_and(|skip| skip == "1") {
        eprintln!("without clients of others (TOLLGATE_SKIP_SDK=1)");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients-venv");
    let wanted = Path::new(FOLDER).join("requirements.txt");
    let installed = folder.join("requirements.txt");
    let python = folder.join("bin/python");
    let read = |path: &Path| fs::read_to_string(path).ok();
    if read(&installed) != read(&wanted) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        run(Command::new(&python).args(pip).arg(&wanted));
        fs::copy(&wanted, &installed).expect("a writable folder");
    }
    Some(python)
}

fn run(command: &mut Command) {
    let status = command.status().expect("python3 is installed");
    assert!(status.success(), "{command:?}: is PyPI reachable? TOLLGATE_SKIP_SDK=1 leaves this out");
}

/// Servers of others, until they are dropped.
struct Servers {
    process: Child,
    /// Where each listens.
    addresses: Vec<String>,
}

impl Servers {
    fn start(python: &Path, script: &str) -> Self {
        let mut command = Command::new(python);
        command.arg(script).current_dir(FOLDER).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("python runs");
        let mut line = String::new();
        let said = process.stdout.as_mut().expect("a pipe");
        BufReader::new(said).read_line(&mut line).expect("the addresses");
        Self { addresses: line.split_whitespace().map(str::to_owned).collect(), process }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // They serve until their input ends.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Runs a script, and shows the table that it prints; answers the units that its last line says.
fn play(python: &Path, arguments: &[&str]) -> u64 {
    let ended = Command::new(python).args(arguments).current_dir(FOLDER).output().expect("python runs");
    let table = String::from_utf8_lossy(&ended.stdout);
    eprintln!("{table}");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    table.lines().last().and_then(|line| line.parse().ok()).expect("units")
}

fn config(servers: &Servers) -> String {
    let [model, echo] = &servers.addresses[..] else { panic!("two addresses") };
    format!(
        r#"
        routes = [
            {{ path = "/v1/chat/completions", upstream = "model", max_body = "10MiB",
              cost = {{ api_calls = {{ json = "/usage/total_tokens", hold = 50 }} }} }},
            {{ path = "/v1/responses", upstream = "model",
              cost = {{ api_calls = {{ json = "/usage/total_tokens", hold = 50 }} }} }},
            {{ path = "/v1/messages", upstream = "model",
              cost = {{ api_calls = {{ json = ["/usage/input_tokens", "/usage/output_tokens"], hold = 50 }} }} }},
            {{ path = "/v1/models", upstream = "model", cost = 0, rate = "1/h", burst = 1 }},
            {{ path = "/live", upstream = "echo", cost = {{ api_calls = {{ messages = 1 }} }} }},
        ]
        upstreams.model.servers = ["{model}"]
        upstreams.echo.servers = ["{echo}"]
        tiers.free.included = {{ api_calls = 100000 }}
        "#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_others_get_what_they_expect_and_are_charged_what_it_cost() {
    let Some(python) = python() else { return };
    let servers = Servers::start(&python, "servers.py");
    let world = World::builder().config(&config(&servers)).start().await;
    let customer = world.customer("acme");
    let units = play(&python, &["run.py", &world.gateway.public.to_string(), &customer.token]);
    customer.owes(&format!("api_calls={units}"));
    customer.until_used(units).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_grpc_come_through_whole_and_only_those_that_succeed_cost() {
    let Some(python) = python() else { return };
    let servers = Servers::start(&python, "grpc_server.py");
    let h2c = free_address();
    let config = format!(
        r#"
        server.h2c_listen = ["{h2c}"]
        routes = [
            {{ path = "/calls.Calls/{{method}}", upstream = "calls", cost = 1, max_body = 0 }},
            {{ path = "/calls.Calls/Premium", upstream = "calls", cost = 1, requires = ["premium"] }},
            {{ path = "/calls.Calls/Dear", upstream = "calls", cost = 1000 }},
            {{ path = "/calls.Calls/Lost", upstream = "lost", cost = 1 }},
        ]
        upstreams.calls = {{ servers = ["{}"], http = "2" }}
        upstreams.lost.servers = ["{}"]
        "#,
        servers.addresses[0],
        free_address()
    );
    let secure = Secure::start_with(Authority::new("ours"), "", &config).await;
    let customer = secure.world.customer("caller");
    let authority = tempfile::NamedTempFile::new().expect("a file");
    fs::write(authority.path(), secure.authority.pem()).expect("a file");
    let authority = authority.path().display().to_string();
    let mut used = 0;
    for arguments in [
        vec![h2c.to_string(), customer.token.clone()],
        vec![secure.https.to_string(), customer.token.clone(), authority],
    ] {
        let arguments = ["grpc_cases.py"].into_iter().chain(arguments.iter().map(String::as_str));
        let units = play(&python, &arguments.collect::<Vec<_>>());
        customer.owes(&format!("api_calls={units}"));
        used += units;
        customer.until_used(used).await;
    }
    secure.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_grpc_that_reaches_a_limit_ends_with_its_status() {
    let Some(python) = python() else { return };
    let servers = Servers::start(&python, "grpc_server.py");
    let h2c = free_address();
    let config = format!(
        r#"
        server.h2c_listen = ["{h2c}"]
        routes = [{{ path = "/calls.Calls/Both", upstream = "calls", max_body = 0, on_limit = "cut",
            cost = {{ api_calls = {{ response_bytes = "1KiB" }} }} }}]
        upstreams.calls = {{ servers = ["{}"], http = "2" }}
        tiers.free.included = {{ api_calls = 4 }}
        "#,
        servers.addresses[0],
    );
    let world = World::builder().config(&config).start().await;
    let customer = world.customer("caller");
    let units = play(&python, &["grpc_limit.py", &h2c.to_string(), &customer.token]);
    customer.owes(&format!("api_calls={units}"));
    customer.until_used(units).await;
    world.finish().await;
}
