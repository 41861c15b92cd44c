//! No file panics; each mistake can be shown, and stands where the file has a line.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tollgate::config::parse;

fuzz_target!(|text: &str| {
    // A file that names another would be read: that is not what is tried here.
    if text.contains("file") || text.contains("/dev") {
        return;
    }
    let environment = |name: &str| (name == "SET").then(|| "0123456789abcdef0123456789abcdef".to_owned());
    if let Err(diagnostics) = parse(text, Path::new("fuzz.toml"), &environment) {
        assert!(diagnostics.has_errors() && !diagnostics.to_string().is_empty());
        assert!(diagnostics.iter().all(|diagnostic| diagnostic.line <= text.lines().count() + 1));
    }
});
