//! Plays tricks, and compares what the API heard with what the ledger holds.

use std::collections::BTreeMap;

use tokio::time::timeout;

use crate::harness::{Customer, PATIENCE, World};

use super::reading::{FORGIVING, Request, read};
use super::witness::Witness;

/// A trick: what is sent, and how it ends.
pub struct Trick {
    pub name: &'static str,
    /// `{me}` stands for a host and the customer's token, `{token}` for the latter alone.
    pub sent: &'static [u8],
    pub ends: Ends,
}

#[derive(Clone, Copy, Debug)]
pub enum Ends {
    /// Answered with this status; the API hears of no whole request.
    Refused(u16),
    /// The API hears these, and each is answered.
    Heard(&'static [&'static str]),
}

/// The last request of each connection: it would become part of what a trick has left open.
const PROBE: &[u8] = b"GET /health HTTP/1.1\r\nhost: api.test\r\nconnection: close\r\n\r\n";
const PROBED: &str = "GET /health";

/// Headers that send a plain request by either way through the gateway.
pub const WAYS: [&str; 2] = ["", "\r\nte: trailers"];

/// What is not routed costs less than what tricks are after. `/files` costs nothing.
const CONFIG: &str = r#"
    routes_default = { cost = 1 }
    routes = [
        { path = "/signals", methods = ["GET", "POST", "HEAD", "PUT"], cost = 1 },
        { path = "/signals/history/{symbol}", cost = 2 },
        { path = "/export/csv", cost = 3 },
        { path = "/export/pdf", methods = ["GET", "POST"], cost = 5 },
        { path = "/files/{*name}", cost = 0 },
        { path = "/health", public = true },
    ]
    [tiers.free]
    included = { api_calls = 1000000 }
"#;

/// What a request of a path must cost at least, as a server reads the path.
fn price(method: &str, path: &str) -> i64 {
    let path = path.trim_end_matches('/');
    match path {
        "/health" => 0,
        "/export/csv" => 3,
        "/export/pdf" if matches!(method, "GET" | "POST" | "HEAD") => 5,
        path if path.starts_with("/files/") => 0,
        path if path.strip_prefix("/signals/history/").is_some_and(|rest| !rest.contains('/')) => 2,
        _ => 1,
    }
}

pub async fn world() -> (World, Witness, Customer) {
    let witness = Witness::start().await;
    let servers = format!("[upstreams.api]\nservers = [\"{}\"]", witness.address);
    let world = World::builder().config(CONFIG).config(&servers).start().await;
    let customer = world.customer("payer");
    (world, witness, customer)
}

