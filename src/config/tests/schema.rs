//! The JSON Schema and the reader are one declaration; what is not obvious from that.

use serde_json::Value as Json;

use super::super::schema;
use super::{SECTIONS, read, with};

/// Calls `visit` with every object of the schema that has fixed keys.
fn each_section(schema: &Json, visit: &mut dyn FnMut(&Json)) {
    if schema.get("properties").is_some() {
        visit(schema);
    }
    match schema {
        Json::Object(object) => object.values().for_each(|inside| each_section(inside, visit)),
        Json::Array(list) => list.iter().for_each(|inside| each_section(inside, visit)),
        _ => {}
    }
}

#[test]
fn every_section_is_closed_and_every_key_described() {
    let mut sections = 0;
    each_section(&schema(), &mut |section| {
        sections += 1;
        assert_eq!(section["additionalProperties"], false, "{section}");
        for property in section["properties"].as_object().into_iter().flat_map(|keys| keys.values()) {
            assert!(property["description"].as_str().is_some_and(|text| !text.is_empty()), "{property}");
        }
    });
    assert!(sections >= 15, "only {sections} sections");
}

#[test]
fn an_unknown_key_is_refused_wherever_it_stands() {
    for (name, section) in SECTIONS {
        let (header, keys) = section.split_once('\n').expect("a header");
        let text = with(&[name], &format!("{header}\nno_such_key_anywhere = 1\n{keys}"));
        let mistakes = read(&text).expect_err("an unknown key").to_string();
        assert!(mistakes.contains("no_such_key_anywhere: unknown key"), "{mistakes}");
        assert!(mistakes.ends_with("\n1 error"), "{mistakes}");
    }
}

#[test]
fn required_keys_are_required_by_both() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let required = schema["required"].as_array().expect("a list");
    for name in required.iter().map(|name| name.as_str().expect("a name")) {
        assert!(read(&with(&[name], "")).is_err(), "{name}");
    }
    assert!(read(&with(&[], "")).is_ok());
    assert!(read(&with(&["billing"], "")).is_ok());
}
