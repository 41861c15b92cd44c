//! The reference: pages that are made from the code, and the `OpenAPI` document, which is held against it.
//!
//! `docs/reference/*.md` say what the code knows of itself: its keys, commands, metrics, codes. A page that is stale
//! fails; `TOLLGATE_RENEW=1 cargo test --test reference` writes all of them anew, and the change is to be committed.
//! `docs/openapi.yaml` is written by hand: every route of `src/api` must be in it, and nothing else. The page of
//! endpoints is made from it.
//!
//! - [`configuration`] from the JSON Schema
//! - [`commands`] from the command line's own description
//! - [`metrics`] from their help texts
//! - [`errors`] from the codes
//! - [`http`] from the `OpenAPI` document
//! - [`headers`] a page by hand, with every header that the code names
//! - [`links`] every link between pages leads somewhere

mod commands;
mod configuration;
mod errors;
mod headers;
mod http;
mod links;
mod metrics;
mod openapi;
mod routes;

use std::fs;
use std::path::Path;

/// Set: pages are written instead of compared.
const RENEW: &str = "TOLLGATE_RENEW";

/// Tests run in the repository's root.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Compares a page with what it should be, or writes it.
#[track_caller]
fn assert_page(path: &str, expected: &str) {
    if std::env::var_os(RENEW).is_some() {
        fs::create_dir_all(Path::new(path).parent().expect("pages lie in a folder")).expect("a folder");
        // Other tests read the pages meanwhile: none sees half of one.
        let new = format!("{path}.new");
        fs::write(&new, expected).unwrap_or_else(|error| panic!("{new}: {error}"));
        fs::rename(&new, path).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    if found == expected {
        return;
    }
    let differs = found.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
    let line = differs.unwrap_or_else(|| found.lines().count().min(expected.lines().count()));
    panic!(
        "{path}:{}: the page is stale.\n  it says: {}\n  the code: {}\nTo write all pages anew: \
         {RENEW}=1 cargo test --test reference",
        line + 1,
        found.lines().nth(line).unwrap_or("(nothing)"),
        expected.lines().nth(line).unwrap_or("(nothing)"),
    );
}

/// A text that grows.
trait Written {
    fn add(&mut self, text: &str);
}

impl Written for String {
    fn add(&mut self, text: &str) {
        self.push_str(text);
    }
}

/// What stands first on a page that is made.
fn heading(title: &str, made_from: &str, text: &str) -> String {
    format!(
        "<!-- Made from {made_from} by tests/reference: change it there, then {RENEW}=1 cargo test --test reference. \
         -->\n\n# {title}\n\n{}\n",
        text.trim_end()
    )
}

/// A cell of a table: one line, without what would end it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}
