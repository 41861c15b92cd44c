//! Paths that one server reads otherwise than another.

use super::play::{Ends, Trick};

macro_rules! path {
    ($name:literal, $path:literal, $ends:expr) => {
        Trick {
            name: $name,
            sent: concat!("GET ", $path, " HTTP/1.1\r\n{me}\r\n\r\n").as_bytes(),
            ends: $ends,
        }
    };
}

const REFUSED: Ends = Ends::Refused(400);
const PDF: Ends = Ends::Heard(&["GET /export/pdf"]);

pub const TRICKS: &[Trick] = &[
    path!("dots", "/files/../export/pdf", PDF),
    path!("encoded dots", "/files/%2e%2e/export/pdf", PDF),
    path!("half-encoded dots", "/files/.%2E/export/pdf", PDF),
    path!("dots above the root", "/../../export/pdf", PDF),
    path!("a dot", "/./export/./pdf", PDF),
    path!("repeated slashes", "//export///pdf", PDF),
    path!("a host for a path", "//api.test/..//export/pdf", PDF),
    path!("letters that are encoded", "/%65xport/%70df", PDF),
    path!("an encoded slash", "/files/..%2fexport%2fpdf", REFUSED),
    path!("an encoded backslash", "/files/..%5cexport%5cpdf", REFUSED),
    path!("a backslash", "/files/..\\export\\pdf", REFUSED),
    path!("an encoded NUL", "/export/pdf%00.png", REFUSED),
    path!("a fragment", "/files/x#/../../export/pdf", Ends::Heard(&["GET /files/x"])),
    path!("an encoded fragment", "/files/%23/../../export/pdf", PDF),
    path!("an encoded question mark", "/export/pdf%3f", REFUSED),
    path!(
        "dots in the query",
        "/export/pdf?/../../files/x",
        Ends::Heard(&["GET /export/pdf?/../../files/x"])
    ),
    path!(
        "dots that are encoded twice",
        "/files/%252e%252e/export/pdf",
        Ends::Heard(&["GET /files/%252e%252e/export/pdf"])
    ),
    path!("dots with parameters, for servlets", "/files/..;/export/pdf", REFUSED),
    path!("encoded dots with parameters", "/files/%2e%2e;x=y/export/pdf", REFUSED),
    path!("a dot with parameters", "/export/.;/pdf", REFUSED),
    path!("parameters in a route's name", "/export;/pdf", REFUSED),
    path!("parameters behind a route", "/export/pdf;x=y", REFUSED),
    path!("a parameter that is encoded", "/export/pdf%3bx", REFUSED),
    path!(
        "parameters where a route has a name of its own",
        "/signals/history/a;v=1",
        Ends::Heard(&["GET /signals/history/a;v=1"])
    ),
    path!("a broken escape", "/export/pdf%", REFUSED),
    path!("an escape of other digits", "/export/%u0070df", REFUSED),
    path!("an escape with a sign", "/export/%+70df", REFUSED),
    path!("another case", "/Export/PDF", Ends::Heard(&["GET /Export/PDF"])),
    path!("a dot at the end", "/export/pdf.", Ends::Heard(&["GET /export/pdf."])),
    path!("a slash at the end", "/export/pdf/", Ends::Heard(&["GET /export/pdf/"])),
    path!("a space that is encoded", "/export/pdf%20", Ends::Heard(&["GET /export/pdf%20"])),
    path!(
        "wide dots",
        "/files/\u{ff0e}\u{ff0e}/export/pdf",
        Ends::Heard(&["GET /files/%EF%BC%8E%EF%BC%8E/export/pdf"])
    ),
    path!("a wide slash", "/files/..\u{2215}export", Ends::Heard(&["GET /files/..%E2%88%95export"])),
    Trick {
        name: "a dot that is overlong UTF-8",
        sent: b"GET /files/%c0%ae%c0%ae/export/pdf HTTP/1.1\r\n{me}\r\n\r\n",
        ends: Ends::Heard(&["GET /files/%C0%AE%C0%AE/export/pdf"]),
    },
    Trick {
        name: "bytes that are no UTF-8",
        sent: b"GET /files/\xc0\xaf\xff HTTP/1.1\r\n{me}\r\n\r\n",
        ends: REFUSED,
    },
    Trick {
        name: "a free path that is asked for by another method",
        sent: b"OPTIONS /export/pdf HTTP/1.1\r\n{me}\r\n\r\n",
        ends: Ends::Refused(405),
    },
];
