//! The `OpenAPI` document, as it is written.

use serde_json::Value;

use crate::read;

const PATH: &str = "docs/openapi.yaml";
/// The methods of a path; what else stands there is not one.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// One method of one path.
pub struct Operation {
    pub path: String,
    /// In capitals.
    pub method: String,
    pub what: Value,
}

pub fn document() -> Value {
    serde_yaml::from_str(&read(PATH)).unwrap_or_else(|error| panic!("{PATH}: {error}"))
}

/// All of them, path by path, in the order of the methods above.
pub fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &Value)| {
        let operation = |method: &&str| {
            let what = item.get(*method)?.clone();
            Some(Operation { path: path.clone(), method: method.to_uppercase(), what })
        };
        METHODS.iter().filter_map(operation).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// What a `$ref` leads to; anything else is itself.
pub fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            let found = document.pointer(reference.trim_start_matches('#'));
            found.unwrap_or_else(|| panic!("{PATH}: {reference} leads nowhere"))
        }
        None => value,
    }
}
