//! Chunks: sizes, extensions, line ends and trailers that two servers read differently.

use super::play::{Ends, Trick};

/// A request in chunks.
macro_rules! chunked {
    ($name:literal, $body:literal, $ends:expr) => {
        Trick {
            name: $name,
            sent: concat!("POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding: chunked\r\n\r\n", $body)
                .as_bytes(),
            ends: $ends,
        }
    };
}

const REFUSED: Ends = Ends::Refused(400);
const ONE: Ends = Ends::Heard(&["POST /signals"]);

pub const TRICKS: &[Trick] = &[
    chunked!("a size beyond all numbers", "10000000000000002\r\n{}\r\n0\r\n\r\n", REFUSED),
    chunked!("a size that is negative in 64 bits", "ffffffffffffffff\r\n{}\r\n0\r\n\r\n", REFUSED),
    chunked!("a negative size", "-2\r\n{}\r\n0\r\n\r\n", REFUSED),
    chunked!("a size with 0x", "0x2\r\n{}\r\n0\r\n\r\n", REFUSED),
    chunked!("a size with a plus", "+2\r\n{}\r\n0\r\n\r\n", REFUSED),
    chunked!("no size at all", "\r\n{}\r\n0\r\n\r\n", ONE),
    chunked!("a size that is no number", "zz\r\n{}\r\n0\r\n\r\n", REFUSED),
    chunked!("a size with leading zeros", "000002\r\n{}\r\n0\r\n\r\n", ONE),
    chunked!("an extension", "2;name=value\r\n{}\r\n0\r\n\r\n", ONE),
    chunked!("an extension in quotes", "2;a=\"b\"\r\n{}\r\n0\r\n\r\n", ONE),
    chunked!(
        "TERM.EXT: an extension that ends in LF alone hides a request",
        "2;\nxx\r\n2d\r\n{}\r\n0\r\n\r\nGET /export/pdf HTTP/1.1\r\nhost: a\r\n\r\n0\r\n\r\n",
        REFUSED
    ),
    chunked!("a size that ends in LF alone", "2\n{}\r\n0\r\n\r\n", REFUSED),
    chunked!("a size that ends in CR alone", "2\r{}\r\n0\r\n\r\n", REFUSED),
    chunked!("a space behind the size", "2 \r\n{}\r\n0\r\n\r\n", ONE),
    chunked!("a space before the size", " 2\r\n{}\r\n0\r\n\r\n", REFUSED),
    chunked!(
        "SPILL: more than the size says",
        "2\r\n{}GET /export/pdf HTTP/1.1\r\nhost: a\r\n\r\n0\r\n\r\n",
        REFUSED
    ),
    chunked!("a chunk that ends in LF alone", "2\r\n{}\n0\r\n\r\n", REFUSED),
    chunked!("two zeros of size", "00\r\n\r\n", ONE),
    chunked!("a trailer", "2\r\n{}\r\n0\r\nx-trailer: a\r\n\r\n", ONE),
    chunked!(
        "trailers that name a length, a customer and a token",
        "2\r\n{}\r\n0\r\ncontent-length: 44\r\nx-tollgate-customer: evil\r\nauthorization: evil\r\n\r\n",
        ONE
    ),
    chunked!(
        "a request in the place of trailers",
        "0\r\nGET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n\r\n",
        ONE
    ),
    chunked!("a request behind the last chunk", "0\r\n\r\nGET /export/pdf HTTP/1.1\r\n{me}\r\n\r\n", ONE),
];
