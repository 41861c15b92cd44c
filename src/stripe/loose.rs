//! Picking fields out of JSON whose shape may not be the one we know. What is absent or of another type is none.

use serde_json::Value;

/// The text at a JSON pointer; empty text counts as absent.
pub(super) fn text(value: &Value, pointer: &str) -> Option<String> {
    let text = value.pointer(pointer)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

pub(super) fn integer(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer)?.as_i64()
}

pub(super) fn boolean(value: &Value, pointer: &str) -> Option<bool> {
    value.pointer(pointer)?.as_bool()
}

/// The id of an object that is given either as its id or, expanded, as itself.
pub(super) fn id(value: &Value, pointer: &str) -> Option<String> {
    text(value, pointer).or_else(|| text(value.pointer(pointer)?, "/id"))
}

/// The elements of the array at a JSON pointer.
pub(super) fn elements<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `text` cut to at most `most` characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
