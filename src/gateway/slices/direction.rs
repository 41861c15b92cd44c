//! One direction of a WebSocket whose bytes or messages are priced.

use std::io;

use crate::domain::measure::Frames;

use super::super::measuring::Passed;
use super::{Cut, Slices};

/// Which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// What passes, before and after it has.
pub(in crate::gateway) struct Direction<'a> {
    slices: &'a Slices,
    way: Way,
    frames: Frames,
    /// Messages are priced: what is none must not pass.
    by_message: bool,
    /// A piece is being written.
    is_passing: bool,
}

/// Why a piece must not pass.
#[derive(Debug)]
pub(in crate::gateway) enum Stopped {
    ByLimit,
    NoFrame(io::Error),
}

impl Slices {
    /// What its client sends.
    pub fn up(&self) -> Direction<'_> {
        self.direction(Way::Up)
    }

    /// What its client gets.
    pub fn down(&self) -> Direction<'_> {
        self.direction(Way::Down)
    }

    fn direction(&self, way: Way) -> Direction<'_> {
        let by_message = self.lock().measuring.counts_messages();
        Direction { slices: self, way, frames: Frames::default(), by_message, is_passing: false }
    }
}

impl Direction<'_> {
    /// Charges what is about to pass.
    pub async fn begin(&mut self, piece: &[u8]) -> Result<(), Stopped> {
        let mut frames = self.frames.clone();
        let read = frames.read(piece);
        if let (true, Err(error)) = (self.by_message, read) {
            return Err(Stopped::NoFrame(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        let bytes = match self.way {
            Way::Up => Passed::up(piece.len()),
            Way::Down => Passed::down(piece.len()),
        };
        let messages = frames.messages() - self.frames.messages();
        self.slices.pass(bytes.with_messages(messages), |_| {}).map_err(|Cut| Stopped::ByLimit)?;
        self.slices.granted().await;
        self.frames = frames;
        self.is_passing = true;
        Ok(())
    }

    /// It has passed.
    pub fn end(&mut self) {
        self.is_passing = false;
    }

    /// Whether a frame of ours may be put in here.
    pub fn is_between(&self) -> bool {
        !self.is_passing && self.frames.is_between()
    }
}
