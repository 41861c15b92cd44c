//! Section 8 and RFC 7541: requests that are malformed.

use super::*;

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
