//! Server-sent events (WHATWG HTML, section 9.2.6) as they come: the data of each, of which nothing is kept.

/// The mark that a stream may begin with.
const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
const DATA: &[u8] = b"data";

/// What an event is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Data(&'a [u8]),
    /// The event has ended.
    End,
}

/// A reader of one stream.
#[derive(Debug)]
pub(super) struct Events {
    state: State,
    /// This event has a line of data already.
    begun: bool,
    /// The last byte ended a line: a line feed behind it belongs to it.
    after_return: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many bytes of the mark were there.
    Mark(usize),
    /// So many bytes of `data` were there.
    Field(usize),
    /// Behind the colon, where a space is none of the data.
    Colon,
    Data,
    /// A line that is none of the data.
    Other,
}

impl Events {
    pub fn new() -> Self {
        Self { state: State::Mark(0), begun: false, after_return: false }
    }

    pub fn read(&mut self, piece: &[u8], tell: &mut impl FnMut(Part<'_>)) {
        let mut rest = piece;
        while let Some((byte, behind)) = rest.split_first() {
            let ends_line = |byte: &u8| matches!(byte, b'\r' | b'\n');
            if std::mem::take(&mut self.after_return) && *byte == b'\n' {
                rest = behind;
                continue;
            }
            if ends_line(byte) {
                self.end_line(tell);
                self.after_return = *byte == b'\r';
                rest = behind;
                continue;
            }
            rest = match self.state {
                State::Data | State::Other => {
                    let (line, behind) = rest.split_at(rest.iter().position(ends_line).unwrap_or(rest.len()));
                    if matches!(self.state, State::Data) {
                        tell(Part::Data(line));
                    }
                    behind
                }
                State::Mark(found) if MARK[found] == *byte => {
                    self.state = if found == 2 { State::Field(0) } else { State::Mark(found + 1) };
                    behind
                }
                State::Mark(found) => {
                    self.state = if found == 0 { State::Field(0) } else { State::Other };
                    rest
                }
                State::Field(found) => {
                    self.state = match DATA.get(found) {
                        Some(next) if next == byte => State::Field(found + 1),
                        None if *byte == b':' => State::Colon,
                        _ => State::Other,
                    };
                    behind
                }
                State::Colon => {
                    self.begin_data(tell);
                    self.state = State::Data;
                    if *byte == b' ' { behind } else { rest }
                }
            };
        }
    }

    /// The stream has ended. Its last event need not have been closed: a sender may leave out the empty line.
    pub fn end(&mut self, tell: &mut impl FnMut(Part<'_>)) {
        if std::mem::take(&mut self.begun) {
            tell(Part::End);
        }
        self.state = State::Other;
    }

    fn end_event(&mut self, tell: &mut impl FnMut(Part<'_>)) {
        if std::mem::take(&mut self.begun) {
            tell(Part::End);
        }
    }

    fn end_line(&mut self, tell: &mut impl FnMut(Part<'_>)) {
        match self.state {
            State::Field(0) | State::Mark(0) => self.end_event(tell),
            // A line of data without any.
            State::Field(found) if found == DATA.len() => self.begin_data(tell),
            State::Colon => self.begin_data(tell),
            _ => {}
        }
        self.state = State::Field(0);
    }

    /// Lines of data are one text.
    fn begin_data(&mut self, tell: &mut impl FnMut(Part<'_>)) {
        if std::mem::replace(&mut self.begun, true) {
            tell(Part::Data(b"\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let (mut events, mut data) = (Vec::new(), Vec::new());
        let mut tell = |part: Part<'_>| match part {
            Part::Data(more) => data.extend_from_slice(more),
            Part::End => {
                events.push(String::from_utf8(std::mem::take(&mut data)).expect("text"));
            }
        };
        let mut reader = Events::new();
        for piece in pieces {
            reader.read(piece, &mut tell);
        }
        reader.end(&mut tell);
        assert!(data.is_empty());
        events
    }

    #[test]
    fn the_data_of_events_is_read_however_it_is_written_and_cut() {
        for (stream, expected) in [
            ("data: a\n\ndata: b\n\n", &["a", "b"][..]),
            ("data:a\r\n\r\ndata:  b\r\rdata: c\n\r\n", &["a", " b", "c"]),
            ("event: x\nid: 1\ndata: a\ndata\ndata:\ndata: b\n\n", &["a\n\n\nb"]),
            (": only a comment\n\nevent: no data\n\n\n\ndata: a\n\n", &["a"]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("\u{feff}\ndata: a\n\n", &["a"]),
            ("dat: a\n\ndata2: b\n\n data: c\n\nxdata: d\n\ndata : e\n\n", &[]),
            ("data: a:b: c\n\n", &["a:b: c"]),
            ("data: not closed", &["not closed"]),
            ("data: not closed\n", &["not closed"]),
            ("", &[]),
        ] {
            let stream = stream.as_bytes();
            assert_eq!(events(&[stream]), expected);
            for cut in 0..stream.len() {
                let (before, after) = stream.split_at(cut);
                assert_eq!(events(&[before, after]), expected, "cut at {cut}");
            }
            let single: Vec<&[u8]> = stream.chunks(1).collect();
            assert_eq!(events(&single), expected);
        }
    }
}
