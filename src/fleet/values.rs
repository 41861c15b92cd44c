//! What Redis answers, read without believing it.

use redis::Value;

pub(super) fn array(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    std::str::from_utf8(bytes(value)?).ok()
}

/// A whole number, in either way of writing it.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => text(value)?.parse().ok(),
    }
}

/// Two after two.
pub(super) fn pairs(values: &[Value]) -> impl Iterator<Item = (&Value, &Value)> {
    values.chunks_exact(2).map(|pair| (&pair[0], &pair[1]))
}

/// The fields of a hash that are text.
pub(super) fn fields(value: &Value) -> Option<Vec<(String, String)>> {
    let owned = |(name, value)| Some((text(name)?.to_owned(), text(value)?.to_owned()));
    match value {
        Value::Map(fields) => Some(fields.iter().filter_map(|(name, value)| owned((name, value))).collect()),
        _ => Some(pairs(array(value)?).filter_map(owned).collect()),
    }
}
