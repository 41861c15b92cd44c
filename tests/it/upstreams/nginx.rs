//! nginx behind the gateway.

use http::Method;

use crate::harness::{Authority, Nginx, World};

use super::{ask, get};

#[tokio::test(flavor = "multi_thread")]
async fn files_pass_whole_in_part_and_compressed_over_connections_that_nginx_closes() {
    let nginx = Nginx::start("keepalive_requests 2; gzip on; gzip_types *; gzip_min_length 1;").await;
    let file: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
    nginx.put("/signals", &file);
    let upstream = format!("[upstreams.api]\nservers = [\"{}\"]", nginx.address);
    let world = World::builder().config(&upstream).start().await;
    let customer = world.customer("acme");
    for _ in 0..5 {
        let whole = customer.get("/signals").await;
        assert_eq!((whole.status, whole.body[..] == file, whole.charged()), (200, true, 1));
    }
    let part =
        customer.ask(Method::GET, "/signals", |request| request.header("range", "bytes=1000-1999")).await;
    assert_eq!((part.status, part.body[..] == file[1000..2000], part.charged()), (206, true, 1));
    let packed =
        customer.ask(Method::GET, "/signals", |request| request.header("accept-encoding", "gzip")).await;
    assert_eq!((packed.status, packed.header("content-encoding"), packed.charged()), (200, Some("gzip"), 1));
    let missing = customer.get("/export/csv").await;
    assert_eq!((missing.status, missing.charged()), (404, 0));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_trusts_an_authority_of_tests_believes_its_certificates_and_nobody_else_does() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let nginx = Nginx::start_with_tls(&authority.sign(&["127.0.0.1", "localhost"]), "").await;
    nginx.put("/hello", b"hello");
    let asks = async |trusted: &Authority| {
        let root = reqwest::Certificate::from_pem(trusted.pem().as_bytes()).expect("a certificate");
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().expect("a client");
        client.get(format!("https://{}/hello", nginx.address)).send().await
    };
    assert_eq!(asks(&authority).await.expect("trusted").text().await.expect("a body"), "hello");
    assert!(asks(&other).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_after_each_answer_costs_nobody_theirs() {
    let nginx = Nginx::start("keepalive_requests 1; error_page 405 =200 /signals;").await;
    nginx.put("/signals", b"hello");
    let upstream = format!("[upstreams.api]\nservers = [\"{}\"]", nginx.address);
    let world = World::builder().config(&upstream).start().await;
    let customer = world.customer("acme");
    for request in 0..20 {
        for method in [Method::GET, Method::POST] {
            let reply = ask(&customer, &method, "/signals", request % 2 == 0).await;
            assert_eq!((reply.status, reply.charged()), (200, 1), "{method}");
        }
    }
    assert_eq!(nginx.asked().len(), 40, "each once");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_stopped_is_asked_again_as_soon_as_it_is_there() {
    let mut nginx = Nginx::start("error_page 405 =200 /signals;").await;
    nginx.put("/signals", b"hello");
    let upstream = format!("[upstreams.api]\nservers = [\"{}\"]", nginx.address);
    let world = World::builder().config(&upstream).start().await;
    let customer = world.customer("acme");
    for plain in [true, false] {
        assert_eq!(get(&customer, "/signals", plain).await.status, 200, "keeps a connection");
    }
    nginx.stop();
    for plain in [true, false] {
        let reply = get(&customer, "/signals", plain).await;
        assert_eq!((reply.status, reply.code().as_str(), reply.charged()), (502, "upstream_failed", 0));
    }
    nginx.start_again().await;
    for plain in [true, false] {
        let reply = ask(&customer, &Method::POST, "/signals", plain).await;
        assert_eq!((reply.status, reply.charged()), (200, 1));
    }
    world.finish().await;
}
