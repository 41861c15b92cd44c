//! The page of headers is written by hand; none that the code names may be missing from it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::read;

const PAGE: &str = "docs/reference/headers.md";
/// Where headers are read, set and removed.
const ROOMS: [&str; 4] = ["src/gateway", "src/api", "src/auth", "src/billing/notices"];
/// How a header's name stands in the code.
const NAMES: [&str; 3] = ["HeaderName::from_static(\"", "headers.get(\"", "const SIGNATURE: &str = \""];
/// The kinds that are ours to document among what such code names.
const KINDS: [&str; 8] = [
    "x-",
    "ratelimit",
    "idempotency-key",
    "stripe-signature",
    "tollgate-",
    "grpc-",
    "trace",
    "access-control-",
];

#[test]
fn every_header_that_the_code_names_is_on_the_page() {
    let mut named = BTreeSet::new();
    for room in ROOMS {
        collect(Path::new(room), &mut named);
    }
    assert!(named.len() > 12, "only {named:?} were found");
    let page = read(PAGE).to_lowercase();
    let missing: Vec<_> = named.iter().filter(|name| !page.contains(&format!("`{name}"))).collect();
    assert!(missing.is_empty(), "not on {PAGE}: {missing:?}");
}

fn collect(folder: &Path, named: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        let name = path.to_string_lossy().into_owned();
        if path.is_dir() {
            collect(&path, named);
        } else if !name.contains("tests") {
            let text = read(&name);
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            named.extend(NAMES.iter().flat_map(|begins| names(code, begins)));
        }
    }
}

fn names(code: &str, begins: &str) -> Vec<String> {
    let quoted = code.split(begins).skip(1).filter_map(|rest| rest.split('"').next());
    quoted.filter(|name| KINDS.iter().any(|kind| name.starts_with(kind))).map(str::to_owned).collect()
}
