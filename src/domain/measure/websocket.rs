//! Messages of a WebSocket (RFC 6455), counted as their frames pass in one direction: of a frame its header is looked
//! at, of its payload nothing, so that compression does not matter.

/// A header: two bytes, a length of eight and a mask of four.
const MOST_HEADER_BYTES: usize = 14;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Control frames, which are no messages, have this bit in their opcode.
const CONTROL: u8 = 0x08;
/// The longest payload of a control frame.
const MOST_CONTROL_BYTES: u8 = 125;

/// What passes is no frame: nobody can say what is a message from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no frame of a WebSocket")]
pub struct BrokenFrame;

/// One direction of a WebSocket.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    messages: u64,
    header: [u8; MOST_HEADER_BYTES],
    /// How much of the next header there is.
    header_bytes: usize,
    /// How much of this frame's payload is still to come.
    payload: u64,
    broken: bool,
}

impl Frames {
    pub fn read(&mut self, piece: &[u8]) -> Result<(), BrokenFrame> {
        let mut rest = piece;
        loop {
            if self.broken {
                return Err(BrokenFrame);
            }
            let of_payload = usize::try_from(self.payload).unwrap_or(usize::MAX).min(rest.len());
            self.payload -= of_payload as u64;
            rest = &rest[of_payload..];
            let Some((byte, behind)) = rest.split_first() else { return Ok(()) };
            self.header[self.header_bytes] = *byte;
            self.header_bytes += 1;
            rest = behind;
            if self.header_bytes == header_bytes(&self.header[..self.header_bytes]) {
                self.begin_frame();
            }
        }
    }

    /// Messages so far: those whose last frame has begun.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Whether no frame is under way: another one may be put in here.
    pub fn is_between(&self) -> bool {
        !self.broken && self.header_bytes == 0 && self.payload == 0
    }

    /// The header is whole.
    fn begin_frame(&mut self) {
        let [first, second, length @ ..] = self.header;
        self.header_bytes = 0;
        let short = second & !MASKED;
        self.payload = match short {
            126 => u64::from(u16::from_be_bytes([length[0], length[1]])),
            127 => u64::from_be_bytes(length.first_chunk().copied().unwrap_or_default()),
            length => u64::from(length),
        };
        let opcode = first & 0x0F;
        let last = first & FINAL != 0;
        self.broken = match opcode {
            0..=2 => self.payload >> 63 != 0,
            8..=10 => !last || short > MOST_CONTROL_BYTES,
            _ => true,
        };
        if last && opcode & CONTROL == 0 && !self.broken {
            self.messages += 1;
        }
    }
}

/// How long a header is, as far as what there is of it tells.
fn header_bytes(header: &[u8]) -> usize {
    let Some(second) = header.get(1) else { return 2 };
    let length = match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & MASKED == 0 { 0 } else { 4 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: u8 = 1;
    const MORE: u8 = 0;
    const CLOSE: u8 = 8;
    const PING: u8 = 9;

    fn frame(first: u8, masked: bool, payload: usize) -> Vec<u8> {
        let mask = if masked { MASKED } else { 0 };
        let mut frame = vec![first];
        match payload {
            0..126 => frame.push(mask | u8::try_from(payload).expect("short")),
            126..0x1_0000 => {
                frame.push(mask | 0x7E);
                frame.extend(u16::try_from(payload).expect("short").to_be_bytes());
            }
            _ => {
                frame.push(mask | 0x7F);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend([1, 2, 3, 4]);
        }
        frame.resize(frame.len() + payload, 0xFF);
        frame
    }

    fn count(pieces: &[&[u8]]) -> Result<u64, BrokenFrame> {
        let mut frames = Frames::default();
        pieces.iter().try_for_each(|piece| frames.read(piece))?;
        assert!(frames.is_between());
        Ok(frames.messages())
    }

    #[test]
    fn a_message_is_counted_once_and_control_frames_never() {
        let stream = [
            frame(FINAL | TEXT, true, 5),
            frame(TEXT, true, 3),
            frame(FINAL | PING, true, 125),
            frame(MORE, true, 300),
            frame(FINAL | MORE, true, 0),
            frame(FINAL | 0x40 | 2, false, 70_000),
            frame(FINAL | CLOSE, false, 2),
        ]
        .concat();
        assert_eq!(count(&[&stream]), Ok(3));
        for cut in (0..400).chain(stream.len() - 70_100..stream.len()) {
            let (before, after) = stream.split_at(cut);
            assert_eq!(count(&[before, after]), Ok(3), "cut at {cut}");
        }
        assert_eq!(count(&stream.chunks(1).collect::<Vec<_>>()), Ok(3));
    }

    #[test]
    fn another_frame_fits_only_between_two() {
        let mut frames = Frames::default();
        let stream = frame(FINAL | TEXT, true, 3);
        for byte in &stream[..stream.len() - 1] {
            frames.read(&[*byte]).expect("a frame");
            assert!(!frames.is_between());
        }
        frames.read(&stream[stream.len() - 1..]).expect("a frame");
        assert!(frames.is_between());
    }

    #[test]
    fn what_is_no_frame_is_broken_for_good() {
        for wrong in [
            vec![FINAL | 3, 0],
            vec![FINAL | 15, 0],
            frame(PING, true, 0),
            frame(FINAL | PING, true, 126),
            vec![FINAL | 2, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(count(&[&wrong]), Err(BrokenFrame), "{wrong:?}");
            let mut frames = Frames::default();
            assert!(frames.read(&wrong).is_err());
            assert!(frames.read(&frame(FINAL | TEXT, true, 1)).is_err());
            assert_eq!((frames.messages(), frames.is_between()), (0, false));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..64), at in 0..65_usize) {
            let whole = |pieces: &[&[u8]]| {
                let mut frames = Frames::default();
                let read = pieces.iter().try_for_each(|piece| frames.read(piece));
                (read, frames.messages())
            };
            let (before, after) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(whole(&[&bytes]), whole(&[before, after]));
        }
    }
}
