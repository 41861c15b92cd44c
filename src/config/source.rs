//! From findings to diagnostics: line, column, and the source line with a caret and without secrets.

use std::ops::Range;
use std::path::Path;

use super::diagnostic::{Diagnostic, Diagnostics, Excerpt, Severity};
use super::findings::{Finding, Findings, Weight};

/// What is shown in place of a secret, whatever its length.
const MASK: &str = "***";

pub(crate) struct Source<'a> {
    text: &'a str,
    path: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str, path: &Path) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self {
            text,
            path: path.display().to_string(),
            lines: std::iter::once(0).chain(after_breaks).collect(),
        }
    }

    /// Every finding with its place, in the order of the file.
    pub(crate) fn explain(&self, mut findings: Findings) -> Diagnostics {
        let mut masked = std::mem::take(&mut findings.masked);
        masked.retain(|span| !is_reference(self.slice(span)));
        if findings.syntax {
            masked = findings.list.iter().filter_map(|found| self.guess_secret(&found.place.span)).collect();
        }
        masked.sort_by_key(|span| span.start);
        findings.list.sort_by_key(|finding| finding.place.span.start);
        Diagnostics::new(findings.list.iter().map(|found| self.diagnostic(found, &masked)).collect())
    }

    fn diagnostic(&self, finding: &Finding, masked: &[Range<usize>]) -> Diagnostic {
        let span = &finding.place.span;
        let line = self.line_around(span.start);
        Diagnostic {
            severity: match finding.weight {
                Weight::Error => Severity::Error,
                Weight::Warning => Severity::Warning,
            },
            path: self.path.clone(),
            line: self.lines.partition_point(|start| *start <= line.start),
            column: self.slice(&(line.start..span.start)).chars().count() + 1,
            excerpt: (!span.is_empty()).then(|| self.excerpt(&line, span, masked)),
            key: printable(&finding.place.key),
            what: printable(&finding.what),
            help: printable(&finding.help),
        }
    }

    /// The line that holds a byte, without its end.
    fn line_around(&self, at: usize) -> Range<usize> {
        let at = at.min(self.text.len());
        let start = self.lines[self.lines.partition_point(|start| *start <= at) - 1];
        let length = self.slice(&(start..self.text.len())).lines().next().map_or(0, str::len);
        start..start + length
    }

    fn excerpt(&self, line: &Range<usize>, span: &Range<usize>, masked: &[Range<usize>]) -> Excerpt {
        let mut excerpt = Excerpt { line: String::new(), carets: String::new() };
        let mut at = line.start;
        for char in self.slice(line).chars() {
            let pointed_at = span.contains(&at);
            match masked.iter().find(|secret| secret.contains(&at)) {
                Some(secret) if at == secret.start.max(line.start) => {
                    push(&mut excerpt, MASK, if pointed_at { "^^^" } else { "   " });
                }
                Some(_) => {}
                None if char == '\t' => push(&mut excerpt, "\t", "\t"),
                None => {
                    let shown = printable(char.encode_utf8(&mut [0; 4]));
                    push(&mut excerpt, &shown, if pointed_at { "^" } else { " " });
                }
            }
            at += char.len_utf8();
        }
        if !excerpt.carets.contains('^') {
            excerpt.carets.push('^');
        }
        excerpt.carets.truncate(excerpt.carets.trim_end().len());
        excerpt
    }

    /// In a text that is no TOML nobody knows what is a secret. What follows the key is hidden where the line, or
    /// the line on which its statement seems to begin, speaks of one.
    fn guess_secret(&self, span: &Range<usize>) -> Option<Range<usize>> {
        let line = self.line_around(span.start);
        let mut first = line.clone();
        while first.start > 0 && !begins_statement(self.slice(&first)) {
            first = self.line_around(first.start - 1);
        }
        let speaks = |line: &Range<usize>| {
            let text = self.slice(line).to_ascii_lowercase();
            ["secret", "token", "key"].iter().any(|word| text.contains(word))
        };
        if !speaks(&line) && !speaks(&first) {
            return None;
        }
        let value = self.slice(&line).find('=').filter(|_| first == line).map_or(0, |equals| equals + 1);
        Some(line.start + value..line.end)
    }

    /// Never panics, whatever the range.
    fn slice(&self, range: &Range<usize>) -> &'a str {
        self.text.get(range.clone()).unwrap_or("")
    }
}

/// Nothing in a file can steer the terminal that shows it.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn push(excerpt: &mut Excerpt, shown: &str, caret: &str) {
    excerpt.line.push_str(shown);
    excerpt.carets.push_str(caret);
}

/// `"${NAME}"` and nothing else: a name is no secret.
fn is_reference(written: &str) -> bool {
    let inner = written.trim_matches(['"', '\'']);
    let name = inner.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| !name.contains(['$', '{', '}']))
}

/// `[header]` or `key = `, not a line inside a list or a long string.
fn begins_statement(line: &str) -> bool {
    let line = line.trim_start();
    let key = line.split('=').next().unwrap_or("");
    let is_key = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
    line.starts_with('[') || (line.contains(" =") && key.chars().all(is_key))
}

#[cfg(test)]
mod tests {
    use super::super::findings::Place;
    use super::*;

    fn shown(text: &str, span: Range<usize>, masked: Option<Range<usize>>, syntax: bool) -> String {
        let mut findings = Findings { masked: Vec::from_iter(masked), syntax, ..Findings::default() };
        findings.error(&Place { key: "k".into(), span }, "wrong", "right");
        Source::new(text, Path::new("f")).explain(findings).to_string()
    }

    #[test]
    fn columns_count_characters_and_carets_follow_tabs() {
        insta::assert_snapshot!(shown("a = 1\n\té = 22", 12..14, None, false).replace('\t', "<tab>"), @r#"
        f:2:6: error: k: wrong
         2 | <tab>é = 22
           | <tab>    ^^
        help: right

        1 error
        "#);
    }

    #[test]
    fn a_masked_value_moves_the_caret_with_it() {
        let text = r#"x = { secret = "hunter2", y = 1 }"#;
        insta::assert_snapshot!(shown(text, 26..27, Some(15..24), false), @r#"
        f:1:27: error: k: wrong
         1 | x = { secret = ***, y = 1 }
           |                     ^
        help: right

        1 error
        "#);
    }

    #[test]
    fn a_reference_to_a_variable_is_no_secret() {
        let text = r#"secret = "${JWT}""#;
        assert!(shown(text, 9..17, Some(9..17), false).contains("${JWT}"));
        assert!(!shown(r#"secret = "a${JWT}""#, 9..18, Some(9..18), false).contains("${JWT}"));
    }

    #[test]
    fn what_may_be_a_secret_is_hidden_in_a_text_that_is_no_toml() {
        for text in [
            "secret_key = \"hunter2\n",
            "admin_token = hunter2\n",
            "webhook_secrets = [\n  \"hunter2\n]",
            "jwt = { secret = 'hunter2\n",
            "secret = \"\"\"\nline\nhunter2==",
        ] {
            let at = text.find("hunter2").expect("it is there");
            let shown = shown(text, at..at + 3, None, true);
            assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
        }
        assert!(shown("listen = \"0.0.0.0\n", 9..10, None, true).contains("0.0.0.0"));
    }
}
