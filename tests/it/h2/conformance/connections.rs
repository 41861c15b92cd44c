//! How connections begin, and sections 4 and 5: frames and the states of streams.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_begins_as_section_3_4_says_or_ends() {
    let many = Multiplexed::start("[server]\nheader_timeout = \"500ms\"").await;
    for begun in [
        &b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\x16\x03\x01",
        b"PRI *",
        b"",
    ] {
        let mut attack = Frames::silent(many.tcp().await);
        assert!(attack.send(begun).await);
        // What is not complete is cut.
        while attack.next().await.is_some() {}
    }
    let mut other = Frames::over(many.tcp().await).await;
    assert!(other.send(&whole(1)).await);
    assert_eq!(told(&mut other).await, Told::Answered);
    many.world.finish().await;
}

fn section_4() -> Vec<Case> {
    let pad = |bytes: usize| vec![0; bytes];
    vec![
        (
            "4.2 DATA beyond the largest frame",
            then(&[asks(1, 0), frame(DATA, 0, 1, &pad(16_385))]),
            Resets(&[FRAME_SIZE]),
        ),
        (
            "4.2 HEADERS beyond the largest frame",
            frame(HEADERS, END_HEADERS, 1, &pad(16_385)),
            Ends(&[FRAME_SIZE]),
        ),
        (
            "4.3 a header that cannot be unpacked",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x40]),
            Ends(&[COMPRESSION]),
        ),
        (
            "4.3 PRIORITY within a header",
            then(&[
                frame(HEADERS, END_STREAM, 1, &get("/health", &[])),
                frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
            ]),
            Ends(&[PROTOCOL]),
        ),
        (
            "4.3 another request within a header",
            then(&[frame(HEADERS, END_STREAM, 1, &get("/health", &[])), whole(3)]),
            Ends(&[PROTOCOL]),
        ),
    ]
}

fn section_5() -> Vec<Case> {
    vec![
        ("5.1 DATA of an idle stream", frame(DATA, END_STREAM, 1, b"x"), Ends(&[PROTOCOL, STREAM_CLOSED])),
        ("5.1 RST_STREAM of an idle stream", frame(RST_STREAM, 0, 1, &u32s(8)), Ends(&[PROTOCOL])),
        ("5.1 WINDOW_UPDATE of an idle stream", frame(WINDOW_UPDATE, 0, 1, &u32s(100)), Ends(&[PROTOCOL])),
        (
            "5.1 CONTINUATION of an idle stream",
            frame(CONTINUATION, END_HEADERS, 1, &get("/health", &[])),
            Ends(&[PROTOCOL]),
        ),
        (
            "5.1 DATA after the end",
            then(&[whole(1), frame(DATA, END_STREAM, 1, b"x")]),
            Resets(&[STREAM_CLOSED]),
        ),
        ("5.1 HEADERS after the end", then(&[whole(1), whole(1)]), Resets(&[STREAM_CLOSED, PROTOCOL])),
        (
            "5.1 CONTINUATION after the end",
            then(&[whole(1), frame(CONTINUATION, END_HEADERS, 1, &[])]),
            Ends(&[PROTOCOL, STREAM_CLOSED]),
        ),
        (
            "5.1 DATA after RST_STREAM",
            then(&[asks(1, 0), frame(RST_STREAM, 0, 1, &u32s(8)), frame(DATA, END_STREAM, 1, b"x")]),
            Resets(&[STREAM_CLOSED]),
        ),
        (
            "5.1 HEADERS after RST_STREAM",
            then(&[asks(1, 0), frame(RST_STREAM, 0, 1, &u32s(8)), whole(1)]),
            Resets(&[STREAM_CLOSED, PROTOCOL]),
        ),
        ("5.1.1 an even stream", whole(2), Ends(&[PROTOCOL])),
        ("5.1.1 a stream below another", then(&[whole(5), whole(3)]), Ends(&[PROTOCOL, STREAM_CLOSED])),
        (
            "5.1.2 more streams than are allowed",
            (0..101).flat_map(|request| asks(2 * request + 1, 0)).collect(),
            Resets(&[REFUSED, PROTOCOL]),
        ),
        ("5.5 a frame that nobody knows", then(&[frame(0x16, 0xff, 0, &[0; 8]), whole(1)]), Answers),
        (
            "5.5 a frame that nobody knows within a header",
            then(&[frame(HEADERS, END_STREAM, 1, &get("/health", &[])), frame(0x16, 0, 0, &[0; 8])]),
            Ends(&[PROTOCOL]),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_and_streams_follow_sections_4_and_5() {
    try_all([section_4(), section_5()].concat()).await;
}