/// Plays each trick on a connection of its own, one after the other: what one leaves on a connection to the API meets
/// the next.
pub async fn play(family: &str, tricks: &[Trick]) {
    let (world, witness, customer) = world().await;
    let mut surprises = Vec::new();
    for (trick, way) in tricks.iter().flat_map(|trick| WAYS.map(|way| (trick, way))) {
        let played = timeout(PATIENCE, one(&world, &witness, &customer, trick, way)).await;
        let Ok(ended) = played else { panic!("{}: no answer", trick.name) };
        if ended != expected(trick) {
            surprises.push(format!("{} {way:?}: {ended:?}, not {:?}", trick.name, trick.ends));
        }
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
    let heard = judge(&world, &witness, &customer).await;
    eprintln!("{family}: {} tricks, {heard} requests heard, all metered", tricks.len());
    world.finish().await;
}

/// The statuses that the client saw, and what the API heard.
type Ended = (Vec<u16>, Vec<String>);

fn expected(trick: &Trick) -> Ended {
    match trick.ends {
        Ends::Refused(status) => (vec![status], vec![]),
        Ends::Heard(requests) => {
            (vec![200; requests.len()], requests.iter().map(|&asked| asked.into()).collect())
        }
    }
}

async fn one(world: &World, witness: &Witness, customer: &Customer, trick: &Trick, way: &str) -> Ended {
    let before = asked(witness).len();
    let unreadable = witness.unreadable().len();
    let mut wire = world.wire().await;
    let method = if trick.sent.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
    wire.send_bytes(&filled_in(trick.sent, customer, way)).await;
    let mut statuses = Vec::new();
    for _ in expected(trick).0 {
        statuses.extend(wire.read_as(customer, method).await.map(|reply| reply.status));
    }
    // It may be closed.
    let _ = wire.try_send_bytes(PROBE).await;
    while let Some(reply) = wire.read_as(customer, "GET").await {
        statuses.push(reply.status);
    }
    let mut heard = asked(witness).split_off(before);
    if let Some(probe) = heard.iter().position(|asked| asked == PROBED) {
        heard.remove(probe);
        assert_eq!(statuses.pop(), Some(200), "{}: the probe is answered", trick.name);
    }
    heard.extend(witness.unreadable().drain(unreadable..));
    (statuses, heard)
}

/// What has been asked of the API, in order.
fn asked(witness: &Witness) -> Vec<String> {
    let mut requests = witness.requests();
    requests.retain(|request| request.whole);
    requests.sort_by(|one, other| one.id().cmp(&other.id()));
    requests.iter().map(Request::asked).collect()
}

pub fn filled_in(sent: &[u8], customer: &Customer, way: &str) -> Vec<u8> {
    let token = format!("authorization: Bearer {}{way}", customer.token);
    let sent = replaced(sent, b"{me}", format!("host: api.test\r\n{token}").as_bytes());
    replaced(&sent, b"{token}", token.as_bytes())
}

fn replaced(text: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
    let Some(at) = text.windows(name.len()).position(|window| window == name) else { return text.to_vec() };
    [&text[..at], value, &replaced(&text[at + name.len()..], name, value)].concat()
}

/// Compares all that the API heard with the ledger; answers how many requests that were.
pub async fn judge(world: &World, witness: &Witness, customer: &Customer) -> usize {
    world.flush_all().await;
    assert_eq!(witness.unreadable(), [""; 0]);
    for bytes in witness.heard() {
        is_read_alike(&bytes);
    }
    let mut metered = world.metered();
    let heard: Vec<Request> = witness.requests().into_iter().filter(|request| request.whole).collect();
    for request in &heard {
        let ids: Vec<&str> = request.values("x-request-id").collect();
        let [id] = ids[..] else { panic!("not one id: {request:?}") };
        let units = metered.remove(id).unwrap_or(0);
        let price = price_of(request);
        assert!(units >= price, "{units} units of {price}: {request:?}");
        is_of(customer, request);
    }
    metered.retain(|_, units| *units != 0);
    assert_eq!(metered, BTreeMap::new(), "metered, and never heard");
    heard.len()
}

/// The most that a request can cost, in whatever way a server reads its path.
pub fn price_of(request: &Request) -> i64 {
    if request.method == "OPTIONS" && request.values("access-control-request-method").next().is_some() {
        return 0;
    }
    paths(&request.target).iter().map(|path| price(&request.method, path)).max().unwrap_or(0)
}

/// Whoever a request says that it is of, it says once.
fn is_of(customer: &Customer, request: &Request) {
    let mut customers = request.values("x-tollgate-customer");
    let named = customers.next();
    assert!(customers.next().is_none(), "two customers: {request:?}");
    match named {
        Some(name) => assert_eq!(name, customer.name, "{request:?}"),
        None => assert_eq!(price_of(request), 0, "nobody's: {request:?}"),
    }
    let lies = request.headers.iter().find(|(_, value)| value.contains("evil"));
    assert_eq!(lies, None, "{request:?}");
}

/// No server finds another request in these bytes, or other headers of ours in one.
pub fn is_read_alike(bytes: &[u8]) {
    let known = |(requests, _): (Vec<Request>, _)| {
        let told = |request: &Request| {
            let ours = |name: &str| request.values(name).map(str::to_owned).collect::<Vec<_>>();
            (request.asked(), ours("x-request-id"), ours("x-tollgate-customer"), ours("x-tollgate-tier"))
        };
        requests.iter().map(told).collect::<Vec<_>>()
    };
    let strictly = known(read(bytes, &super::reading::STRICT));
    for manner in FORGIVING {
        let text = String::from_utf8_lossy(bytes);
        // Who stops earlier does not hear the rest.
        let heard = known(read(bytes, &manner));
        assert!(strictly.starts_with(&heard), "{}: {heard:#?} in {text:?}", manner.name);
    }
}

/// The path of a target as servers may read it: as it is; with escapes decoded; without parameters of segments, as
/// servlets do; with backslashes as slashes, as Windows does; and with its dots resolved, after each.
fn paths(target: &str) -> Vec<String> {
    let path = target.split(['?', '#']).next().unwrap_or_default().to_owned();
    let decoded = decoded(&path);
    let cut = decoded.split(['?', '#', '\0']).next().unwrap_or_default().to_owned();
    let mut read = vec![path, decoded, cut];
    for path in read.clone() {
        read.push(
            path.split('/')
                .map(|part| part.split(';').next().unwrap_or_default())
                .collect::<Vec<_>>()
                .join("/"),
        );
        read.push(path.replace('\\', "/"));
    }
    for path in read.clone() {
        read.push(resolved(&path));
    }
    read
}

fn decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| path.get(at + 1..at + 3)).flatten();
        if let Some(byte) = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn resolved(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
