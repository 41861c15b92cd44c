//! What one client does to its own connection does nothing to others.

use http::Method;

use super::Multiplexed;
use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, RST_STREAM, SETTINGS, fields, frame,
    get,
};
use crate::harness::{Behaviour, PATIENCE, resident, until};

const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;
const CANCEL: [u8; 4] = 8_u32.to_be_bytes();

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_requests_back_by_the_thousand_is_sent_away() {
    let many = Multiplexed::start("").await;
    let customer = many.world.customer("steady");
    many.world.upstream.on("/signals", Behaviour::Held);
    let mut attack = Frames::over(many.tcp().await).await;
    let token = format!("Bearer {}", many.world.customer("rapid").token);
    let mut header =
        fields(&[(":method", "GET"), (":scheme", "http"), (":authority", "api.test"), (":path", "/signals")]);
    header.push(0);
    header.push(13);
    header.extend(b"authorization");
    // A length of two bytes or three (RFC 7541, section 5.1).
    header.push(127);
    let mut rest = token.len() - 127;
    while rest >= 128 {
        header.push(u8::try_from(rest % 128).expect("seven bits") | 128);
        rest /= 128;
    }
    header.push(u8::try_from(rest).expect("seven bits"));
    header.extend(token.as_bytes());
    let mut open = true;
    for request in 0..10_000 {
        let stream = 2 * request + 1;
        let asked = frame(HEADERS, END_HEADERS | END_STREAM, stream, &header);
        open = open && attack.send(&[asked, frame(RST_STREAM, 0, stream, &CANCEL)].concat()).await;
    }
    // A connection that ends while bytes are on their way may not tell why.
    assert!(matches!(attack.goodbye().await, None | Some(ENHANCE_YOUR_CALM)));
    let other = many.connect().await;
    assert_eq!(other.get(&customer, "/export/csv").await.charged(), 3);
    // What was taken back holds nothing.
    let rapid = many.world.customer("rapid");
    rapid.until_used(0).await;
    assert!(many.world.upstream.hits("/signals") < 1_000, "the API hears little of it");
    many.world.upstream.release();
    many.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_back_slowly_is_sent_away_and_who_lets_requests_end_is_not() {
    let many = Multiplexed::start("[server]\nh2 = { resets = 5 }").await;
    let customer = many.world.customer("fickle");
    let connection = many.connect().await;
    for _ in 0..20 {
        many.world.upstream.in_turn("/export/pdf", [Behaviour::Held]);
        let hits = many.world.upstream.hits("/export/pdf");
        let (answer, _) =
            connection.begin(Some(&customer), Method::GET, "/export/pdf", false).await.expect("a request");
        many.world.upstream.arrived("/export/pdf", hits + 1).await;
        drop(answer);
        assert_eq!(connection.get(&customer, "/signals").await.charged(), 1);
    }
    let mut taken = 0;
    while taken < 50 {
        many.world.upstream.in_turn("/export/pdf", [Behaviour::Held]);
        let hits = many.world.upstream.hits("/export/pdf");
        let Ok((answer, _)) = connection.begin(Some(&customer), Method::GET, "/export/pdf", false).await
        else {
            break;
        };
        let arrived = until("it arrives, or nothing does any more", PATIENCE, async || {
            let arrived = many.world.upstream.hits("/export/pdf") > hits;
            (arrived || connection.is_over()).then_some(arrived)
        })
        .await;
        drop(answer);
        taken += u32::from(arrived);
        if !arrived {
            break;
        }
    }
    assert!(taken < 50, "it goes on and on");
    assert_eq!(connection.ended().await, Some(h2::Reason::ENHANCE_YOUR_CALM));
    assert_eq!(customer.used().await, 20);
    many.world.upstream.release();
    many.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_none_are_reset_and_too_many_of_them_end_the_connection() {
    let many = Multiplexed::start("").await;
    for (requests, more) in [
        (40, &[("host", "other.test")][..]),
        (40, &[("host", "api.test"), ("host", "api.test")]),
        (300, &[("connection", "close")]),
    ] {
        let mut attack = Frames::over(many.tcp().await).await;
        let header = get("/health", more);
        for request in 0..requests {
            // It may have been sent away.
            let _ = attack.send(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * request + 1, &header)).await;
        }
        assert!(matches!(attack.goodbye().await, None | Some(ENHANCE_YOUR_CALM)), "{more:?}");
    }
    assert_eq!(many.world.upstream.hits("/health"), 0);
    let refused = many.world.metric("tollgate_refusals_total{code=\"bad_request\"}").await;
    assert_eq!(refused, Some(64));
    many.world.finish().await;
}

/// Sends something ten thousand times to a connection that takes no answer, until it is over or all is sent.
async fn flood(many: &Multiplexed, begin: &[u8], again: &[u8]) -> Frames {
    let mut attack = Frames::over(many.tcp().await).await;
    let piece = again.repeat(100);
    let sent = async {
        let mut open = attack.send(begin).await;
        for _ in 0..1_000 {
            open = open && attack.send(&piece).await;
        }
    };
    // A gateway that takes no more of it is as good.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), sent).await;
    attack
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_cost_no_memory_and_nobody_else_anything() {
    let many = Multiplexed::start("").await;
    let customer = many.world.customer("steady");
    let steady = many.connect().await;
    assert_eq!(steady.get(&customer, "/signals").await.charged(), 1);
    let before = resident(many.world.gateway.id());
    let open_header = frame(HEADERS, END_STREAM, 1, &get("/health", &[]));
    let open_body = frame(HEADERS, END_HEADERS, 1, &get("/health", &[("x-body", "follows")]));
    let mut attacks = Vec::new();
    for (name, begin, again) in [
        ("PING", vec![], frame(PING, 0, 0, &[7; 8])),
        ("SETTINGS", vec![], frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])),
        ("CONTINUATION", open_header.clone(), frame(CONTINUATION, 0, 1, &fields(&[("x-more", "and more")]))),
        ("empty CONTINUATION", open_header, frame(CONTINUATION, 0, 1, &[])),
        ("empty DATA", open_body, frame(DATA, 0, 1, &[])),
    ] {
        attacks.push((name, flood(&many, &begin, &again).await));
        assert_eq!(steady.get(&customer, "/signals").await.charged(), 1, "{name}");
        let grown = resident(many.world.gateway.id()).saturating_sub(before);
        assert!(grown < 32 * 1024, "{name}: {grown} KiB more");
    }
    for (name, attack) in &mut attacks[2..4] {
        assert!(
            matches!(attack.goodbye().await, None | Some(PROTOCOL_ERROR | ENHANCE_YOUR_CALM)),
            "{name} ends its connection"
        );
    }
    drop(attacks);
    many.world.finish().await;
}
