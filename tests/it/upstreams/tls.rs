//! Servers with TLS are asked only if their certificate holds.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use http::Method;
use rcgen::CertificateParams;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::harness::{Authority, Nginx, Pair, World, tollgate};

use super::{ask, get};

/// A world before one such server, by whatever URL.
async fn world(server: &str, tls: &str) -> World {
    World::builder().config(&format!("[upstreams.api]\nservers = [\"{server}\"]\n{tls}")).start().await
}

fn trusting(authority: &Authority, more: &str) -> String {
    format!("tls = {{ ca = \"\"\"{}\"\"\"{more} }}", authority.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_good_certificate_is_asked_over_one_connection() {
    let authority = Authority::new("ours");
    let nginx = Nginx::start_with_tls(
        &authority.sign(&["localhost", "127.0.0.1"]),
        "keepalive_requests 1000; add_header x-connection $connection; add_header x-name $ssl_server_name;",
    )
    .await;
    let file: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
    nginx.put("/signals", &file);
    for (host, name) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
        let url = format!("https://{host}:{}", nginx.address.port());
        let world = world(&url, &trusting(&authority, "")).await;
        let customer = world.customer("acme");
        for plain in [true, false] {
            let first = get(&customer, "/signals", plain).await;
            assert_eq!((first.status, first.body[..] == file, first.charged()), (200, true, 1), "{host}");
            assert_eq!(first.header("x-name"), name, "an address is no name");
            let second = get(&customer, "/signals", plain).await;
            assert_eq!(first.header("x-connection"), second.header("x-connection"), "plain: {plain}");
        }
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_does_not_hold_is_never_asked() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let expired = |params: &mut CertificateParams| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    };
    let both = ["localhost", "127.0.0.1"];
    let cases: [(&str, Pair, &str, &str); 5] = [
        ("another authority", other.sign(&both), "localhost", ""),
        ("another name", authority.sign(&["api.example"]), "localhost", ""),
        ("not the name that is asked for", authority.sign(&both), "localhost", ", sni = \"api.example\""),
        ("an address that it does not have", authority.sign(&["localhost"]), "127.0.0.1", ""),
        ("expired", authority.sign_with(&both, expired), "localhost", ""),
    ];
    for (what, pair, host, more) in cases {
        let nginx = Nginx::start_with_tls(&pair, "").await;
        nginx.put("/signals", b"secret");
        let url = format!("https://{host}:{}", nginx.address.port());
        let tls = format!(
            "{}\nhealth_check = {{ path = \"/signals\", interval = \"100ms\", fall = 1 }}",
            trusting(&authority, more)
        );
        let world = world(&url, &tls).await;
        let customer = world.customer("acme");
        for plain in [true, false] {
            for method in [Method::GET, Method::POST] {
                let reply = ask(&customer, &method, "/signals", plain).await;
                let told = (reply.status, reply.code(), reply.charged());
                assert_eq!(told, (502, "upstream_failed".to_owned(), 0), "{what}, plain: {plain}");
            }
        }
        assert_eq!(nginx.asked(), [""; 0], "{what}");
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_certificate_reaches_the_server() {
    let authority = Authority::new("ours");
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("written");
    let directives = format!(
        "ssl_verify_client on; ssl_client_certificate {}; add_header x-client $ssl_client_s_dn;",
        ca.display()
    );
    let nginx = Nginx::start_with_tls(&authority.sign(&["localhost"]), &directives).await;
    nginx.put("/signals", b"hello");
    let url = format!("https://localhost:{}", nginx.address.port());
    let Pair { certificate, key } = authority.sign(&["gateway.example"]);
    let own = format!(", certificate = \"\"\"{certificate}\"\"\", private_key = \"\"\"{key}\"\"\"");
    let known = world(&url, &trusting(&authority, &own)).await;
    let customer = known.customer("acme");
    for plain in [true, false] {
        let reply = get(&customer, "/signals", plain).await;
        assert_eq!((reply.status, reply.header("x-client")), (200, Some("CN=gateway.example")));
    }
    known.finish().await;
    let unknown = world(&url, &trusting(&authority, "")).await;
    let reply = get(&unknown.customer("acme"), "/signals", true).await;
    assert_eq!(reply.status, 400, "nginx says so itself");
    unknown.finish().await;
}

/// A connection that one upstream has made and verified is not there for another, which trusts somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn who_trusts_another_authority_never_gets_a_connection_of_who_does_not() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let nginx = Nginx::start_with_tls(&authority.sign(&["localhost"]), "").await;
    nginx.put("/signals", b"hello");
    nginx.put("/premium", b"hello");
    let upstream = |name: &str, authority: &Authority| {
        let port = nginx.address.port();
        let tls = trusting(authority, "");
        format!("[upstreams.{name}]\nservers = [\"https://localhost:{port}\"]\n{tls}\n")
    };
    let routes = r#"routes = [
        { path = "/signals", cost = 1, upstream = "api" },
        { path = "/premium", cost = 1, upstream = "wary" },
    ]"#;
    let config = upstream("api", &authority) + &upstream("wary", &other);
    let world = World::builder().config(&config).config(routes).start().await;
    let customer = world.customer("acme");
    for plain in [true, false, true, false] {
        assert_eq!(get(&customer, "/signals", plain).await.status, 200);
        assert_eq!(get(&customer, "/premium", plain).await.status, 502, "plain: {plain}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_to_servers_that_do() {
    let authority = Authority::new("ours");
    let pair = authority.sign(&["localhost"]);
    let tells = "add_header x-protocol $server_protocol; add_header x-host $host;";
    let (over_tls, plain) =
        (Nginx::start_with_h2(Some(&pair), tells).await, Nginx::start_with_h2(None, tells).await);
    let old = Nginx::start_with_tls(&pair, tells).await;
    let https = |nginx: &Nginx| format!("https://localhost:{}", nginx.address.port());
    let trusts = trusting(&authority, "");
    for (nginx, server, http, protocol) in [
        (&over_tls, https(&over_tls), "2", "HTTP/2.0"),
        (&over_tls, https(&over_tls), "auto", "HTTP/2.0"),
        (&over_tls, https(&over_tls), "1", "HTTP/1.1"),
        (&old, https(&old), "auto", "HTTP/1.1"),
        (&plain, plain.address.to_string(), "2", "HTTP/2.0"),
    ] {
        nginx.put("/signals", "x".repeat(100_000).as_bytes());
        let tls = if server.starts_with("https") { &*trusts } else { "" };
        let check = "health_check = { path = \"/signals\", interval = \"100ms\", fall = 1 }";
        let world =
            world(&server, &format!("http = \"{http}\"\nhost = \"api.example\"\n{check}\n{tls}")).await;
        let customer = world.customer("acme");
        for way in [true, false] {
            let reply = get(&customer, "/signals", way).await;
            let told = (reply.status, reply.header("x-protocol"), reply.header("x-host"), reply.charged());
            assert_eq!(told, (200, Some(protocol), Some("api.example"), 1), "{server} http = {http}");
            assert_eq!(reply.body.len(), 100_000);
        }
        assert_eq!(world.metric("tollgate_upstream_up{upstream=\"api\"}").await, Some(1));
        world.finish().await;
    }
}

/// An API of WebSockets that says what it hears.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (says, hears) = accept_async(stream).await.expect("a WebSocket").split();
            // It ends when the other side does.
            let _ = hears.forward(says).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_over_tls() {
    let authority = Authority::new("ours");
    let api = echo().await;
    let passes = format!(
        "location / {{ proxy_pass http://{api}; proxy_http_version 1.1; \
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}"
    );
    let nginx = Nginx::start_with_h2(Some(&authority.sign(&["localhost"])), &passes).await;
    let url = format!("https://localhost:{}", nginx.address.port());
    let world = world(&url, &format!("http = \"auto\"\n{}", trusting(&authority, ""))).await;
    let customer = world.customer("acme");
    let mut wire = world.wire().await;
    let asking = "GET /signals HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                  sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    let reply = wire.ask_for_head(&customer, asking).await;
    assert_eq!((reply.status, reply.charged()), (101, 1));
    let (stream, ahead) = wire.into_stream();
    let mut socket = WebSocketStream::from_partially_read(stream, ahead, Role::Client, None).await;
    for bytes in [5, 1 << 20, 0] {
        let message = Message::binary(vec![b'x'; bytes]);
        socket.send(message.clone()).await.expect("it is open");
        assert_eq!(socket.next().await.expect("an echo").expect("it is open"), message);
    }
    socket.close(None).await.expect("it is open");
    world.finish().await;
}

#[test]
fn certificates_that_cannot_be_used_are_told_before_anything_starts() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    let (own, foreign) = (authority.sign(&["a"]), other.sign(&["b"]));
    write("us.pem", &own.certificate);
    write("us.key", &foreign.key);
    write("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let config = r#"
        [server]
        listen = "127.0.0.1:1"
        [auth.jwt]
        algorithms = ["HS256"]
        secret = "only-for-tests-0123456789-0123456789"
        [upstreams.api]
        servers = ["https://my_api.internal"]
        tls = { ca = "ca.pem", certificate = "us.pem", private_key = "us.key" }
        [meters.api_calls]
        [stripe]
        mode = "sandbox"
        [tiers.free]
        default = true
        overage = "deny"
        [[routes]]
        path = "/signals"
        cost = 1
    "#;
    write("t.toml", config);
    let ended = tollgate(folder.path(), &["check", "--config", "t.toml"], &[]);
    for mistake in [
        "upstreams.api.servers[0]: no certificate can be verified for this host",
        "upstreams.api.tls.ca: a certificate in it cannot be read",
        "upstreams.api.tls.private_key: the key is of another certificate",
    ] {
        assert!(ended.stderr.contains(mistake), "{mistake} is not in:\n{}", ended.stderr);
    }
    assert_ne!(ended.code, Some(0));
}
