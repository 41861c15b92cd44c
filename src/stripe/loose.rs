//! Picking fields out of JSON whose shape may not be the one we know. What is absent or of another type is none.

use serde_json::Value;

use super::error::CallError;

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

/// What a price stands for: its lookup key or, where that has gone over to another price, the one it was made under.
pub(super) fn lookup_key(price: &Value) -> Option<String> {
    text(price, "/lookup_key").or_else(|| text(price, "/metadata/tollgate_lookup_key"))
}

/// The elements of the array at a JSON pointer.
pub(super) fn elements<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The last object of a list's page, if there are more behind it; `after` is the one behind which the page began.
///
/// # Errors
/// No list, or one that says that there is more and does not say where.
pub(super) fn next_page(page: &Value, after: Option<&str>) -> Result<Option<String>, CallError> {
    let unreadable = |reason: &str| CallError::Unreadable { reason: reason.to_owned() };
    let found = page.pointer("/data").and_then(Value::as_array).ok_or_else(|| unreadable("not a list"))?;
    if boolean(page, "/has_more") != Some(true) {
        return Ok(None);
    }
    let last = found.last().and_then(|last| text(last, "/id"));
    let next = last.filter(|last| Some(last.as_str()) != after);
    next.map(Some).ok_or_else(|| unreadable("a list that does not say where it goes on"))
}

/// `text` cut to at most `most` characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
