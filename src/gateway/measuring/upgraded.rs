//! What passes after a switch of protocols: bytes, and messages where they are priced.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::measure::{Frames, Measure, Measured, Seen};

/// Both directions together; each is counted by whoever passes it on.
#[derive(Debug)]
pub(in crate::gateway) struct Upgraded {
    sent: AtomicU64,
    delivered: AtomicU64,
    messages: AtomicU64,
    by_message: bool,
}

/// Which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Way {
    Up,
    Down,
}

/// One direction.
#[derive(Debug)]
pub(in crate::gateway) struct Direction<'a> {
    all: &'a Upgraded,
    way: Way,
    /// Where messages are priced.
    frames: Option<Frames>,
}

impl Upgraded {
    pub fn new(measures: &[Measured]) -> Self {
        let by_message = measures.iter().any(|measured| matches!(measured.by, Measure::Messages(_)));
        Self { sent: 0.into(), delivered: 0.into(), messages: 0.into(), by_message }
    }

    pub fn direction(&self, way: Way) -> Direction<'_> {
        Direction { all: self, way, frames: self.by_message.then(Frames::default) }
    }

    pub fn add_to(&self, seen: &mut Seen) {
        seen.request_bytes += self.sent.load(Ordering::Relaxed);
        seen.response_bytes += self.delivered.load(Ordering::Relaxed);
        seen.messages += self.messages.load(Ordering::Relaxed);
    }
}

impl Direction<'_> {
    /// Looks at what is about to pass. An error where messages are priced and nobody can tell what is one: it must not.
    pub fn look(&mut self, piece: &[u8]) -> io::Result<()> {
        let Some(frames) = &mut self.frames else { return Ok(()) };
        let before = frames.messages();
        frames.read(piece).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.all.messages.fetch_add(frames.messages() - before, Ordering::Relaxed);
        Ok(())
    }

    /// So many bytes have passed.
    pub fn passed(&self, bytes: usize) {
        let count = match self.way {
            Way::Up => &self.all.sent,
            Way::Down => &self.all.delivered,
        };
        count.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::domain::measure::Missing;
    use crate::domain::units::MeterId;

    fn upgraded(by: Measure) -> Upgraded {
        let times = NonZeroU64::MIN;
        let measured = Measured { meter: MeterId(0), by, hold: 1, times, most: 9, missing: Missing::Hold };
        Upgraded::new(&[measured])
    }

    fn seen(upgraded: &Upgraded) -> Seen {
        let mut seen = Seen::default();
        upgraded.add_to(&mut seen);
        seen
    }

    #[test]
    fn both_directions_are_counted_and_a_frame_may_come_in_parts() {
        let upgraded = upgraded(Measure::Messages(NonZeroU64::MIN));
        let (mut up, mut down) = (upgraded.direction(Way::Up), upgraded.direction(Way::Down));
        for (goes_up, piece) in [(true, &[0x81][..]), (false, &[0x82, 1, 7, 0x89, 0]), (true, &[0])] {
            let direction = if goes_up { &mut up } else { &mut down };
            direction.look(piece).expect("frames");
            direction.passed(piece.len());
        }
        assert_eq!(seen(&upgraded), Seen { request_bytes: 2, response_bytes: 5, messages: 2, elapsed_ms: 0 });
    }

    #[test]
    fn what_is_no_frame_passes_only_where_messages_cost_nothing() {
        let wrong = [0x83, 0];
        let priced = upgraded(Measure::Messages(NonZeroU64::MIN));
        assert!(priced.direction(Way::Down).look(&wrong).is_err());
        assert_eq!(seen(&priced), Seen::default());
        let unpriced = upgraded(Measure::Bytes(NonZeroU64::MIN));
        assert!(unpriced.direction(Way::Down).look(&wrong).is_ok());
    }
}
