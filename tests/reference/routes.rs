//! Which routes `src/api` has: read from its source, since axum does not tell.
//!
//! A router is a chain that begins with `Router::new()`. Its name is that of its `let`, or of its function. What a
//! chain nests or merges is another chain, of the same file or of the module that the path names.

use std::collections::BTreeSet;
use std::path::Path;

use crate::openapi::{document, operations};
use crate::read;

/// Where the routers begin: file and function.
const ROOTS: [(&str, &str); 2] = [("src/api/mod.rs", "public"), ("src/api/admin/mod.rs", "with_probes")];
/// What stands for a path in the code.
const PATHS: [(&str, &str); 3] =
    [("&paths.prefix", "/billing"), ("&paths.pricing", "/pricing"), ("&paths.webhook", "/webhooks/stripe")];
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
const BEGINS: &str = "Router::new()";

/// `(path, METHOD)`.
type Routes = BTreeSet<(String, String)>;

#[test]
fn every_route_is_in_the_openapi_document_and_no_other() {
    let mut routes = Routes::new();
    for (file, name) in ROOTS {
        collect(file, name, "", &mut routes);
    }
    assert!(routes.len() > 40, "only {} routes were found", routes.len());
    let documented: Routes =
        operations(&document()).into_iter().map(|operation| (operation.path, operation.method)).collect();
    let missing: Vec<_> = routes.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&routes).collect();
    assert!(missing.is_empty(), "not in docs/openapi.yaml: {missing:?}");
    assert!(unknown.is_empty(), "in docs/openapi.yaml alone: {unknown:?}");
}

/// The routes of a chain below a prefix.
fn collect(file: &str, name: &str, prefix: &str, routes: &mut Routes) {
    for (call, arguments) in calls(&chain(file, name)) {
        let (first, rest) = split(&arguments);
        match call.as_str() {
            "route" => {
                let path = joined(prefix, &path(first));
                let methods = METHODS.iter().filter(|method| is_called(rest, method));
                let before = routes.len();
                routes.extend(methods.map(|method| (path.clone(), method.to_uppercase())));
                assert!(routes.len() > before, "{file}: no new method of {path} in {rest}");
            }
            "nest" => {
                let (file, name) = target(file, rest);
                collect(&file, &name, &joined(prefix, &path(first)), routes);
            }
            "merge" => {
                let (file, name) = target(file, first);
                collect(&file, &name, prefix, routes);
            }
            _ => {}
        }
    }
}

/// The text of the chain of that name, from behind its beginning to its end.
fn chain(file: &str, name: &str) -> String {
    let text = read(file);
    let text = text.split("#[cfg(test)]").next().expect("a first part");
    for (at, _) in text.match_indices(BEGINS) {
        if name_at(&text[..at]) == name {
            let rest = &text[at + BEGINS.len()..];
            return rest[..end(rest)].to_owned();
        }
    }
    panic!("{file}: there is no router {name}");
}

fn name_at(before: &str) -> &str {
    let words = |text: &'static str| before.rfind(text).map(|at| &before[at + text.len()..]);
    let line = before.rsplit(['\n', ';', '{']).next().unwrap_or_default().trim();
    let named = line.strip_prefix("let ").or_else(|| words("fn ")).expect("a router is made in a function");
    named.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// The chain's calls, `name` and what stands in its brackets.
fn calls(chain: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = chain;
    while let Some(at) = rest.find('.') {
        rest = &rest[at + 1..];
        let Some(open) = rest.find('(') else { break };
        let inside = &rest[open + 1..];
        let close = end(inside);
        found.push((rest[..open].to_owned(), inside[..close].to_owned()));
        rest = &inside[close..];
    }
    found
}

/// Where what is open ends: at its `;`, or before a bracket that closes more than was opened.
fn end(text: &str) -> usize {
    let (mut depth, mut quoted) = (0_i32, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' | ';' if depth == 0 => return at,
            ')' | '}' | ']' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// The first argument, and the others.
fn split(arguments: &str) -> (&str, &str) {
    let (mut depth, mut quoted) = (0_i32, false);
    for (at, c) in arguments.char_indices() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => return (arguments[..at].trim(), arguments[at + 1..].trim()),
            _ => {}
        }
    }
    (arguments.trim(), "")
}

fn path(argument: &str) -> String {
    let literal = argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let known = PATHS.iter().find(|(code, _)| *code == argument).map(|(_, path)| *path);
    literal.or(known).unwrap_or_else(|| panic!("which path is {argument}?")).to_owned()
}

fn joined(prefix: &str, path: &str) -> String {
    if path == "/" && !prefix.is_empty() { prefix.to_owned() } else { format!("{prefix}{path}") }
}

/// `get(`, `.post(` as words.
fn is_called(code: &str, method: &str) -> bool {
    let is_word = |before: char| before.is_alphanumeric() || before == '_';
    code.match_indices(&format!("{method}(")).any(|(at, _)| !code[..at].ends_with(is_word))
}

/// The file and the name of a chain: `protected`, `customers()`, `keys::routes()`.
fn target(file: &str, code: &str) -> (String, String) {
    let code = code.trim().trim_end_matches(',');
    let called = code.split('(').next().unwrap_or_default();
    let folder = Path::new(file).parent().and_then(Path::to_str).expect("a folder");
    let Some((module, name)) = called.split_once("::") else { return (file.to_owned(), called.to_owned()) };
    let candidates = [format!("{folder}/{module}.rs"), format!("{folder}/{module}/mod.rs")];
    let found = candidates.into_iter().find(|file| Path::new(file).exists());
    (found.unwrap_or_else(|| panic!("{file}: where is {code}?")), name.to_owned())
}
