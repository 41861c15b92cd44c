//! What is JSON is what serde takes for it, and every number is found.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn is_json(pieces: &[&[u8]]) -> bool {
    let mut scanner = Scanner::new(8);
    for piece in pieces {
        scanner.read(piece, &mut |_| {});
    }
    scanner.end(&mut |_| {})
}

/// The path of names and positions to each number.
fn numbers(text: &str) -> Vec<(String, Option<u64>)> {
    let mut scanner = Scanner::new(8);
    let (mut path, mut found) = (Vec::new(), Vec::new());
    let mut tell = |token: Token<'_>| match token {
        Token::Member(name) => {
            path.push(name.map_or_else(|| "*".to_owned(), |name| String::from_utf8_lossy(name).into()));
        }
        Token::Element(at) => path.push(at.to_string()),
        Token::Number(told) => found.push((path.join("."), told)),
        Token::Up => drop(path.pop().expect("it went down before")),
    };
    scanner.read(text.as_bytes(), &mut tell);
    assert!(scanner.end(&mut tell), "{text}");
    assert!(path.is_empty(), "{text}");
    found
}

#[test]
fn every_number_is_told_with_the_way_to_it() {
    let text = r#" {"a" : [1, {"b": 2.5, "c": -3}, "x\"]", []], "d\u0065": {"": 40}, "n": null,
        "a name that is longer than all that matter, with the quotes": 5 } "#;
    let told = |path: &str, number| (path.to_owned(), number);
    let expected = [
        told("a.0", Some(1)),
        told("a.1.b", None),
        told("a.1.c", None),
        told("de.", Some(40)),
        told("*", Some(5)),
    ];
    assert_eq!(numbers(text), expected);
    assert_eq!(numbers("18446744073709551615"), [told("", Some(u64::MAX))]);
    assert_eq!(numbers("18446744073709551616"), [told("", None)]);
    assert_eq!(numbers("[0,10,1e2]"), [told("0", Some(0)), told("1", Some(10)), told("2", None)]);
}

#[test]
fn what_is_nearly_json_is_none() {
    for wrong in [
        "",
        " ",
        "{",
        "[1",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "[1}",
        "{\"a\":1]",
        "01",
        "1.",
        "-",
        "1e",
        "+1",
        ".5",
        "tru",
        "truee",
        "nul l",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "1 2",
        "{} {}",
        "[DONE]",
        "'a'",
        "\u{feff}{}",
        "--1",
        "1-",
        "[,1]",
        "{,}",
        "NaN",
        "]",
        "}",
        ":",
        ",",
    ] {
        assert!(serde_json::from_str::<Value>(wrong).is_err(), "{wrong}");
        assert!(!is_json(&[wrong.as_bytes()]), "{wrong}");
    }
}

#[test]
fn a_document_can_be_deep_but_not_bottomless() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(is_json(&[deep(MOST_LEVELS).as_bytes()]));
    assert!(!is_json(&[deep(MOST_LEVELS + 1).as_bytes()]));
    assert!(!is_json(&["[".repeat(1 << 20).as_bytes()]));
}

#[test]
fn another_document_begins_where_one_has_ended() {
    let mut scanner = Scanner::new(8);
    let mut numbers = Vec::new();
    let mut tell = |token: Token<'_>| {
        numbers.extend(match token {
            Token::Number(told) => told,
            _ => None,
        });
    };
    for (document, whole) in [("[1", false), ("[2]", true), ("\"", false), ("3", true)] {
        scanner.read(document.as_bytes(), &mut tell);
        assert_eq!(scanner.end(&mut tell), whole, "{document}");
    }
    assert_eq!(numbers, [2, 3]);
}

/// Texts that are JSON, and texts in which a byte or two are not as they were.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(
        &[
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            " ",
            "\n",
            "\"",
            "\"a\"",
            "\"\\u00e9\\n\"",
            "\\",
            "0",
            "-1",
            "2.5e-3",
            "17",
            "true",
            "false",
            "null",
            "e",
            "é",
        ][..],
    );
    let made = prop::collection::vec(pieces, 0..12).prop_map(|parts| parts.concat().into_bytes());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,6}|[\"\\\\/\u{8}\t\n\u{1}]{0,4}".prop_map(Value::from),
    ];
    let real = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("\\PC{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    let changed = (real.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(json, at, byte)| {
        let mut text = json.to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        text
    });
    prop_oneof![made, changed, real.prop_map(|json| json.to_string().into_bytes())]
}

proptest! {
    #[test]
    fn it_is_json_where_serde_says_so_however_it_is_cut(text in nearly_json(), at in any::<prop::sample::Index>()) {
        // Serde checks that texts are UTF-8, on which no place and no number depends.
        if std::str::from_utf8(&text).is_err() {
            return Ok(());
        }
        let expected = serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(is_json(&[&text]), expected);
        let (before, after) = text.split_at(at.index(text.len() + 1));
        prop_assert_eq!(is_json(&[before, after]), expected);
    }

    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        is_json(&[&bytes]);
    }
}
