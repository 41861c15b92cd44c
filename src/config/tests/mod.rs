//! The room as a whole: the shipped files, the mistakes as people see them, and what must never happen.

use std::path::Path;

use super::{Config, Diagnostics, parse};

mod deployed;
mod fleet;
mod garbage;
mod mistakes;
mod proxying;
mod references;
mod schema;
mod secrets;
mod shipped;

/// Without environment, as the file `t.toml`.
fn read(text: &str) -> Result<Config, Diagnostics> {
    parse(text, Path::new("t.toml"), &|_| None)
}

/// The mistakes of a text.
fn mistakes(text: &str) -> String {
    read(text).expect_err("there are mistakes").to_string()
}

/// A configuration without mistakes, section by section, so that a test can put another in a section's place.
const SECTIONS: &[(&str, &str)] = &[
    ("server", "[server]\nlisten = \"127.0.0.1:1\"\n"),
    ("auth", "[auth.jwt]\nalgorithms = [\"HS256\"]\nsecret = \"0123456789abcdef0123456789abcdef\"\n"),
    ("upstreams", "[upstreams.api]\nservers = [\"127.0.0.1:9000\"]\n"),
    ("meters", "[meters.api_calls]\n"),
    ("routes", "[[routes]]\npath = \"/signals\"\ncost = 1\n"),
    ("tiers", "[tiers.free]\ndefault = true\nincluded = { api_calls = 100 }\n"),
    ("billing", "[billing]\ncurrency = \"usd\"\n"),
    ("stripe", "[stripe]\nmode = \"sandbox\"\n"),
];

/// The sections above with `text` in the place of those named; it comes first, so that its lines are its own.
fn with(replaced: &[&str], text: &str) -> String {
    let rest = SECTIONS.iter().filter(|(name, _)| !replaced.contains(name)).map(|(_, section)| *section);
    std::iter::once(text).chain(rest).collect::<Vec<_>>().join("\n")
}
