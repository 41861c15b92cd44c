//! All that can be replaced while a gateway runs is replaced in turn, under load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use super::GET;
use crate::harness::{Authority, Customer, Load, TlsClient, Wires, setting};
use crate::reload::{Files, routes};
use crate::tls::{HOST, Secure};

/// One takes half a second or so; `TOLLGATE_TEST_ROUNDS` sets another number.
const ROUNDS: u64 = 6;
/// Requests on one connection, at most.
const ON_ONE: usize = 20;

/// Asks over TLS, connection after connection, until it is told to stop.
struct Client {
    tls: TlsClient,
    address: SocketAddr,
    wires: Wires,
    customer: Customer,
    stop: Arc<AtomicBool>,
}

impl Client {
    async fn http1(self) {
        while !self.stop.load(Ordering::Relaxed) {
            let stream = self.tls.connect(self.address, HOST).await.expect("a handshake");
            let mut wire = self.wires.over(stream);
            for _ in 0..ON_ONE {
                let reply = wire.ask(&self.customer, GET).await;
                assert_eq!((reply.status, reply.charged()), (200, 1), "{}", reply.text());
                if reply.header("connection") == Some("close") {
                    break;
                }
            }
        }
    }

    async fn http2(self) {
        while !self.stop.load(Ordering::Relaxed) {
            let stream = self.tls.connect(self.address, HOST).await.expect("a handshake");
            let many = self.wires.http2_over(stream).await;
            for _ in 0..ON_ONE {
                if many.is_over() {
                    break;
                }
                let reply = many.get(&self.customer, "/signals").await;
                assert_eq!((reply.status, reply.charged()), (200, 1), "{}", reply.text());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_configurations_and_binaries_are_replaced_under_load_and_no_request_fails() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.sign(&[HOST]));
    let mut secure = Secure::start_as(authority, &files.in_toml(), "").await;
    let (plain, _) = secure.world.subscriber("plain", "pro").await;
    let (private, _) = secure.world.subscriber("private", "pro").await;
    let load = Load::start(&[plain], 4);
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for at in 0..4 {
        let client = Client {
            tls: secure.client().offering(if at % 2 == 0 { &["http/1.1"] } else { &["h2"] }),
            address: secure.https,
            wires: secure.world.wires(),
            customer: private.clone(),
            stop: stop.clone(),
        };
        if at % 2 == 0 {
            clients.spawn(client.http1())
        } else {
            clients.spawn(client.http2())
        };
    }
    for round in 0..setting("TOLLGATE_TEST_ROUNDS", ROUNDS) {
        load.answers(20).await;
        files.put(&secure.authority.sign(&[HOST]));
        secure.world.reloaded().await;
        load.answers(20).await;
        let more = format!(r#"{{ path = "/round/{round}", cost = {} }},"#, round + 1);
        secure.world.reconfigure(&routes(&more)).await;
        load.answers(20).await;
        secure.world.gateway.upgrade().await;
    }
    assert_eq!((load.lost(), load.refused()), (0, 0), "{}", secure.world.gateway.log());
    load.end().await;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("every request was answered");
    }
    secure.world.gateway.replaced_ended().await;
    secure.world.finish().await;
}
