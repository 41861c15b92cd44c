//! Where a body ends: two lengths, a length beside chunks, and spellings that one of two servers overlooks.

use super::play::{Ends, Trick};

const fn trick(name: &'static str, sent: &'static [u8], ends: Ends) -> Trick {
    Trick { name, sent, ends }
}

/// What is behind a body that one reader takes for shorter than the other.
const REFUSED: Ends = Ends::Refused(400);
const ONE: Ends = Ends::Heard(&["POST /signals"]);

pub const TRICKS: &[Trick] = &[
    trick(
        "CL.TE: the length holds a second request, the chunks end before it",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent-length: 49\r\ntransfer-encoding: chunked\r\n\r\n\
          0\r\n\r\nGET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n",
        ONE,
    ),
    trick(
        "TE.CL: a chunk holds a second request, the length ends before it",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n\
          2c\r\nGET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n\r\n0\r\n\r\n",
        ONE,
    ),
    trick(
        "TE.TE: a second coding that nobody knows",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n\
          0\r\n\r\nGET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n",
        REFUSED,
    ),
    trick(
        "xchunked",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        REFUSED,
    ),
    trick(
        "chunked, identity",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        REFUSED,
    ),
    trick(
        "identity, chunked",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        ONE,
    ),
    trick(
        "gzip, chunked",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ONE,
    ),
    trick(
        "chunked twice",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        ONE,
    ),
    trick(
        "chunked in two headers",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ONE,
    ),
    trick(
        "a tab before chunked",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding:\tchunked\r\n\r\n0\r\n\r\n",
        ONE,
    ),
    trick(
        "a vertical tab before chunked",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding: \x0bchunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        REFUSED,
    ),
    trick(
        "chunked in quotes",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding: \"chunked\"\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        REFUSED,
    ),
    trick(
        "chunked with a comma before it",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding: , chunked\r\n\r\n0\r\n\r\n",
        ONE,
    ),
    trick(
        "chunked on a folded line",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding:\r\n chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        REFUSED,
    ),
    trick(
        "a space before the colon of Transfer-Encoding",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding : chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        REFUSED,
    ),
    trick(
        "Transfer_Encoding",
        b"POST /signals HTTP/1.1\r\n{me}\r\ntransfer_encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        ONE,
    ),
    trick(
        "Content_Length beside a length",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent_length: 0\r\ncontent-length: 43\r\n\r\n\
          GET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n\n",
        ONE,
    ),
    trick(
        "two lengths that differ",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent-length: 0\r\ncontent-length: 44\r\n\r\n\
          GET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n",
        REFUSED,
    ),
    trick(
        "two lengths that are the same",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}",
        REFUSED,
    ),
    trick(
        "a list of the same length",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent-length: 2, 2\r\n\r\n{}",
        REFUSED,
    ),
    trick(
        "a list of two lengths",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent-length: 0, 2\r\n\r\n{}",
        REFUSED,
    ),
    trick(
        "a length with a plus",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent-length: +2\r\n\r\n{}",
        REFUSED,
    ),
    trick(
        "a negative length",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent-length: -2\r\n\r\n{}",
        REFUSED,
    ),
    trick(
        "a hexadecimal length",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent-length: 0x2\r\n\r\n{}",
        REFUSED,
    ),
    trick(
        "a length with a space in it",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent-length: 0 2\r\n\r\n{}",
        REFUSED,
    ),
    trick(
        "a length beyond all numbers",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent-length: 18446744073709551618\r\n\r\n{}",
        REFUSED,
    ),
    trick(
        "an empty length",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent-length:\r\n\r\n{}",
        REFUSED,
    ),
    trick(
        "a length with leading zeros",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent-length: 0002\r\n\r\n{}",
        ONE,
    ),
    trick(
        "chunks by HTTP/1.0",
        b"POST /signals HTTP/1.0\r\n{me}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n\
          GET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n",
        REFUSED,
    ),
    trick(
        "a GET whose body is a request",
        b"GET /signals HTTP/1.1\r\n{me}\r\ncontent-length: 44\r\n\r\n\
          GET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n",
        Ends::Heard(&["GET /signals"]),
    ),
    trick(
        "a HEAD whose body is a request",
        b"HEAD /signals HTTP/1.1\r\n{me}\r\ntransfer-encoding: chunked\r\n\r\n\
          2c\r\nGET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n\r\n0\r\n\r\n",
        Ends::Heard(&["HEAD /signals"]),
    ),
    trick(
        "a body that is too large, and a request behind its beginning",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent-length: 70000\r\n\r\n\
          GET /export/pdf HTTP/1.1\r\n{me}\r\n\r\n",
        Ends::Refused(413),
    ),
    trick(
        "a request behind a body whose token is refused",
        b"POST /signals HTTP/1.1\r\nhost: api.test\r\ncontent-length: 2\r\n\r\n{}\
          GET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n",
        Ends::Refused(401),
    ),
    trick(
        "a request in the body of one that is refused",
        b"POST /signals HTTP/1.1\r\nhost: api.test\r\ncontent-length: 44\r\n\r\n\
          GET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n",
        Ends::Refused(401),
    ),
    trick(
        "an expectation, and a body at once that is a request",
        b"POST /signals HTTP/1.1\r\nhost: api.test\r\nexpect: 100-continue\r\ncontent-length: 44\r\n\r\n\
          GET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n",
        Ends::Refused(401),
    ),
    trick(
        "a second request behind the first",
        b"GET /signals HTTP/1.1\r\n{me}\r\n\r\nGET /export/pdf HTTP/1.1\r\n{me}\r\n\r\n",
        Ends::Heard(&["GET /signals"]),
    ),
    trick(
        "a second request behind a body",
        b"POST /signals HTTP/1.1\r\n{me}\r\ncontent-length: 2\r\n\r\n{}GET /export/pdf HTTP/1.1\r\n{me}\r\n\r\n",
        ONE,
    ),
];
