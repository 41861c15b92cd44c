//! Section 6: each kind of frame.

use super::*;

fn from_data_to_settings() -> Vec<Case> {
    let padded = |kind: u8, pad: u8| {
        frame(kind, PADDED | END_HEADERS | END_STREAM, 1, &[&[pad], &get("/health", &[])[..]].concat())
    };
    vec![
        ("6.1 DATA of no stream", frame(DATA, 0, 0, b"x"), Ends(&[PROTOCOL])),
        (
            "6.1 DATA all padding and more",
            then(&[asks(1, 0), frame(DATA, PADDED | END_STREAM, 1, &[9, 0, 0])]),
            Ends(&[PROTOCOL]),
        ),
        ("6.2 HEADERS of no stream", frame(HEADERS, END_HEADERS, 0, &get("/health", &[])), Ends(&[PROTOCOL])),
        ("6.2 HEADERS all padding and more", padded(HEADERS, 255), Ends(&[PROTOCOL])),
        (
            "6.2 HEADERS with a priority",
            frame(
                HEADERS,
                WITH_PRIORITY | END_HEADERS | END_STREAM,
                1,
                &[&[0, 0, 0, 0, 9][..], &get("/health", &[])].concat(),
            ),
            Answers,
        ),
        ("6.3 PRIORITY of no stream", frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 1]), Ends(&[PROTOCOL])),
        ("6.3 PRIORITY of another size", frame(PRIORITY, 0, 1, &[0; 4]), Resets(&[FRAME_SIZE])),
        ("6.4 RST_STREAM of no stream", frame(RST_STREAM, 0, 0, &u32s(8)), Ends(&[PROTOCOL])),
        (
            "6.4 RST_STREAM of another size",
            then(&[asks(1, 0), frame(RST_STREAM, 0, 1, &[0; 3])]),
            Ends(&[FRAME_SIZE]),
        ),
        ("6.5 SETTINGS acknowledged with a payload", frame(SETTINGS, ACK, 0, &[0]), Ends(&[FRAME_SIZE])),
        ("6.5 SETTINGS of a stream", frame(SETTINGS, 0, 1, &[]), Ends(&[PROTOCOL])),
        ("6.5 SETTINGS of another size", frame(SETTINGS, 0, 0, &[0; 3]), Ends(&[FRAME_SIZE])),
        ("6.5.2 pushes neither on nor off", frame(SETTINGS, 0, 0, &setting(2, 2)), Ends(&[PROTOCOL])),
        (
            "6.5.2 a window beyond the largest",
            frame(SETTINGS, 0, 0, &setting(4, 1 << 31)),
            Ends(&[FLOW_CONTROL]),
        ),
        ("6.5.2 frames below the smallest", frame(SETTINGS, 0, 0, &setting(5, 16_383)), Ends(&[PROTOCOL])),
        ("6.5.2 frames beyond the largest", frame(SETTINGS, 0, 0, &setting(5, 1 << 24)), Ends(&[PROTOCOL])),
        (
            "6.5.2 a setting that nobody knows",
            then(&[frame(SETTINGS, 0, 0, &setting(0xff, 1)), whole(1)]),
            Answers,
        ),
    ]
}

fn from_push_promise_to_continuation() -> Vec<Case> {
    vec![
        (
            "6.6 PUSH_PROMISE by a client",
            then(&[
                asks(1, 0),
                frame(PUSH_PROMISE, END_HEADERS, 1, &[&u32s(3)[..], &get("/", &[])].concat()),
            ]),
            Ends(&[PROTOCOL]),
        ),
        ("6.7 PING acknowledged unasked", then(&[frame(PING, ACK, 0, &[0; 8]), whole(1)]), Answers),
        ("6.7 PING of a stream", frame(PING, 0, 1, &[0; 8]), Ends(&[PROTOCOL])),
        ("6.7 PING of another size", frame(PING, 0, 0, &[0; 7]), Ends(&[FRAME_SIZE])),
        ("6.8 GOAWAY of a stream", frame(GOAWAY, 0, 1, &[0; 8]), Ends(&[PROTOCOL])),
        ("6.9 WINDOW_UPDATE by nothing", frame(WINDOW_UPDATE, 0, 0, &u32s(0)), Ends(&[PROTOCOL])),
        (
            "6.9 WINDOW_UPDATE of a stream by nothing",
            then(&[asks(1, 0), frame(WINDOW_UPDATE, 0, 1, &u32s(0))]),
            Resets(&[PROTOCOL]),
        ),
        ("6.9 WINDOW_UPDATE of another size", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), Ends(&[FRAME_SIZE])),
        (
            "6.9.1 a window beyond the largest",
            frame(WINDOW_UPDATE, 0, 0, &u32s((1 << 31) - 1)).repeat(2),
            Ends(&[FLOW_CONTROL]),
        ),
        (
            "6.9.1 a stream's window beyond the largest",
            then(&[asks(1, 0), frame(WINDOW_UPDATE, 0, 1, &u32s((1 << 31) - 1)).repeat(2)]),
            Resets(&[FLOW_CONTROL]),
        ),
        (
            "6.10 CONTINUATION after a header's end",
            then(&[asks(1, 0), frame(CONTINUATION, END_HEADERS, 1, &[])]),
            Ends(&[PROTOCOL]),
        ),
        (
            "6.10 CONTINUATION of no stream",
            then(&[frame(HEADERS, 0, 1, &get("/health", &[])), frame(CONTINUATION, END_HEADERS, 0, &[])]),
            Ends(&[PROTOCOL]),
        ),
        (
            "6.10 a header in several parts",
            then(&[
                frame(HEADERS, END_STREAM, 1, &get("/health", &[])),
                frame(CONTINUATION, END_HEADERS, 1, &[]),
            ]),
            Answers,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_frame_follows_section_6() {
    try_all([from_data_to_settings(), from_push_promise_to_continuation()].concat()).await;
}
