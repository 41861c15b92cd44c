//! Streams by HTTP/2: those that their client takes back, and those that a limit ends.

use h2::RecvStream;
use http::Method;
use tokio::net::TcpStream;

use super::Api;
use super::api::Pieces;
use super::limits::{EVENTS, ROUTES, event};
use crate::harness::{Customer, Http2, World, free_address, in_time};

async fn connect(api: &Api) -> (World, Http2) {
    let h2c = free_address();
    let world = api.world(&format!("{ROUTES}\nserver.h2c_listen = [\"{h2c}\"]")).await;
    let stream = TcpStream::connect(h2c).await.expect("an open port");
    let http2 = world.http2_over(stream).await;
    (world, http2)
}

/// Opens a stream: the client's side and the API's.
async fn open(api: &mut Api, http2: &Http2, customer: &Customer, path: &str) -> (RecvStream, Pieces) {
    let begun = http2.begin(Some(customer), Method::GET, path, false).await;
    let (answer, _) = begun.expect("a connection that goes on");
    let pieces = api.asked().await.begin(EVENTS);
    let answer = in_time(answer).await.expect("an answer");
    let cost = answer.headers().get("x-usage-cost").expect("a cost").to_str().expect("text");
    assert!(answer.status() == 200 && cost.ends_with(";held"), "{cost}");
    (answer.into_body(), pieces)
}

/// Reads as many bytes.
async fn read(body: &mut RecvStream, bytes: usize) {
    let mut read = 0;
    while read < bytes {
        let piece = in_time(body.data()).await.expect("more").expect("it goes on");
        body.flow_control().release_capacity(piece.len()).expect("it was taken");
        read += piece.len();
    }
    assert_eq!(read, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_its_request_back_pays_for_what_it_was_sent() {
    let mut api = Api::start().await;
    let (world, http2) = connect(&api).await;
    let mut used = 0;
    let customer = world.customer("acme");
    for path in ["/cut", "/finish"] {
        let (mut body, pieces) = open(&mut api, &http2, &customer, path).await;
        pieces.send(event(1));
        read(&mut body, 1 << 10).await;
        drop(body);
        used += 1;
        customer.owes("api_calls=1");
        customer.until_used(used).await;
        drop(pieces);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_resets_the_stream_alone() {
    let mut api = Api::start().await;
    let (world, http2) = connect(&api).await;
    for (path, events) in [("/cut", 4), ("/timed", 0)] {
        let customer = world.customer(&path[1..]);
        let (mut body, pieces) = open(&mut api, &http2, &customer, path).await;
        for at in 1..=events {
            pieces.send(event(at));
            read(&mut body, 1 << 10).await;
        }
        if events > 0 {
            pieces.send(event(5));
        }
        let end = in_time(body.data()).await.expect("an end that is none");
        assert!(end.is_err_and(|error| error.is_reset()));
        customer.owes("api_calls=4");
        customer.until_used(4).await;
        assert_eq!(http2.get(&customer, path).await.refusal(), (429, "quota_exceeded".to_owned()));
        drop(pieces);
    }
    assert!(!http2.is_over());
    world.finish().await;
}
