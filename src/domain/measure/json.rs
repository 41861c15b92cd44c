//! JSON (RFC 8259) as it comes: any document in pieces of any size, of which nothing is kept but the path to where the
//! reader is, and the name that it is in.
//!
//! Whether a document is one is known at its end: until then whoever listens may have heard of what was none.

use std::borrow::Cow;

/// Deeper documents are taken for none.
const MOST_LEVELS: usize = 128;

/// What the reader meets on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Down to the member of this name. None: it is longer than all names that matter.
    Member(Option<&'a [u8]>),
    /// Down to the element at this position.
    Element(u64),
    /// The value here is a number; a whole one that is written without a sign, a fraction or an exponent is told.
    Number(Option<u64>),
    /// Up again: the value there has ended.
    Up,
}

/// A reader of one document after the other.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    inside: Vec<Inside>,
    /// As far as it has come, from its first quote.
    name: Vec<u8>,
    /// A longer one is not kept.
    longest_name: usize,
}

#[derive(Clone, Copy, Debug)]
enum Inside {
    Object,
    /// With the position of the next element.
    Array(u64),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Value,
    FirstElement,
    FirstMember,
    Member,
    Colon,
    /// Behind a value: a comma or the end of what it is in.
    Behind,
    Text(Text, Of),
    Number(Number, Option<u64>),
    /// What is left of `true`, `false` or `null`.
    Word(&'static [u8]),
    /// Behind the document.
    End,
    Broken,
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Name,
    Value,
}

#[derive(Clone, Copy, Debug)]
enum Text {
    Plain,
    Escape,
    /// So many hexadecimal digits are missing.
    Hex(u8),
}

/// What of a number has been read.
#[derive(Clone, Copy, Debug)]
enum Number {
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Scanner {
    /// `longest` bytes has the longest name that matters.
    pub fn new(longest: usize) -> Self {
        // An escaped byte takes six, and there are quotes.
        let longest_name = longest * 6 + 2;
        Self { state: State::Value, inside: Vec::new(), name: Vec::new(), longest_name }
    }

    pub fn read(&mut self, piece: &[u8], tell: &mut impl FnMut(Token<'_>)) {
        let mut at = 0;
        while let Some(byte) = piece.get(at) {
            let plain = match self.state {
                State::Text(Text::Plain, _) => plain_bytes(&piece[at..]),
                State::Broken => return,
                _ => 0,
            };
            if plain > 0 {
                self.keep(&piece[at..at + plain]);
                at += plain;
            } else {
                self.step(*byte, tell);
                at += 1;
            }
        }
    }

    /// The document's end: whether it was one. The next may begin.
    pub fn end(&mut self, tell: &mut impl FnMut(Token<'_>)) -> bool {
        if let State::Number(number, told) = self.state
            && self.inside.is_empty()
        {
            self.end_number(number, told, tell);
        }
        let whole = matches!(self.state, State::End);
        self.state = State::Value;
        self.inside.clear();
        whole
    }

    fn step(&mut self, byte: u8, tell: &mut impl FnMut(Token<'_>)) {
        let space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.state = match (self.state, byte) {
            (State::Number(number, told), _) => {
                if let Some((number, told)) = next_of_number(number, told, byte) {
                    self.state = State::Number(number, told);
                } else {
                    self.end_number(number, told, tell);
                    self.step(byte, tell);
                }
                return;
            }
            (State::Text(text, of), _) => return self.step_in_text(text, of, byte, tell),
            (State::Word(rest), _) => match rest {
                [last] if *last == byte => self.behind(tell),
                [next, rest @ ..] if *next == byte => State::Word(rest),
                _ => State::Broken,
            },
            (state, _) if space => state,
            (State::FirstElement, b']') | (State::FirstMember, b'}') => self.close(tell),
            (State::Value | State::FirstElement, _) => self.begin(byte, tell),
            (State::FirstMember | State::Member, b'"') => {
                self.name.clear();
                self.name.push(byte);
                State::Text(Text::Plain, Of::Name)
            }
            (State::Colon, b':') => State::Value,
            (State::Behind, _) => match (self.inside.last(), byte) {
                (Some(Inside::Object), b',') => State::Member,
                (Some(Inside::Array(_)), b',') => State::Value,
                (Some(Inside::Object), b'}') | (Some(Inside::Array(_)), b']') => self.close(tell),
                _ => State::Broken,
            },
            _ => State::Broken,
        };
    }

    /// The first byte of a value.
    fn begin(&mut self, byte: u8, tell: &mut impl FnMut(Token<'_>)) -> State {
        let digit = u64::from(byte.wrapping_sub(b'0'));
        let state = match byte {
            b'{' => State::FirstMember,
            b'[' => State::FirstElement,
            b'"' => State::Text(Text::Plain, Of::Value),
            b't' => State::Word(b"rue"),
            b'f' => State::Word(b"alse"),
            b'n' => State::Word(b"ull"),
            b'-' => State::Number(Number::Minus, None),
            b'0' => State::Number(Number::Zero, Some(0)),
            b'1'..=b'9' => State::Number(Number::Digits, Some(digit)),
            _ => return State::Broken,
        };
        if let Some(Inside::Array(next)) = self.inside.last_mut() {
            tell(Token::Element(*next));
            *next += 1;
        }
        match state {
            State::FirstMember | State::FirstElement if self.inside.len() == MOST_LEVELS => State::Broken,
            State::FirstMember => self.enter(Inside::Object, state),
            State::FirstElement => self.enter(Inside::Array(0), state),
            _ => state,
        }
    }

    fn enter(&mut self, inside: Inside, state: State) -> State {
        self.inside.push(inside);
        state
    }

    fn close(&mut self, tell: &mut impl FnMut(Token<'_>)) -> State {
        self.inside.pop();
        self.behind(tell)
    }

    /// A value has ended.
    fn behind(&self, tell: &mut impl FnMut(Token<'_>)) -> State {
        if self.inside.is_empty() {
            return State::End;
        }
        tell(Token::Up);
        State::Behind
    }

    fn end_number(&mut self, number: Number, told: Option<u64>, tell: &mut impl FnMut(Token<'_>)) {
        self.state = match number {
            Number::Zero | Number::Digits | Number::Fraction | Number::Power => {
                tell(Token::Number(told));
                self.behind(tell)
            }
            _ => State::Broken,
        };
    }

    fn step_in_text(&mut self, text: Text, of: Of, byte: u8, tell: &mut impl FnMut(Token<'_>)) {
        if of == Of::Name {
            self.keep(&[byte]);
        }
        self.state = match (text, byte) {
            (Text::Plain, b'"') if of == Of::Name => {
                let name = if self.name.len() > self.longest_name { None } else { unescaped(&self.name) };
                tell(Token::Member(name.as_deref()));
                State::Colon
            }
            (Text::Plain, b'"') => self.behind(tell),
            (Text::Plain, b'\\') => State::Text(Text::Escape, of),
            (Text::Escape, b'u') => State::Text(Text::Hex(4), of),
            (Text::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')
            | (Text::Hex(1), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => State::Text(Text::Plain, of),
            (Text::Hex(missing), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                State::Text(Text::Hex(missing - 1), of)
            }
            _ => State::Broken,
        };
    }

    /// Keeps a part of a name, and one byte beyond the longest, which shows that it is longer.
    fn keep(&mut self, part: &[u8]) {
        if matches!(self.state, State::Text(_, Of::Name)) {
            let room = (self.longest_name + 1).saturating_sub(self.name.len());
            self.name.extend_from_slice(&part[..part.len().min(room)]);
        }
    }
}

/// How many bytes of a text stand for themselves.
fn plain_bytes(text: &[u8]) -> usize {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    text.iter().position(special).unwrap_or(text.len())
}

/// None where the number has ended before this byte.
fn next_of_number(number: Number, told: Option<u64>, byte: u8) -> Option<(Number, Option<u64>)> {
    let digit = u64::from(byte.wrapping_sub(b'0'));
    Some(match (number, byte) {
        (Number::Minus, b'0') => (Number::Zero, None),
        (Number::Minus, b'1'..=b'9') => (Number::Digits, None),
        (Number::Digits, b'0'..=b'9') => {
            (number, told.and_then(|told| told.checked_mul(10)?.checked_add(digit)))
        }
        (Number::Zero | Number::Digits, b'.') => (Number::Point, None),
        (Number::Point | Number::Fraction, b'0'..=b'9') => (Number::Fraction, None),
        (Number::Zero | Number::Digits | Number::Fraction, b'e' | b'E') => (Number::Exponent, None),
        (Number::Exponent, b'+' | b'-') => (Number::Sign, None),
        (Number::Exponent | Number::Sign | Number::Power, b'0'..=b'9') => (Number::Power, None),
        _ => return None,
    })
}

/// A name without its quotes; none where its escapes make no text.
fn unescaped(quoted: &[u8]) -> Option<Cow<'_, [u8]>> {
    if quoted.contains(&b'\\') {
        let text: String = serde_json::from_slice(quoted).ok()?;
        return Some(Cow::Owned(text.into_bytes()));
    }
    Some(Cow::Borrowed(quoted.get(1..quoted.len().checked_sub(1)?)?))
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
