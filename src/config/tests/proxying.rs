//! What must hold between the keys of a reverse proxy, mistake by mistake.

use super::{mistakes, read, with};

/// Place and sentence of each mistake.
fn headlines(replaced: &[&str], text: &str) -> String {
    let mistakes = mistakes(&with(replaced, text));
    mistakes.lines().filter(|line| line.starts_with("t.toml")).collect::<Vec<_>>().join("\n")
}

const PEM: &str = "-----BEGIN X-----";

#[test]
fn every_door_has_an_address_of_its_own_and_a_certificate_its_key() {
    let server =
        |keys: &str| headlines(&["server"], &format!("[server]\nlisten = \"127.0.0.1:1\"\n{keys}\n"));
    let all = [
        server("h2c_listen = [\"127.0.0.1:1\", \"127.0.0.1:0\", \"127.0.0.1:9090\"]"),
        server("plain_listen = [\"127.0.0.1:2\"]\nredirect_listen = [\"127.0.0.1:3\"]"),
        server("redirect_except = [\"/a\"]"),
        server("tls = {}"),
        server(&format!("tls = {{ certificate = \"{PEM}\" }}")),
        server(&format!("tls = {{ private_key = \"{PEM}\" }}")),
        server("tls = { certificate = \"no.pem\", private_key = { file = \"no.key\" } }"),
        server(&format!(
            "tls = {{ certificate = \"{PEM}\", private_key = \"{PEM}\", client_auth = \"required\" }}"
        )),
        server(&format!(
            "tls = {{ certificate = \"{PEM}\", private_key = \"{PEM}\", client_ca = \"{PEM}\" }}"
        )),
        server(&format!(
            "[[server.tls.certificates]]\ncertificate = \"{PEM}\"\nprivate_key = \"{PEM}\"\nnames = [\"a.example\", \
             \"A.example\", \"*.b.example\", \"a/b\", \"*.*.b\"]"
        )),
    ];
    insta::assert_snapshot!(all.join("\n\n"), @r"
    t.toml:3:15: error: server.h2c_listen[0]: this address stands in server.listen already
    t.toml:3:30: error: server.h2c_listen[1]: nobody would find port 0
    t.toml:3:45: error: server.h2c_listen[2]: this address stands in server.admin_listen already

    t.toml:3:17: error: server.plain_listen[0]: without server.tls nothing else is listened on
    t.toml:4:20: error: server.redirect_listen[0]: without server.tls nothing else is listened on

    t.toml:3:20: error: server.redirect_except[0]: without server.redirect_listen nobody is sent on

    t.toml:3:7: error: server.tls: there is no certificate

    t.toml:3:7: error: server.tls.private_key: missing

    t.toml:3:7: error: server.tls.certificate: missing

    t.toml:3:23: error: server.tls.certificate: cannot read the file: No such file or directory (os error 2)
    t.toml:3:56: error: server.tls.private_key.file: cannot read the file: No such file or directory (os error 2)

    t.toml:3:23: error: server.tls.certificate: a PEM block in it is broken
    t.toml:3:58: error: server.tls.private_key: a PEM block in it is broken
    t.toml:3:93: error: server.tls.client_auth: any certificate would do: it is not said who signs them

    t.toml:3:23: error: server.tls.certificate: a PEM block in it is broken
    t.toml:3:58: error: server.tls.private_key: a PEM block in it is broken
    t.toml:3:91: error: server.tls.client_ca: no client is asked for a certificate

    t.toml:4:15: error: server.tls.certificates[0].certificate: a PEM block in it is broken
    t.toml:5:15: error: server.tls.certificates[0].private_key: a PEM block in it is broken
    t.toml:6:23: error: server.tls.certificates[0].names[1]: another certificate has this name
    t.toml:6:51: error: server.tls.certificates[0].names[3]: this is not a host name
    t.toml:6:58: error: server.tls.certificates[0].names[4]: this is not a host name
    ");
}

/// A self-signed certificate and its key, as strings of TOML.
fn pair(name: &str) -> [String; 2] {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    [made.cert.pem(), made.signing_key.serialize_pem()].map(|pem| toml::Value::String(pem).to_string())
}

#[test]
fn certificates_are_looked_into_before_anything_is_started() {
    let ([a, a_key], [b, b_key]) = (pair("A.example"), pair("b.example"));
    let text =
        |tls: &str| with(&["server"], &format!("[server]\nlisten = \"127.0.0.1:1\"\ntls = {{ {tls} }}\n"));
    let single = |certificate: &str, key: &str, more: &str| {
        let Err(mistakes) = read(&text(&format!("certificate = {certificate}, private_key = {key}{more}")))
        else {
            return Vec::new();
        };
        let mistakes = mistakes.to_string();
        let sentences =
            mistakes.lines().filter_map(|line| line.strip_prefix("t.toml:")?.split_once("error: "));
        sentences.map(|(_, sentence)| sentence.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(single(&a, &a_key, ""), [""; 0]);
    assert_eq!(single(&a, &b_key, ""), ["server.tls.private_key: the key is of another certificate"]);
    assert_eq!(single(&a_key, &a_key, ""), ["server.tls.certificate: there is no certificate in it"]);
    let no_key = "server.tls.private_key: there is no private key in it that is not encrypted";
    assert_eq!(single(&a, &b, ""), [no_key]);
    let clients = |ca: &str| format!(", client_auth = \"required\", client_ca = {ca}");
    assert_eq!(single(&a, &a_key, &clients(&b)), [""; 0]);
    assert_eq!(single(&a, &a_key, &clients(&b_key)), ["server.tls.client_ca: there is no certificate in it"]);
    let listed = format!(
        "certificates = [{{ certificate = {a}, private_key = {a_key} }}, {{ certificate = {b}, private_key = {b_key}, \
         names = [\"*.B.example\"] }}]"
    );
    assert!(read(&text(&listed)).is_ok());
}

#[test]
fn more_than_is_read_of_a_request_cannot_be_allowed() {
    let text = "[server]\nlisten = \"127.0.0.1:1\"\nmax_uri = \"64KiB\"\nmax_header_bytes = \"1MiB\"\n";
    insta::assert_snapshot!(headlines(&["server"], text), @r"
    t.toml:3:11: error: server.max_uri: so much is not read of a request
    t.toml:4:20: error: server.max_header_bytes: so much is not read of a request
    ");
}

#[test]
fn an_anonymous_caller_owes_nothing_and_a_certificate_is_asked_for() {
    let auth = "[auth.jwt]\nalgorithms = [\"HS256\"]\nsecret = \"0123456789abcdef0123456789abcdef\"\n";
    let read = |keys: &str| headlines(&["auth"], &format!("{auth}{keys}\n"));
    let tier = "[tiers.paid]\nincluded = { api_calls = 1 }\nprice = { monthly = \"1\" }\n";
    let all = [
        read("[auth.anonymous]\ntier = \"fre\""),
        read(&format!("[auth.anonymous]\ntier = \"paid\"\nipv4 = 33\n{tier}")),
        read("[auth.client_certificate]\ncustomer = \"subject\""),
        read("[auth.client_certificate]\ncustomer = \"subject_cn\""),
        read("[auth.keys]\nprefix = \"a_b\"\nheader = \"a b\""),
        read("[auth.keys]\nheader = \"Authorization\""),
    ];
    insta::assert_snapshot!(all.join("\n\n"), @r"
    t.toml:5:8: error: auth.anonymous.tier: there is no tier `fre`

    t.toml:5:8: error: auth.anonymous.tier: nobody can be billed for what this tier costs
    t.toml:6:8: error: auth.anonymous.ipv4: the number is out of range

    t.toml:4:1: error: auth.client_certificate: no client is asked for a certificate
    t.toml:5:12: error: auth.client_certificate.customer: this word has no meaning here

    t.toml:4:1: error: auth.client_certificate: no client is asked for a certificate

    t.toml:5:10: error: auth.keys.prefix: this cannot begin a key
    t.toml:6:10: error: auth.keys.header: this is not the name of a header

    t.toml:5:10: error: auth.keys.header: this header says something else
    ");
}

#[test]
fn a_route_changes_nothing_that_was_priced() {
    let text = r#"[[routes]]
path = "/v1/{symbol}"
cost = 1
strip_prefix = "/v"
host = "a b"
[[routes]]
path = "/v2/{symbol}/{*rest}"
cost = 1
strip_prefix = "/v2"
rewrite = "/in/{symbl}/{rest}"
[[routes]]
path = "/open"
cost = 1
auth = "optional"
[[routes]]
path = "/public"
public = true
auth = "optional"
scopes = ["read"]
[[routes]]
path = "/headers"
cost = 1
cors = true
[routes.headers.request]
set = { host = "a", x-a = "{nobody}", "x b" = "c" }
remove = ["content-length", "x-tollgate-tier"]
default = { x-b = "1", X-B = "2" }
[[routes]]
path = "/cors"
cost = 1
cors = { origins = ["*", "https://*.com"], credentials = true }
[[routes]]
path = "/override"
methods = ["POST"]
cost = 1
keep_method_override = true
headers = { request = { set = { x_tollgate_tier = "a" } } }
[[routes]]
path = "/fixed"
cost = 1
on_limit = "cut"
"#;
    insta::assert_snapshot!(headlines(&["routes"], text), @r"
    t.toml:4:16: error: routes[0].strip_prefix: the route's path does not begin with it
    t.toml:5:8: error: routes[0].host: this is not a host
    t.toml:9:16: error: routes[1].strip_prefix: `rewrite` says the whole path already
    t.toml:10:11: error: routes[1].rewrite: `path` has no parameter {symbl}
    t.toml:14:8: error: routes[2].auth: it is not said what who shows no token may do
    t.toml:18:8: error: routes[3].auth: it is not said what who shows no token may do
    t.toml:18:8: error: routes[3].auth: a public route asks nobody who they are, so this cannot hold
    t.toml:19:10: error: routes[3].scopes: a public route asks nobody who they are, so this cannot hold
    t.toml:23:8: error: routes[4].cors: expected false or a table, found a boolean
    t.toml:25:9: error: routes[4].headers.request.set.host: this header cannot be changed: `host` of the route or the upstream decides it
    t.toml:25:27: error: routes[4].headers.request.set.x-a: in braces stand client, customer, tier, request_id or route
    t.toml:25:39: error: routes[4].headers.request.set.x b: this is not a name
    t.toml:26:11: error: routes[4].headers.request.remove[0]: this header cannot be changed: it belongs to the connection
    t.toml:26:29: error: routes[4].headers.request.remove[1]: this header cannot be changed: Tollgate alone says it
    t.toml:27:24: error: routes[4].headers.request.default.X-B: this header is written twice
    t.toml:31:21: error: routes[5].cors.origins[0]: with credentials every page of the world could act as its visitors
    t.toml:31:26: error: routes[5].cors.origins[1]: this is not an origin
    t.toml:36:24: error: routes[6].keep_method_override: another method than these could be asked for in such a header
    t.toml:37:33: error: routes[6].headers.request.set.x_tollgate_tier: this header cannot be changed: Tollgate alone says it
    t.toml:41:12: error: routes[7].on_limit: nothing that this route costs is told by the exchange, so no limit meets one that is open
    ");
}

#[test]
fn a_meter_is_measured_in_one_way_and_holds_no_more_than_it_may_cost() {
    let text = r#"[[routes]]
path = "/a"
cost = { api_calls = { bytes = "1MiB", header = "x-cost" } }
[[routes]]
path = "/b"
cost = { api_calls = { hold = 1 } }
[[routes]]
path = "/c"
cost = { api_calls = { json = ["/a", "b"], hold = 11, most = 10 } }
[[routes]]
path = "/d"
cost = { api_calls = { duration = "0s" } }
[[routes]]
path = "/e"
cost = { api_calls = { messages = 1, missing = "zero" } }
[[routes]]
path = "/f"
public = true
cost = { api_calls = { bytes = "1KiB" } }
[[routes]]
path = "/g"
cost = { api_calls = { json = ["/a", "/b", "/a"] } }
"#;
    insta::assert_snapshot!(headlines(&["routes"], text), @r"
    t.toml:3:49: error: routes[0].cost.api_calls.header: a meter is measured in one way
    t.toml:6:22: error: routes[1].cost.api_calls: it is not said what is measured
    t.toml:9:38: error: routes[2].cost.api_calls.json[1]: the pointer must start with a slash
    t.toml:9:51: error: routes[2].cost.api_calls.hold: more than an exchange can cost, which is 10
    t.toml:12:35: error: routes[3].cost.api_calls.duration: too short, it must be at least 1ms
    t.toml:15:48: error: routes[4].cost.api_calls.missing: this measure needs nothing that an answer could leave out
    t.toml:19:8: error: routes[5].cost: a public route has no customer, so this cannot hold
    t.toml:22:44: error: routes[6].cost.api_calls.json[2]: this place is counted already
    ");
}

#[test]
fn an_upstream_with_tls_speaks_it_and_retries_what_can_be_retried() {
    let text = format!(
        r#"[upstreams.api]
servers = ["127.0.0.1:9000", {{ address = "127.0.0.1:9001", weight = 0 }}, "https://10.0.0.1", "https://a:0"]
retry_on = ["5xx", 500, 503]
host = "not a host"
balance = "random"
[upstreams.plain]
servers = ["127.0.0.1:9000"]
tls = {{ ca = "{PEM}", certificate = "{PEM}" }}
health_check = {{ path = "health", interval = "1ms" }}
[upstreams.tls]
servers = ["https://a_b.internal"]
[upstreams.named]
servers = ["https://a_b.internal"]
tls = {{ sni = "a b", certificate = "{PEM}", private_key = "{PEM}" }}
"#
    );
    insta::assert_snapshot!(headlines(&["upstreams"], &text), @r"
    t.toml:2:69: error: upstreams.api.servers[1].weight: the number is out of range
    t.toml:2:94: error: upstreams.api.servers[3]: the port is no number from 1 to 65535
    t.toml:3:13: error: upstreams.api.retry_on[0]: this answer is none to ask again for
    t.toml:3:20: error: upstreams.api.retry_on[1]: this answer is none to ask again for
    t.toml:4:8: error: upstreams.api.host: this is not a host
    t.toml:5:11: error: upstreams.api.balance: this word has no meaning here
    t.toml:8:7: error: upstreams.plain.tls: no server of this upstream speaks TLS
    t.toml:8:7: error: upstreams.plain.tls.private_key: missing
    t.toml:8:14: error: upstreams.plain.tls.ca: a PEM block in it is broken
    t.toml:9:25: error: upstreams.plain.health_check.path: the path must start with a slash
    t.toml:9:46: error: upstreams.plain.health_check.interval: too short, it must be at least 100ms
    t.toml:11:12: error: upstreams.tls.servers[0]: no certificate can be verified for this host
    t.toml:14:15: error: upstreams.named.tls.sni: no certificate can be verified for this name
    t.toml:14:36: error: upstreams.named.tls.certificate: a PEM block in it is broken
    t.toml:14:71: error: upstreams.named.tls.private_key: a PEM block in it is broken
    t.toml:25:1: error: routes[0].upstream: missing, as there are several upstreams
    ");
}

#[test]
fn what_watches_keeps_its_secrets() {
    let text = r#"[access_log]
sample = 1.5
fields = ["token"]
[tracing]
otlp_endpoint = "http://collector.example:4318"
headers = { x-key = "0123", "x key" = "0123" }
"#;
    assert!(!mistakes(&with(&[], text)).contains("0123"));
    insta::assert_snapshot!(headlines(&[], text), @r"
    t.toml:1:1: error: access_log.path: missing
    t.toml:2:10: error: access_log.sample: this is not a share of a whole
    t.toml:3:11: error: access_log.fields[0]: this word has no meaning here
    t.toml:5:17: error: tracing.otlp_endpoint: these headers could be read on the way
    t.toml:6:29: error: tracing.headers.x key: this is not a name
    ");
}
