//! Gateways of the real binary, in a fleet or each for itself.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;
use tollgate::auth::sign_hs;

use super::redis_server::{Redis, free_address};

const SECRET: &str = "of-a-measurement-0123456789-0123456789";

/// Processes that end with this.
pub struct Gateways {
    pub at: Vec<SocketAddr>,
    processes: Vec<Child>,
    _folders: Vec<TempDir>,
}

impl Gateways {
    /// Three of them before an API. `redis`: of one fleet.
    pub fn start(origin: SocketAddr, redis: Option<&Redis>) -> Self {
        let (mut at, mut processes, mut folders) = (Vec::new(), Vec::new(), Vec::new());
        for name in ["one", "two", "three"] {
            let (folder, public) = (tempfile::tempdir().expect("a folder"), free_address());
            let fleet =
                redis.map(|redis| format!("[fleet]\nredis = \"redis://{}\"\nnode = \"{name}\"\n", redis.at));
            let config = folder.path().join("tollgate.toml");
            let data_dir = folder.path().display();
            let written = written(&data_dir.to_string(), public, origin) + &fleet.unwrap_or_default();
            std::fs::write(&config, written).expect("room");
            let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
            command.args(["run", "--config"]).arg(&config).stdout(Stdio::null());
            processes.push(command.spawn().expect("starts"));
            at.push(public);
            folders.push(folder);
        }
        for (address, process) in at.iter().zip(&mut processes) {
            while TcpStream::connect(address).is_err() {
                assert!(process.try_wait().expect("a child").is_none(), "it ended");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        Self { at, processes, _folders: folders }
    }
}

impl Drop for Gateways {
    fn drop(&mut self) {
        for process in &mut self.processes {
            process.kill().expect("a child");
            process.wait().expect("a child");
        }
    }
}

/// Tokens of so many customers.
pub fn tokens(prefix: &str, customers: usize) -> Vec<String> {
    let token = |number| {
        // 2100
        let claims = json!({ "sub": format!("{prefix}-{number:06}"), "exp": 4_102_444_800_u64 });
        sign_hs(jsonwebtoken::Algorithm::HS256, SECRET.as_bytes(), &claims).expect("HS256 signs")
    };
    (0..customers).map(token).collect()
}

fn written(data_dir: &str, listen: SocketAddr, origin: SocketAddr) -> String {
    let admin = free_address();
    format!(
        r#"
[server]
listen = "{listen}"
admin_listen = "{admin}"
admin_token = "of-a-measurement"
data_dir = "{data_dir}"
threads = 1
[log]
level = "warn"
[auth.jwt]
algorithms = ["HS256"]
secret = "{SECRET}"
[upstreams.api]
servers = ["{origin}"]
[meters.api_calls]
[[routes]]
path = "/signals"
cost = 1
[tiers.free]
default = true
included = {{ api_calls = 1_000_000_000 }}
overage = "deny"
rate = "100000/s"
[billing]
currency = "usd"
[stripe]
mode = "live"
secret_key = "sk_test_bench"
webhook_secrets = ["whsec_of_a_measurement"]
api_base = "http://127.0.0.1:9"
"#
    )
}
