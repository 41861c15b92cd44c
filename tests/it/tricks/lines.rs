//! Request lines, versions, hosts and the ends of lines.

use super::play::{Ends, Trick};

macro_rules! trick {
    ($name:literal, $sent:literal, $ends:expr) => {
        Trick { name: $name, sent: $sent, ends: $ends }
    };
}

const REFUSED: Ends = Ends::Refused(400);
const ONE: Ends = Ends::Heard(&["GET /signals"]);

pub const TRICKS: &[Trick] = &[
    trick!("lines that end in LF alone", b"GET /signals HTTP/1.1\n{me}\n\n", ONE),
    trick!(
        "a CR in a value",
        b"GET /signals HTTP/1.1\r\n{me}\r\nx-a: b\rx-tollgate-customer: evil\r\n\r\n",
        REFUSED
    ),
    trick!("a CR in a name", b"GET /signals HTTP/1.1\r\n{me}\r\nx-a\r: b\r\n\r\n", REFUSED),
    trick!(
        "an LF in the middle of a value",
        b"GET /signals HTTP/1.1\r\n{me}\r\nx-a: b\nx-tollgate-customer: evil\r\n\r\n",
        ONE
    ),
    trick!("a NUL in a value", b"GET /signals HTTP/1.1\r\n{me}\r\nx-a: b\0c\r\n\r\n", REFUSED),
    trick!("a NUL in a name", b"GET /signals HTTP/1.1\r\n{me}\r\nx\0a: b\r\n\r\n", REFUSED),
    trick!("a NUL in the path", b"GET /signals\0/export/pdf HTTP/1.1\r\n{me}\r\n\r\n", REFUSED),
    trick!(
        "a folded line",
        b"GET /signals HTTP/1.1\r\n{me}\r\nx-a: b\r\n x-tollgate-customer: evil\r\n\r\n",
        REFUSED
    ),
    trick!(
        "a first header that begins with a space",
        b"GET /signals HTTP/1.1\r\n x-a: b\r\n{me}\r\n\r\n",
        REFUSED
    ),
    trick!("a space before a colon", b"GET /signals HTTP/1.1\r\n{me}\r\nx-a : b\r\n\r\n", REFUSED),
    trick!("a tab before a colon", b"GET /signals HTTP/1.1\r\n{me}\r\nx-a\t: b\r\n\r\n", REFUSED),
    trick!("a header without a name", b"GET /signals HTTP/1.1\r\n{me}\r\n: b\r\n\r\n", REFUSED),
    trick!("a header without a colon", b"GET /signals HTTP/1.1\r\n{me}\r\nx-a\r\n\r\n", REFUSED),
    trick!(
        "a second request line among the headers",
        b"GET /signals HTTP/1.1\r\n{me}\r\nGET /export/pdf HTTP/1.1\r\n\r\n",
        REFUSED
    ),
    trick!("no host", b"GET /signals HTTP/1.1\r\n{token}\r\n\r\n", REFUSED),
    trick!("two hosts", b"GET /signals HTTP/1.1\r\n{me}\r\nhost: evil.test\r\n\r\n", REFUSED),
    trick!(
        "another host in an absolute target",
        b"GET http://evil.test/signals HTTP/1.1\r\n{me}\r\n\r\n",
        REFUSED
    ),
    trick!(
        "a user in an absolute target",
        b"GET http://api.test@evil.test/signals HTTP/1.1\r\n{me}\r\n\r\n",
        REFUSED
    ),
    trick!(
        "an absolute target by https",
        b"GET https://api.test/export/pdf HTTP/1.1\r\n{me}\r\n\r\n",
        Ends::Heard(&["GET /export/pdf"])
    ),
    trick!(
        "an absolute target by another scheme",
        b"GET ftp://api.test/export/pdf HTTP/1.1\r\n{me}\r\n\r\n",
        REFUSED
    ),
    trick!("an authority for a target", b"GET api.test:80 HTTP/1.1\r\n{me}\r\n\r\n", REFUSED),
    trick!("a star for a target", b"OPTIONS * HTTP/1.1\r\n{me}\r\n\r\n", REFUSED),
    trick!("a target without a slash", b"GET signals HTTP/1.1\r\n{me}\r\n\r\n", REFUSED),
    trick!("CONNECT", b"CONNECT api.test:80 HTTP/1.1\r\n{me}\r\n\r\n", Ends::Refused(405)),
    trick!(
        "a space in the path",
        b"GET /signals /export/pdf HTTP/1.1\r\n{me}\r\n\r\n",
        Ends::Heard(&["GET /signals%20/export/pdf"])
    ),
    trick!("a tab for a space", b"GET\t/signals\tHTTP/1.1\r\n{me}\r\n\r\n", REFUSED),
    trick!("a version inside the path", b"GET /signals HTTP/1.1 HTTP/1.1\r\n{me}\r\n\r\n", REFUSED),
    trick!("HTTP/0.9", b"GET /signals\r\n{me}\r\n\r\n", REFUSED),
    trick!("HTTP/1.0 with a host", b"GET /signals HTTP/1.0\r\n{me}\r\nconnection: keep-alive\r\n\r\n", ONE),
    trick!("HTTP/1.2", b"GET /signals HTTP/1.2\r\n{me}\r\n\r\n", REFUSED),
    trick!("HTTP/2 in plain text", b"GET /signals HTTP/2.0\r\n{me}\r\n\r\n", REFUSED),
    trick!("http in lower case", b"GET /signals http/1.1\r\n{me}\r\n\r\n", REFUSED),
    trick!("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSED),
    trick!("a method in lower case", b"get /signals HTTP/1.1\r\n{me}\r\n\r\n", Ends::Refused(405)),
    trick!("a method of signs", b"G<ET /signals HTTP/1.1\r\n{me}\r\n\r\n", REFUSED),
    trick!(
        "an upgrade to h2c",
        b"GET /signals HTTP/1.1\r\n{me}\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
          http2-settings: AAMAAABkAAQAAP__\r\n\r\n",
        ONE
    ),
    trick!(
        "an upgrade with a body",
        b"GET /signals HTTP/1.1\r\n{me}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
          content-length: 2\r\n\r\n{}",
        ONE
    ),
];
