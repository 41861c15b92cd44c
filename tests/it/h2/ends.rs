//! How connections and single requests end.

use bytes::Bytes;
use h2::Reason;
use http::Method;
use tokio::net::TcpStream;

use super::Multiplexed;
use crate::harness::{Behaviour, PATIENCE, in_time, until};
use crate::tls::Secure;

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_requests_end_and_says_goodbye() {
    let mut secure = Secure::start().await;
    let customer = secure.world.customer("last");
    secure.world.upstream.on("/export/pdf", Behaviour::Held);
    let client = secure.client().offering(&["h2"]);
    let idle = secure.world.http2_over(secure.connect(&client).await).await;
    idle.get(&customer, "/free").await;
    let busy = secure.world.http2_over(secure.connect(&client).await).await;
    let (held, _) = busy.begin(Some(&customer), Method::GET, "/export/pdf", false).await.expect("a request");
    secure.world.upstream.arrived("/export/pdf", 1).await;
    secure.world.gateway.terminate();
    assert_eq!(idle.ended().await, Some(Reason::NO_ERROR));
    until("the port closes", PATIENCE, async || {
        TcpStream::connect(secure.https).await.is_err().then_some(())
    })
    .await;
    secure.world.upstream.release();
    let last = busy.read(Some(&customer), held).await.expect("a whole answer");
    assert_eq!((last.status, last.charged()), (200, 5));
    assert_eq!(busy.ended().await, Some(Reason::NO_ERROR));
    assert_eq!(secure.world.gateway.ended().await, Some(0), "{}", secure.world.gateway.log());
    secure.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_rests_is_told_to_go_and_one_that_works_is_not() {
    let many = Multiplexed::start("[server]\nkeepalive_timeout = \"300ms\"").await;
    let customer = many.world.customer("resting");
    many.world.upstream.on("/signals", Behaviour::Held);
    let [idle, new, busy] = [many.connect().await, many.connect().await, many.connect().await];
    let (held, _) = busy.begin(Some(&customer), Method::GET, "/signals", false).await.expect("a request");
    many.world.upstream.arrived("/signals", 1).await;
    idle.get(&customer, "/free").await;
    assert_eq!(idle.ended().await, Some(Reason::NO_ERROR));
    assert_eq!(new.ended().await, Some(Reason::NO_ERROR));
    many.world.upstream.release();
    assert_eq!(busy.read(Some(&customer), held).await.expect("an answer").charged(), 1);
    many.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_after_as_many_requests_as_are_allowed() {
    let many = Multiplexed::start("[server]\nrequests_per_connection = 3").await;
    let customer = many.world.customer("moving");
    let connection = many.connect().await;
    for _ in 0..3 {
        assert_eq!(connection.get(&customer, "/signals").await.charged(), 1);
    }
    assert_eq!(connection.ended().await, Some(Reason::NO_ERROR));
    let mut wire = many.world.wire().await;
    for shown in ["keep-alive", "keep-alive", "close"] {
        let reply = wire.ask(&customer, "GET /signals HTTP/1.1").await;
        assert_eq!((reply.charged(), reply.header("connection")), (1, Some(shown)), "HTTP/1 as well");
    }
    assert!(wire.read("GET").await.is_none(), "the connection ends");
    many.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_ends_its_request_alone_and_costs_nothing() {
    let many = Multiplexed::start("[server]\nbody_timeout = \"500ms\"").await;
    let customer = many.world.customer("silent");
    let connection = many.connect().await;
    for part in [&b""[..], b"a part"] {
        for key in [false, true] {
            let path = if key { "/billing/checkout" } else { "/signals" };
            let begun = connection.begin(Some(&customer), Method::POST, path, true).await;
            let (answer, mut send) = begun.expect("a request");
            send.send_data(Bytes::copy_from_slice(part), false).expect("it goes on");
            let cut = connection.read(Some(&customer), answer).await.expect_err("no answer");
            assert!(cut.is_reset(), "{path}: {cut}");
        }
    }
    // Who sends something now and then is heard to the end.
    let (answer, mut send) =
        connection.begin(Some(&customer), Method::POST, "/signals", true).await.expect("a request");
    for _ in 0..8 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        send.send_data(Bytes::from_static(b"a part"), false).expect("it goes on");
    }
    send.send_data(Bytes::new(), true).expect("it goes on");
    let reply = connection.read(Some(&customer), answer).await.expect("an answer");
    assert_eq!((reply.charged(), &reply.json()["body_bytes"]), (1, &48.into()));
    let cut = many.world.metric("tollgate_refusals_total{code=\"request_timeout\"}").await;
    assert_eq!(cut, Some(4));
    assert_eq!(customer.used().await, 1);
    many.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_taken_is_cut_and_the_connection_goes_on() {
    let many = Multiplexed::start("[server]\nbody_timeout = \"500ms\"").await;
    let customer = many.world.customer("deaf");
    many.world.upstream.on("/export/csv", Behaviour::Large(8 << 20));
    let connection = many.connect().await;
    let begun = connection.begin(Some(&customer), Method::GET, "/export/csv", false).await;
    let (head, mut body) = begun.expect("a request").0.await.expect("a header").into_parts();
    assert_eq!(head.headers["x-usage-cost"], "api_calls=3");
    // Its window is never given back.
    let cut = loop {
        match in_time(body.data()).await {
            Some(Ok(_)) => {}
            other => break other,
        }
    };
    assert!(cut.is_some_and(|end| end.is_err_and(|error| error.is_reset())), "it is cut");
    many.world.told("deaf", 3);
    assert_eq!(connection.get(&customer, "/signals").await.charged(), 1);
    assert_eq!(customer.used().await, 4, "what went out is charged");
    many.world.finish().await;
}
