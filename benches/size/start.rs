//! A whole start: the binary, from its first instruction until somebody can connect.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A gateway with the sandbox for Stripe, on what lies in a `data_dir`.
pub fn until_it_listens(data_dir: &Path) -> Duration {
    let (listen, admin) = (free_address(), free_address());
    let config = data_dir.join("tollgate.toml");
    std::fs::write(&config, written(data_dir, listen, admin)).expect("room");
    let started = Instant::now();
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["run", "--config"])
        .arg(&config)
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    while TcpStream::connect(listen).is_err() {
        assert!(gateway.try_wait().expect("a child").is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = started.elapsed();
    gateway.kill().expect("a child");
    gateway.wait().expect("a child");
    took
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr()).expect("a free port")
}

fn written(data_dir: &Path, listen: SocketAddr, admin: SocketAddr) -> String {
    let data_dir = data_dir.display();
    format!(
        r#"
[server]
listen = "{listen}"
admin_listen = "{admin}"
data_dir = "{data_dir}"
[log]
level = "warn"
[auth.jwt]
algorithms = ["HS256"]
secret = "of-a-measurement-0123456789-0123456789"
[upstreams.api]
servers = ["127.0.0.1:9"]
[meters.api_calls]
[[routes]]
path = "/signals"
cost = 2
[tiers.free]
default = true
included = {{ api_calls = 1 }}
overage = "deny"
[tiers.pro]
price = {{ monthly = "29.00" }}
stripe_prices = ["price_pro"]
included = {{ api_calls = 1000 }}
overage = "deny"
[billing]
currency = "usd"
[stripe]
mode = "sandbox"
"#
    )
}
