//! What a server must do with each frame that should not have come: RFC 9113 and RFC 7541, section by section.
//!
//! An error of the connection is told by GOAWAY, or ends it; an error of a stream by `RST_STREAM`, or by what ends the
//! connection. A code that is told is the one that the RFC names, or `PROTOCOL_ERROR`, which stands for any.

mod connections;
mod kinds;
mod requests;

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
