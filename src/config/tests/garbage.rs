//! Nothing in a file makes the room panic.

use proptest::prelude::*;

use super::{Diagnostics, read};
use crate::config::DEMO;

/// Every mistake can be shown, and points into the text.
fn is_refused_or_read(text: &str) {
    if let Err(diagnostics) = read(text) {
        assert!(diagnostics.has_errors() && !diagnostics.to_string().is_empty());
        assert!(diagnostics.iter().all(|diagnostic| diagnostic.line <= text.lines().count() + 1));
    }
}

#[test]
fn an_empty_file_names_the_missing_sections() {
    let mistakes: Diagnostics = read("").expect_err("everything is missing");
    let keys: Vec<&str> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(keys, ["server", "auth", "upstreams", "meters", "tiers", "stripe", "routes"]);
}

proptest! {
    #[test]
    fn any_text_is_refused_or_read(text in "\\PC*") {
        is_refused_or_read(&text);
    }

    #[test]
    fn a_damaged_file_is_refused_or_read(at in 0..DEMO.len(), length in 0usize..40, with in "[a-z\"\\[\\]{}=\n\t.0-9é$-]{0,12}") {
        let end = (at + length).min(DEMO.len());
        prop_assume!(DEMO.is_char_boundary(at) && DEMO.is_char_boundary(end));
        is_refused_or_read(&[&DEMO[..at], &with, &DEMO[end..]].concat());
    }

    #[test]
    fn a_value_of_any_type_is_refused_or_read(
        line in 0..DEMO.lines().count(),
        value in prop::sample::select(vec![
            "0", "-1", "1.5", "true", "\"\"", "\"x\"", "[]", "[[]]", "[1, \"a\"]", "{}", "{ a = 1 }", "1979-05-27",
            "99999999999999999999999999999999999999999", "0xff", "inf", "\"${\"", "{ file = \"/nowhere\" }", "{ file = 1 }",
        ]),
    ) {
        let damaged = |(index, text): (usize, &str)| match text.split_once(" = ") {
            Some((key, _)) if index == line => format!("{key} = {value}\n"),
            _ => format!("{text}\n"),
        };
        is_refused_or_read(&DEMO.lines().enumerate().map(damaged).collect::<String>());
    }
}
