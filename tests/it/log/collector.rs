//! A collector of traces, as far as it matters: it reads what it is sent by the field numbers of OpenTelemetry's
//! public `trace.proto`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;

use crate::harness::{PATIENCE, until};

/// One span.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub kind: u64,
    pub start: u64,
    pub end: u64,
    pub attributes: BTreeMap<String, String>,
    pub failed: bool,
}

#[derive(Default)]
struct Heard {
    spans: Mutex<Vec<Span>>,
    headers: Mutex<Vec<HeaderMap>>,
}

pub struct Collector {
    pub url: String,
    heard: Arc<Heard>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound port"));
        let heard = Arc::<Heard>::default();
        let router = Router::new().route("/v1/traces", post(hear)).with_state(heard.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { url, heard }
    }

    /// Waits until so many spans have come; fails where there are more.
    pub async fn spans(&self, number: usize) -> Vec<Span> {
        let spans = until(&format!("{number} spans"), PATIENCE, async || {
            Some(self.heard.spans.lock().expect("no test has failed").clone())
                .filter(|spans| spans.len() >= number)
        })
        .await;
        assert_eq!(spans.len(), number, "{spans:#?}");
        spans
    }

    /// The headers of each delivery.
    pub fn headers(&self) -> Vec<HeaderMap> {
        self.heard.headers.lock().expect("no test has failed").clone()
    }
}

async fn hear(State(heard): State<Arc<Heard>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut spans = Vec::new();
    for resource in messages(&body, 1) {
        for scope in messages(resource, 2) {
            spans.extend(messages(scope, 2).map(span));
        }
    }
    heard.spans.lock().expect("no test has failed").extend(spans);
    heard.headers.lock().expect("no test has failed").push(headers);
    StatusCode::OK
}

fn span(bytes: &[u8]) -> Span {
    let text = |number| messages(bytes, number).next().map(|text| String::from_utf8_lossy(text).into_owned());
    let hex = |number| {
        let bytes = messages(bytes, number).next().unwrap_or_default();
        bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|half| char::from_digit(half.into(), 16))
            .collect()
    };
    Span {
        trace: hex(1),
        id: hex(2),
        parent: hex(4),
        name: text(5).expect("a name"),
        kind: number(bytes, 6),
        start: number(bytes, 7),
        end: number(bytes, 8),
        attributes: messages(bytes, 9).map(attribute).collect(),
        failed: messages(bytes, 15).any(|status| number(status, 3) == 2),
    }
}

fn attribute(bytes: &[u8]) -> (String, String) {
    let key = messages(bytes, 1).next().expect("a key");
    let value = messages(bytes, 2).next().expect("a value");
    let text = messages(value, 1).next().map(|text| String::from_utf8_lossy(text).into_owned());
    let value = text.unwrap_or_else(|| number(value, 3).to_string());
    (String::from_utf8_lossy(key).into_owned(), value)
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn messages(bytes: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    fields(bytes).into_iter().filter_map(move |(number, field)| match field {
        Field::Bytes(bytes) if number == wanted => Some(bytes),
        _ => None,
    })
}

fn number(bytes: &[u8], wanted: u64) -> u64 {
    let found = fields(bytes).into_iter().find_map(|(number, field)| match field {
        Field::Number(value) if number == wanted => Some(value),
        _ => None,
    });
    found.unwrap_or(0)
}

/// Protocol buffers: each field has a number and one of four forms.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(taken(&mut bytes, 8).try_into().expect("8 bytes"))),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).expect("a length");
                Field::Bytes(taken(&mut bytes, length))
            }
            5 => Field::Number(u32::from_le_bytes(taken(&mut bytes, 4).try_into().expect("4 bytes")).into()),
            form => panic!("no form: {form}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = taken(bytes, 1)[0];
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            break;
        }
    }
    value
}

fn taken<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}
