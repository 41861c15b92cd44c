//! What a server must do with each frame that should not have come: RFC 9113 and RFC 7541, section by section.
//!
//! An error of the connection is told by GOAWAY, or ends it; an error of a stream by RST_STREAM, or by what ends the
//! connection. A code that is told is the one that the RFC names, or PROTOCOL_ERROR, which stands for any.

use super::Multiplexed;
use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PADDED, PING, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY, fields, frame, get,
};

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;

/// What must come of it.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The connection ends.
    Ends(&'static [u32]),
    /// The request, or the connection, ends.
    Resets(&'static [u32]),
    /// All is well: a request is answered.
    Answers,
}

use Then::{Answers, Ends, Resets};

/// What was told.
#[derive(Debug, PartialEq)]
enum Told {
    GoAway(u32),
    Reset(u32),
    Closed,
    Answered,
    Alive,
}

/// What comes first of all that ends something; a PING behind what is sent tells that nothing does.
async fn told(attack: &mut Frames) -> Told {
    const LAST: [u8; 8] = *b"the last";
    let _ = attack.send(&frame(PING, 0, 0, &LAST)).await;
    let mut answered = false;
    loop {
        match attack.next().await {
            None => return Told::Closed,
            Some(frame) if frame.kind == GOAWAY => return Told::GoAway(frame.code()),
            Some(frame) if frame.kind == RST_STREAM => return Told::Reset(frame.code()),
            Some(frame) if frame.kind == HEADERS && frame.flags & END_HEADERS != 0 => answered = true,
            Some(frame) if frame.kind == PING && frame.flags & ACK != 0 && frame.payload == LAST => {
                if !answered {
                    // An answer may be on its way.
                    return wait_for_answer(attack).await;
                }
            }
            Some(_) => {}
        }
        if answered {
            return Told::Answered;
        }
    }
}

async fn wait_for_answer(attack: &mut Frames) -> Told {
    let wait = async {
        loop {
            match attack.next().await {
                None => return Told::Closed,
                Some(frame) if frame.kind == GOAWAY => return Told::GoAway(frame.code()),
                Some(frame) if frame.kind == RST_STREAM => return Told::Reset(frame.code()),
                Some(frame) if frame.kind == HEADERS => return Told::Answered,
                Some(_) => {}
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(1), wait).await.unwrap_or(Told::Alive)
}

type Case = (&'static str, Vec<u8>, Then);

async fn try_all(cases: Vec<Case>) {
    let many = Multiplexed::start("").await;
    let mut wrong = Vec::new();
    let number = cases.len();
    for (what, bytes, then) in cases {
        let mut attack = Frames::over(many.tcp().await).await;
        let _ = attack.send(&bytes).await;
        let told = told(&mut attack).await;
        let right = match (&told, then) {
            (Told::Answered, Answers) | (Told::Closed, Ends(_) | Resets(_)) => true,
            (Told::GoAway(code), Ends(codes) | Resets(codes)) | (Told::Reset(code), Resets(codes)) => {
                codes.contains(code) || *code == PROTOCOL
            }
            _ => false,
        };
        if !right {
            wrong.push(format!("{what}: {told:?} instead of {then:?}"));
        }
    }
    eprintln!("{number} cases, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    many.world.finish().await;
}

/// A request of a stream; `flags` beside the end of its header.
fn asks(stream: u32, flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &get("/health", &[]))
}

fn whole(stream: u32) -> Vec<u8> {
    asks(stream, END_STREAM)
}

fn then(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.concat()
}

fn u32s(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// A setting's id and value.
fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_and_streams_follow_sections_4_and_5() {
    let pad = |bytes: usize| vec![0; bytes];
    try_all(vec![
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
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_frame_follows_section_6() {
    let padded = |kind: u8, pad: u8| {
        frame(kind, PADDED | END_HEADERS | END_STREAM, 1, &[&[pad], &get("/health", &[])[..]].concat())
    };
    try_all(vec![
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
    ])
    .await;
}

/// A whole request of these fields.
fn of(header: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(header))
}

const USUAL: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "api.test"), (":path", "/health")];

fn with(more: &[(&str, &str)]) -> Vec<u8> {
    of(&[&USUAL, more].concat())
}

fn without(name: &str) -> Vec<u8> {
    let rest: Vec<_> = USUAL.into_iter().filter(|(other, _)| *other != name).collect();
    of(&rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_malformed_never_reach_the_api() {
    let many = Multiplexed::start("").await;
    let cases = vec![
        ("8.2.1 a name in upper case", with(&[("X-A", "b")])),
        ("8.2.1 a name with a space", with(&[("x a", "b")])),
        ("8.2.1 a value with a line's end", with(&[("x-a", "b\r\nhost: c")])),
        ("8.2.1 a value with a NUL", with(&[("x-a", "b\0c")])),
        ("8.2.2 connection", with(&[("connection", "keep-alive")])),
        ("8.2.2 transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("8.2.2 keep-alive", with(&[("keep-alive", "timeout=5")])),
        ("8.2.2 proxy-connection", with(&[("proxy-connection", "close")])),
        ("8.2.2 upgrade", with(&[("upgrade", "h2c")])),
        ("8.2.2 te but trailers", with(&[("te", "gzip")])),
        ("8.3 a pseudo-header that nobody knows", with(&[(":test", "a")])),
        ("8.3 a pseudo-header of answers", with(&[(":status", "200")])),
        ("8.3 a pseudo-header behind a header", of(&[&[("x-a", "b")], &USUAL[..]].concat())),
        ("8.3.1 no method", without(":method")),
        ("8.3.1 no scheme", without(":scheme")),
        ("8.3.1 no path", without(":path")),
        ("8.3.1 two methods", with(&[(":method", "POST")])),
        ("8.3.1 two paths", with(&[(":path", "/signals")])),
        ("8.3.1 an empty path", of(&[USUAL[0], USUAL[1], USUAL[2], (":path", "")])),
        ("8.3.1 a path with a space", of(&[USUAL[0], USUAL[1], USUAL[2], (":path", "/health x")])),
        ("8.3.1 a path with a line's end", of(&[USUAL[0], USUAL[1], USUAL[2], (":path", "/health\r\nx: y")])),
        ("8.3.1 an authority with a user", of(&[USUAL[0], USUAL[1], (":authority", "a@b"), USUAL[3]])),
        ("8.3.1 another host", with(&[("host", "other.test")])),
        ("8.3.1 no authority at all", without(":authority")),
        ("7541 6.1 the index nought", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80])),
        ("7541 2.3.3 an index of nothing", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0xff, 0x7f])),
        (
            "7541 5.2 a Huffman code that is none",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0, 0x81, 0xff, 1, b'a']),
        ),
        (
            "7541 6.3 a table beyond what is allowed",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x3f, 0xe2, 0xff, 0x7f]),
        ),
    ];
    let number = cases.len();
    let mut wrong = Vec::new();
    for (what, bytes) in cases {
        let mut attack = Frames::over(many.tcp().await).await;
        let _ = attack.send(&bytes).await;
        let told = told(&mut attack).await;
        // An answer can only be a refusal: the API hears of none.
        if many.world.upstream.hits("/health") > 0 || told == Told::Alive {
            wrong.push(format!("{what}: {told:?}"));
        }
    }
    eprintln!("{number} cases, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (what, bytes) in
        [("te: trailers", with(&[("te", "trailers")])), ("the same host", with(&[("host", "api.test")]))]
    {
        let mut good = Frames::over(many.tcp().await).await;
        assert!(good.send(&bytes).await);
        assert_eq!(told(&mut good).await, Told::Answered, "{what}");
    }
    many.world.finish().await;
}

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

/// What is wrong comes after the header, which may have been forwarded by then.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_end_otherwise_than_they_began_are_reset() {
    let body = |length: &str, sent: &[u8]| {
        let header = get("/health", &[("content-length", length)]);
        then(&[frame(HEADERS, END_HEADERS, 1, &header), frame(DATA, END_STREAM, 1, sent)])
    };
    let second = frame(HEADERS, END_HEADERS, 1, &fields(&[("x-a", "b")]));
    let trailer = frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&[("x-a", "b")]));
    try_all(vec![
        ("8.1 a second header that ends nothing", then(&[asks(1, 0), second]), Resets(&[])),
        ("8.1 a trailer", then(&[asks(1, 0), frame(DATA, 0, 1, b"x"), trailer]), Answers),
        ("8.1.1 less than was announced", body("5", b"abc"), Resets(&[])),
        ("8.1.1 more than was announced", body("2", b"abc"), Resets(&[])),
        ("8.1.1 what was announced", body("3", b"abc"), Answers),
    ])
    .await;
}
