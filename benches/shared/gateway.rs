//! The gateway's own binary, on a `data_dir`, and what asks it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tollgate::auth::sign_hs;

pub const WEBHOOK_SECRET: &str = "whsec_of_a_measurement";
const ADMIN_TOKEN: &str = "of-a-measurement";
const SECRET: &str = "of-a-measurement-0123456789-0123456789";

/// A process that ends with this.
pub struct Gateway {
    pub public: SocketAddr,
    admin: SocketAddr,
    process: Child,
    http: reqwest::Client,
}

impl Gateway {
    /// Starts; `stripe` is the `[stripe]` section. It may not listen yet.
    pub fn start(data_dir: &Path, stripe: &str) -> Self {
        let (public, admin) = (free_address(), free_address());
        let config = data_dir.join("tollgate.toml");
        std::fs::write(&config, written(data_dir, public, admin, stripe)).expect("room");
        let process = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["run", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { public, admin, process, http }
    }

    /// Returns once somebody can connect.
    pub fn until_it_listens(&mut self) {
        while TcpStream::connect(self.public).is_err() {
            assert!(self.process.try_wait().expect("a child").is_none(), "it ended");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What `/billing/status` says.
    pub async fn status(&self, token: &str) -> Value {
        let asked = self.http.get(format!("http://{}/billing/status", self.public)).bearer_auth(token);
        let answer = asked.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.json().await.expect("JSON")
    }

    /// Asks the operator's port.
    pub async fn operate(&self, method: reqwest::Method, path: &str) -> Value {
        let asked =
            self.http.request(method, format!("http://{}{path}", self.admin)).bearer_auth(ADMIN_TOKEN);
        let answer = asked.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.json().await.expect("JSON")
    }

    /// Calls of Stripe that were answered.
    pub async fn calls(&self, operation: &str) -> u64 {
        let answer = self.http.get(format!("http://{}/metrics", self.admin)).send().await;
        let metrics = answer.expect("an answer").text().await.expect("a text");
        let line = format!("tollgate_stripe_requests_total{{operation=\"{operation}\",outcome=\"ok\"}} ");
        metrics.lines().find_map(|found| found.strip_prefix(&*line)?.parse().ok()).expect("a metric")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill().expect("a child");
        self.process.wait().expect("a child");
    }
}

/// A Stripe that is the sandbox of another process, or of this one.
pub fn at_stripe(base_url: &str) -> String {
    format!(
        r#"mode = "live"
secret_key = "sk_test_bench"
webhook_secrets = ["{WEBHOOK_SECRET}"]
api_base = "{base_url}""#
    )
}

pub fn token(customer: &str) -> String {
    // 2100
    let claims = json!({ "sub": customer, "exp": 4_102_444_800_u64 });
    sign_hs(jsonwebtoken::Algorithm::HS256, SECRET.as_bytes(), &claims).expect("HS256 signs")
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr()).expect("a free port")
}

fn written(data_dir: &Path, listen: SocketAddr, admin: SocketAddr, stripe: &str) -> String {
    let data_dir = data_dir.display();
    format!(
        r#"
[server]
listen = "{listen}"
admin_listen = "{admin}"
admin_token = "{ADMIN_TOKEN}"
data_dir = "{data_dir}"
[log]
level = "warn"
[auth.jwt]
algorithms = ["HS256"]
secret = "{SECRET}"
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
[tiers.starter]
price = {{ monthly = "19.00" }}
included = {{ api_calls = 100 }}
overage = "deny"
[tiers.pro]
price = {{ monthly = "29.00" }}
stripe_prices = ["price_pro"]
included = {{ api_calls = 1000 }}
overage = "deny"
[billing]
currency = "usd"
webhook_rate = "1000/s"
read_rate = "100000/s"
[stripe]
{stripe}
"#
    )
}
