//! Headers that say who calls, what is meant, or which headers are to be dropped.

use super::play::{Ends, Trick};

macro_rules! headers {
    ($name:literal, $headers:literal, $ends:expr) => {
        Trick {
            name: $name,
            sent: concat!("GET /signals HTTP/1.1\r\n{me}\r\n", $headers, "\r\n\r\n").as_bytes(),
            ends: $ends,
        }
    };
}

const ONE: Ends = Ends::Heard(&["GET /signals"]);

pub const TRICKS: &[Trick] = &[
    headers!("our names", "x-tollgate-customer: evil\r\nX-Tollgate-Tier: evil\r\nx-request-id: evil", ONE),
    headers!(
        "our names with underscores",
        "x_tollgate_customer: evil\r\nX_TOLLGATE-TIER: evil\r\nx_request_id: evil",
        ONE
    ),
    headers!(
        "our names that are dropped at the next hop",
        "connection: x-tollgate-customer, x-request-id, x-tollgate-tier",
        ONE
    ),
    headers!(
        "the same beside keep-alive",
        "connection: keep-alive, x-tollgate-customer\r\nkeep-alive: timeout=5",
        ONE
    ),
    headers!("a token that is dropped", "connection: authorization", ONE),
    headers!("a host that is dropped", "connection: host", Ends::Refused(400)),
    headers!("forwarding that is dropped", "connection: x-forwarded-for, x-forwarded-proto", Ends::Refused(400)),
    headers!(
        "other methods",
        "x-http-method-override: evil\r\nx-method-override: evil\r\nx-http-method: evil\r\nx_http_method: evil",
        ONE
    ),
    headers!(
        "other paths",
        "x-original-url: evil\r\nx-rewrite-url: evil\r\nx-original-uri: evil\r\nx_original_url: evil",
        ONE
    ),
    headers!(
        "where it came from",
        "x-forwarded-for: evil\r\nx-forwarded-host: evil\r\nx-forwarded-proto: evil\r\nforwarded: for=evil",
        ONE
    ),
    headers!(
        "where it came from, in names of others",
        "x-real-ip: evil\r\nx-client-ip: evil\r\ntrue-client-ip: evil\r\ncf-connecting-ip: evil\r\nx_real_ip: evil",
        ONE
    ),
    headers!(
        "what it was before",
        "x-forwarded-port: evil\r\nx-forwarded-prefix: evil\r\nx-forwarded-server: evil",
        ONE
    ),
    headers!("two tokens", "authorization: Bearer evil", Ends::Refused(400)),
    headers!("a proxy's token", "proxy-authorization: Basic evil", ONE),
    headers!("codings of the next hop", "te: trailers, chunked\r\ntrailer: x-tollgate-customer", ONE),
    Trick {
        name: "a length that is dropped at the next hop",
        sent: b"POST /signals HTTP/1.1\r\n{me}\r\nconnection: content-length\r\ncontent-length: 44\r\n\r\n\
                GET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n",
        ends: Ends::Heard(&["POST /signals"]),
    },
    Trick {
        name: "chunks that are dropped at the next hop",
        sent: b"POST /signals HTTP/1.1\r\n{me}\r\nconnection: transfer-encoding\r\ntransfer-encoding: chunked\r\n\r\n\
                2c\r\nGET /export/pdf HTTP/1.1\r\nhost: api.test\r\n\r\n\r\n0\r\n\r\n",
        ends: Ends::Heard(&["POST /signals"]),
    },
    Trick {
        name: "_method in the query passes: routes that differ by method are not told apart by it",
        sent: b"POST /signals?_method=DELETE HTTP/1.1\r\n{me}\r\ncontent-length: 0\r\n\r\n",
        ends: Ends::Heard(&["POST /signals?_method=DELETE"]),
    },
    Trick {
        name: "a preflight that is none",
        sent: b"GET /export/pdf HTTP/1.1\r\nhost: api.test\r\norigin: https://a.test\r\n\
                access-control-request-method: GET\r\n\r\n",
        ends: Ends::Refused(401),
    },
    Trick {
        name: "a preflight with a body that is a request",
        sent: b"OPTIONS /export/pdf HTTP/1.1\r\nhost: api.test\r\norigin: https://a.test\r\n\
                access-control-request-method: GET\r\ncontent-length: 44\r\n\r\n\
                GET /export/csv HTTP/1.1\r\nhost: api.test\r\n\r\n",
        ends: Ends::Heard(&["OPTIONS /export/pdf"]),
    },
];
