//! Requests over TLS are what they are without.

use std::process::Command;

use http::Method;
use serde_json::Value;

use super::{HOST, Secure};
use crate::harness::{Customer, Reply};

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_to_the_api_work_over_tls_and_say_so() {
    let secure = Secure::start().await;
    let customer = secure.world.customer("safe");
    let mut wire = secure.world.wire_over(secure.connect(&secure.client()).await);
    let long = "x".repeat(60_000);
    let sized = format!("POST /signals HTTP/1.1\r\ncontent-length: {}", long.len());
    for (head, body) in [
        ("GET /signals HTTP/1.1", String::new()),
        ("GET /signals HTTP/1.1\r\nte: trailers", String::new()),
        (sized.as_str(), long.clone()),
        (
            "POST /signals HTTP/1.1\r\ntransfer-encoding: chunked",
            format!("{:x}\r\n{long}\r\n0\r\n\r\n", 60_000),
        ),
    ] {
        let reply = wire.ask_with(&customer, head, &body).await;
        assert_eq!((reply.status, reply.charged(), reply.header("connection")), (200, 1, Some("keep-alive")));
        let told = reply.json();
        assert_eq!(told["headers"]["x-forwarded-proto"][0], "https", "{head}");
        assert_eq!(told["headers"]["x-forwarded-for"][0], "127.0.0.1", "{head}");
        assert_eq!(told["body_bytes"], if body.is_empty() { 0 } else { 60_000 }, "{head}");
    }
    let plain = customer.get("/signals").await.json();
    assert_eq!(plain["headers"]["x-forwarded-proto"][0], "http");
    assert_eq!(customer.used().await, 5);
    secure.world.finish().await;
}

/// curl over TLS; answers what it was answered and which HTTP it spoke.
fn curl(secure: &Secure, customer: &Customer, arguments: &[&str]) -> (Value, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, secure.authority.pem()).expect("a writable folder");
    let port = secure.https.port();
    let out = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "20", "--cacert"])
        .arg(&ca)
        .args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")])
        .args(["--header", &format!("authorization: Bearer {}", customer.token)])
        .args(["--write-out", "\n%{http_version} %header{x-usage-cost}"])
        .args(arguments)
        .arg(format!("https://{HOST}:{port}/signals"))
        .output()
        .expect("curl is installed");
    assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).expect("text");
    let (body, told) = text.rsplit_once('\n').expect("two lines");
    let (version, cost) = told.split_once(' ').expect("a cost");
    secure.world.told(&customer.name, cost.trim_start_matches("api_calls=").parse().expect("units"));
    (serde_json::from_str(body).expect("JSON"), version.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_both_versions_of_http() {
    let secure = Secure::start().await;
    let customer = secure.world.customer("curl");
    let body = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(body.path(), vec![b'x'; 60_000]).expect("a file");
    let upload = format!("@{}", body.path().display());
    for version in ["--http1.1", "--http2"] {
        let spoken = if version == "--http2" { "2" } else { "1.1" };
        for (arguments, bytes) in [
            (&[][..], 0),
            (&["--compressed"], 0),
            (&["--data-binary", &upload], 60_000),
            (&["--data-binary", &upload, "--header", "expect: 100-continue"], 60_000),
            (&["--data-binary", &upload, "--header", "transfer-encoding: chunked"], 60_000),
        ] {
            let arguments = [&[version], arguments].concat();
            if version == "--http2" && arguments.iter().any(|said| said.contains("chunked")) {
                // There is no such thing.
                continue;
            }
            let (told, version) = curl(&secure, &customer, &arguments);
            assert_eq!((version.as_str(), &told["body_bytes"]), (spoken, &bytes.into()), "{arguments:?}");
            assert_eq!(told["headers"]["x-forwarded-proto"][0], "https", "{arguments:?}");
        }
    }
    assert_eq!(customer.used().await, 9);
    secure.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_connections_of_tls_after_their_answers() {
    let mut secure = Secure::start().await;
    let customer = secure.world.customer("last");
    secure.world.upstream.on("/export/pdf", crate::harness::Behaviour::Held);
    let idle = secure.connect(&secure.client()).await;
    let mut busy = secure.world.wire_over(secure.connect(&secure.client()).await);
    let mut idle = secure.world.wire_over(idle);
    let kept: Reply = idle.ask(&customer, "GET /signals HTTP/1.1").await;
    assert_eq!(kept.charged(), 1);
    busy.send_head(&customer, "GET /export/pdf HTTP/1.1").await;
    secure.world.upstream.arrived("/export/pdf", 1).await;
    secure.world.gateway.terminate();
    assert!(idle.read("GET").await.is_none(), "nothing is under way there");
    secure.world.upstream.release();
    let last = busy.go_on(&customer, "").await;
    assert_eq!((last.status, last.charged(), last.header("connection")), (200, 5, Some("close")));
    assert_eq!(secure.world.gateway.ended().await, Some(0), "{}", secure.world.gateway.log());
    secure.world.gateway.restart().await;
    assert_eq!(secure.world.ask(Method::GET, "/pricing", |request| request).await.status, 200);
    secure.world.finish().await;
}
