//! The numbers in some places of documents: of one after the other the last that were seen.

use super::json::{Scanner, Token};
use super::pointer::Pointer;

/// Streams wrap an answer's usage now and then: Anthropic in the `message` of its first event, `OpenAI`'s Responses in
/// the `response` of its last.
const WRAPPERS: [Option<&str>; 3] = [None, Some("message"), Some("response")];

/// Some places, watched for.
#[derive(Debug)]
pub(super) struct Places {
    scanner: Scanner,
    watched: Watched,
    /// By place; none that no whole document has told.
    seen: Box<[Option<u64>]>,
}

#[derive(Debug)]
struct Watched {
    targets: Box<[Target]>,
    /// How far down the reader is.
    depth: usize,
}

/// One way to a place.
#[derive(Debug)]
struct Target {
    place: usize,
    /// Names and positions, from the root down.
    way: Box<[Box<str>]>,
    /// How much of the way is the reader's own.
    reached: usize,
    /// The number there, in this document.
    number: Option<u64>,
}

impl Places {
    /// `wrapped`: a document may be a part of a stream, and what is looked for beneath its wrapper.
    pub fn new<'a>(pointers: impl Iterator<Item = &'a Pointer>, wrapped: bool) -> Self {
        let wrappers = if wrapped { &WRAPPERS[..] } else { &WRAPPERS[..1] };
        let mut places = 0;
        let mut targets = Vec::new();
        for pointer in pointers {
            let way =
                |wrapper: Option<&str>| wrapper.into_iter().chain(pointer.tokens()).map(Into::into).collect();
            let target =
                |wrapper: &Option<_>| Target { place: places, way: way(*wrapper), reached: 0, number: None };
            targets.extend(wrappers.iter().map(target));
            places += 1;
        }
        let longest = targets.iter().flat_map(|target| &target.way).map(|name| name.len()).max().unwrap_or(0);
        Self {
            scanner: Scanner::new(longest),
            watched: Watched { targets: targets.into(), depth: 0 },
            seen: vec![None; places].into(),
        }
    }

    /// More of a document.
    pub fn read(&mut self, piece: &[u8]) {
        self.scanner.read(piece, &mut |token| self.watched.hear(token));
    }

    /// The document has ended. What was none has told nothing.
    pub fn end_document(&mut self) {
        let whole = self.scanner.end(&mut |token| self.watched.hear(token));
        // Backwards: what stands unwrapped counts before what is wrapped.
        for target in self.watched.targets.iter_mut().rev() {
            let number = target.number.take().filter(|_| whole);
            if number.is_some() {
                self.seen[target.place] = number;
            }
            target.reached = 0;
        }
        self.watched.depth = 0;
    }

    /// The last numbers, by place.
    pub fn seen(&self) -> &[Option<u64>] {
        &self.seen
    }
}

impl Watched {
    fn hear(&mut self, token: Token<'_>) {
        match token {
            Token::Member(name) => self.go_down(|step| name == Some(step.as_bytes())),
            Token::Element(at) => self.go_down(|step| is_position(step, at)),
            Token::Number(told) => {
                for target in &mut self.targets {
                    if target.is_at(self.depth) && target.way.len() == self.depth {
                        target.number = told;
                    }
                }
            }
            Token::Up => {
                self.depth = self.depth.saturating_sub(1);
                for target in &mut self.targets {
                    target.reached = target.reached.min(self.depth);
                }
            }
        }
    }

    fn go_down(&mut self, leads: impl Fn(&str) -> bool) {
        for target in &mut self.targets {
            if target.is_at(self.depth) && target.way.get(self.depth).is_some_and(|step| leads(step)) {
                target.reached += 1;
                // Of two members of one name the last counts, as for most readers.
                target.number = None;
            }
        }
        self.depth += 1;
    }
}

impl Target {
    /// Whether all of the reader's way is this one's.
    fn is_at(&self, depth: usize) -> bool {
        self.reached == depth
    }
}

/// Whether a step of a pointer is a position in a list (RFC 6901, section 4).
fn is_position(step: &str, at: u64) -> bool {
    let digits = step == "0" || (!step.starts_with('0') && step.bytes().all(|byte| byte.is_ascii_digit()));
    digits && step.parse() == Ok(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn places(pointers: &[&str], wrapped: bool) -> Places {
        let pointers: Vec<Pointer> = pointers.iter().map(|text| Pointer::parse(text).expect(text)).collect();
        Places::new(pointers.iter(), wrapped)
    }

    fn seen(pointers: &[&str], documents: &[&str], wrapped: bool) -> Vec<Option<u64>> {
        let mut places = places(pointers, wrapped);
        for document in documents {
            places.read(document.as_bytes());
            places.end_document();
        }
        places.seen().to_vec()
    }

    #[test]
    fn a_place_is_found_wherever_it_stands() {
        let document = r#"{"usage":{"in":3,"out":{"in":9}},"list":[[7],{"a/b":8}],"in":1,"":{"":5}}"#;
        let pointers = ["/usage/in", "/list/0/0", "/list/1/a~1b", "/in", "//", "/usage/out/in"];
        let numbers = [Some(3), Some(7), Some(8), Some(1), Some(5), Some(9)];
        assert_eq!(seen(&pointers, &[document], false), numbers);
        let others = ["/usage/out", "/list/00/0", "/list/+0/0", "/list/2", "/usage", "/in/in", "/usage/in/x"];
        assert_eq!(seen(&others, &[document], false), [None; 7]);
    }

    #[test]
    fn only_whole_numbers_are_told_and_what_is_no_document_tells_nothing() {
        for none in [
            "{\"a\":1.0}",
            "{\"a\":-1}",
            "{\"a\":\"1\"}",
            "{\"a\":null}",
            "{\"a\":[1]}",
            "{\"a\":1",
            "{\"a\":1}}",
        ] {
            assert_eq!(seen(&["/a"], &[none], false), [None], "{none}");
        }
    }

    #[test]
    fn the_last_document_that_tells_a_number_counts() {
        let stream = [r#"{"a":1}"#, r#"{"a":2,"b":5}"#, r#"{"a":null}"#, r#"{"a":3"#, "[DONE]"];
        assert_eq!(seen(&["/a", "/b", "/c"], &stream, true), [Some(2), Some(5), None]);
    }

    #[test]
    fn wrappers_are_looked_into_in_streams_alone() {
        let wrapped = r#"{"response":{"a":1},"message":{"b":2}}"#;
        assert_eq!(seen(&["/a", "/b"], &[wrapped], true), [Some(1), Some(2)]);
        assert_eq!(seen(&["/a", "/b"], &[wrapped], false), [None, None]);
        assert_eq!(seen(&["/a"], &[r#"{"a":3,"message":{"a":4},"response":{"a":5}}"#], true), [Some(3)]);
    }

    /// Few names, so that pointers meet them.
    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![(0..9_u64).prop_map(Value::from), Just(json!("1")), Just(Value::Null)];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::hash_map("[ab]|0|/", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_place_is_where_serde_finds_it(
            document in document(),
            pointers in prop::collection::vec("(/([ab01]|~1)){1,3}", 1..4),
        ) {
            let texts: Vec<&str> = pointers.iter().map(String::as_str).collect();
            let expected: Vec<_> = texts.iter().map(|text| document.pointer(text).and_then(Value::as_u64)).collect();
            prop_assert_eq!(seen(&texts, &[&document.to_string()], false), expected);
        }
    }
}
