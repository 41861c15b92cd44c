//! Keys that are declared, and have no effect in this build: who writes one is told so, instead of believing it.

use crate::config::findings::{Findings, Place};
use crate::config::tree::{Node, Value};

/// Paths from the root; `*` stands for a name, or a place in a list. Whoever gives a key its effect takes it out.
pub(crate) const KEYS: &[&str] = &[];

/// The keys of a route that `[routes_default]` has as well.
const ROUTE: &str = "routes.*.";
const DEFAULT_ROUTE: &str = "routes_default.";

/// Reports each such key that is written in the file.
pub(crate) fn refuse(root: &Node, found: &mut Findings) {
    let default =
        KEYS.iter().filter_map(|key| key.strip_prefix(ROUTE)).map(|key| format!("{DEFAULT_ROUTE}{key}"));
    let keys: Vec<String> = KEYS.iter().copied().map(str::to_owned).chain(default).collect();
    for key in &keys {
        let path: Vec<&str> = key.split('.').collect();
        descend(root, &path, &root.place, found);
    }
}

/// A value that the key's other values stand beside, and that has no effect either.
pub(super) fn value(place: &Place, found: &mut Findings) {
    found.error(place, "this build does not do that yet", "leave it out");
}

/// `at`: where the key of this node stands.
fn descend(node: &Node, path: &[&str], at: &Place, found: &mut Findings) {
    let Some((name, rest)) = path.split_first() else { return value(at, found) };
    match &node.value {
        Value::Table(entries) => {
            for entry in entries.iter().filter(|entry| *name == "*" || entry.name == *name) {
                descend(&entry.node, rest, &entry.place, found);
            }
        }
        Value::List(list) if *name == "*" => {
            for node in list {
                descend(node, rest, &node.place, found);
            }
        }
        _ => {}
    }
}
