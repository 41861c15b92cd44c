//! Every endpoint, from the `OpenAPI` document.

use serde_json::Value;

use crate::openapi::{Operation, document, operations, resolved};
use crate::{Written as _, assert_page, cell, heading};

const ABOUT: &str = "\
The same for programs: [`docs/openapi.yaml`](../openapi.yaml) (OpenAPI 3.1). An error is `application/problem+json`, and
[errors](errors.md) has every code; a method that an endpoint does not take is 405 with `Allow`, and HEAD is answered
where GET is. `?` marks what may be left out, `null` what may be nothing.
";

#[test]
fn the_page_of_endpoints_is_what_the_openapi_document_says() {
    let document = document();
    let operations = operations(&document);
    let info = document["info"]["description"].as_str().expect("a description");
    let mut page = heading("HTTP", "docs/openapi.yaml", &format!("{}\n\n{ABOUT}", wrapped(info)));
    for tag in document["tags"].as_array().expect("tags") {
        let (name, about) = (text(&tag["name"]), text(&tag["description"]));
        page.add(&format!("\n## {name}\n\n{}\n", wrapped(about)));
        for operation in operations.iter().filter(|operation| operation.what["tags"][0] == tag["name"]) {
            describe(&mut page, &document, operation);
        }
    }
    page.push_str("\n## Objects\n\nWhat several endpoints take or answer.\n");
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        object(&mut page, name, schema);
    }
    assert_page("docs/reference/http.md", &page);
}

#[test]
fn every_operation_says_who_may_call_it_and_what_it_answers() {
    let document = document();
    for Operation { path, method, what } in operations(&document) {
        let named = format!("{method} {path}");
        assert!(what["security"].is_array(), "{named}: security");
        let expected = if path.starts_with("/admin/") { Some("admin") } else { None };
        assert_eq!(what["security"].pointer("/0/admin").map(|_| "admin"), expected, "{named}");
        let answers = what["responses"].as_object().expect("responses");
        assert!(answers.contains_key("200"), "{named}");
        for (status, answer) in answers {
            let kinds = resolved(&document, answer)["content"].as_object();
            let is_problem = kinds.is_some_and(|kinds| kinds.contains_key("application/problem+json"));
            let told_by_health = named.ends_with("readyz") || named.ends_with("/health/billing");
            assert_eq!(is_problem, status != "200" && !told_by_health, "{named}: {status}");
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn describe(page: &mut String, document: &Value, operation: &Operation) {
    let Operation { path, method, what } = operation;
    page.add(&format!("\n### {method} {path}\n\n{}.", text(&what["summary"])));
    if let Some(about) = what["description"].as_str() {
        page.add(&format!(" {about}"));
    }
    page.push_str("\n\n");
    for parameter in what["parameters"].as_array().into_iter().flatten() {
        let kind = kind(&parameter["schema"]);
        let optional = if parameter["required"] == true { "" } else { "?" };
        let (place, name) = (text(&parameter["in"]), text(&parameter["name"]));
        let about = text(&parameter["description"]);
        page.add(&format!("- {place} `{name}`{optional}: {kind}. {}\n", cell(about)));
    }
    if let Some(body) = what["requestBody"]["content"]["application/json"].get("schema") {
        let optional = if what["requestBody"]["required"] == true { "" } else { ", or nothing" };
        page.add(&format!("- body: {}{optional}\n", kind(body)));
    }
    let answers = what["responses"].as_object().expect("responses");
    let contents = resolved(document, &answers["200"])["content"].as_object().into_iter().flatten();
    let contents = contents.map(|(media, content)| match content["schema"].get("$ref") {
        Some(_) => kind(&content["schema"]),
        None => format!("`{media}`"),
    });
    page.add(&format!("- answer: {}\n", contents.collect::<Vec<_>>().join(", or ")));
    let errors: Vec<&str> = answers.keys().map(String::as_str).filter(|status| *status != "200").collect();
    if !errors.is_empty() {
        page.add(&format!("- errors: {}\n", errors.join(", ")));
    }
}

fn object(page: &mut String, name: &str, schema: &Value) {
    page.add(&format!("\n### {name}\n\n"));
    if let Some(about) = schema["description"].as_str() {
        page.add(&format!("{about}\n\n"));
    }
    let Some(members) = schema["properties"].as_object() else {
        page.add(&format!("{}.\n", kind(schema)));
        return;
    };
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    page.push_str("| member | type | |\n|---|---|---|\n");
    for (member, schema) in members {
        let optional = if required.contains(&member.as_str()) { "" } else { "?" };
        let about = schema["description"].as_str().unwrap_or_default();
        page.add(&format!("| `{member}`{optional} | {} | {} |\n", cell(&kind(schema)), cell(about)));
    }
}

/// A schema in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(alternatives) = schema["anyOf"].as_array() {
        return alternatives.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(words) = schema["enum"].as_array() {
        return words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap_or("null")))
            .collect::<Vec<_>>()
            .join(" ");
    }
    if let Some(word) = schema.get("const") {
        return format!("`{}`", word.as_str().map_or_else(|| word.to_string(), str::to_owned));
    }
    if let Some(format) = schema["format"].as_str() {
        let instant = if format == "date-time" { "instant" } else { format };
        let or_null = if schema["type"].is_array() { " or null" } else { "" };
        return format!("{instant}{or_null}");
    }
    let names = match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        Value::String(name) => vec![name.as_str()],
        _ => vec!["anything"],
    };
    let name = |name: &&str| match *name {
        "array" => format!("list of {}", kind(&schema["items"])),
        "object" if schema.get("properties").is_some() => members(schema),
        "object" if schema["additionalProperties"].is_object() => {
            format!("object of {}", kind(&schema["additionalProperties"]))
        }
        name => name.to_owned(),
    };
    names.iter().map(name).collect::<Vec<_>>().join(" or ")
}

/// A small object, in line.
fn members(schema: &Value) -> String {
    let members = schema["properties"].as_object().expect("members");
    let shown = members.iter().map(|(name, schema)| format!("`{name}` {}", kind(schema)));
    format!("object ({})", shown.collect::<Vec<_>>().join(", "))
}

/// Lines that fit a screen.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("one line at least");
        if line.len() + word.len() >= 118 {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}
