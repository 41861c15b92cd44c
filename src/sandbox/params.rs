//! Parameters as Stripe's SDKs send them: `a[b][0][c]=value`, in a body or a query.
//!
//! A list is a group whose names are numbers (`[0]`, `[1]`) or empty (`[]`). Sizes are bounded: at most
//! [`MAX_PAIRS`] pairs.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;

use super::error::ApiError;
use super::form::{malformed, split_name, unescape};

const MAX_PAIRS: usize = 1_000;
/// Stripe's bound for decimal amounts.
const MAX_DECIMALS: u32 = 12;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Param {
    Text(String),
    Group(Params),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    entries: Vec<(String, Param)>,
}

impl Params {
    /// Reads a form-encoded body or query.
    pub fn decode(raw: &str) -> Result<Self, ApiError> {
        let mut params = Self::default();
        let mut pairs = 0;
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            pairs += 1;
            if pairs > MAX_PAIRS {
                return Err(malformed("too many parameters"));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = unescape(name).ok_or_else(|| malformed("bad escape in a name"))?;
            let value = unescape(value).ok_or_else(|| malformed("bad escape in a value"))?;
            params.insert(&split_name(&name)?, value)?;
        }
        Ok(params)
    }

    /// Reads a JSON object as if it had been sent as a form; for the hooks, which take both.
    pub fn from_json(value: &Value) -> Self {
        let entries: Vec<(String, &Value)> = match value {
            Value::Object(map) => map.iter().map(|(name, v)| (name.clone(), v)).collect(),
            Value::Array(list) => list.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
            _ => Vec::new(),
        };
        let param = |value: &Value| match value {
            Value::Object(_) | Value::Array(_) => Param::Group(Self::from_json(value)),
            Value::String(text) => Param::Text(text.clone()),
            Value::Null => Param::Text(String::new()),
            other => Param::Text(other.to_string()),
        };
        let entries = entries.into_iter().map(|(name, value)| (name, param(value)));
        Self { entries: entries.collect() }
    }

    /// Parameters written in code, by full name: `("recurring[interval]", "month")`.
    pub fn of(pairs: &[(&str, &str)]) -> Result<Self, ApiError> {
        let mut params = Self::default();
        for (name, value) in pairs {
            params.insert(&split_name(name)?, (*value).to_owned())?;
        }
        Ok(params)
    }

    fn insert(&mut self, path: &[&str], value: String) -> Result<(), ApiError> {
        let Some((head, rest)) = path.split_first() else {
            return Err(malformed("a parameter without a name"));
        };
        let name = if head.is_empty() { self.entries.len().to_string() } else { (*head).to_owned() };
        let at = self.entries.iter().position(|(existing, _)| *existing == name);
        let at = at.unwrap_or_else(|| {
            self.entries.push((name, Param::Group(Self::default())));
            self.entries.len() - 1
        });
        let slot = &mut self.entries[at].1;
        match (rest.is_empty(), slot) {
            (true, slot) => *slot = Param::Text(value),
            (false, Param::Group(group)) => group.insert(rest, value)?,
            (false, Param::Text(_)) => return Err(malformed("a parameter that is text and group")),
        }
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<&Param> {
        let entry = self.entries.iter().find(|(existing, _)| existing == name);
        entry.map(|(_, param)| param)
    }

    /// The text under a name, empty or not.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Param::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The text under a name, if there is any.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|text| !text.is_empty())
    }

    pub fn owned(&self, name: &str) -> Option<String> {
        self.filled(name).map(str::to_owned)
    }

    pub fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.filled(name).ok_or_else(|| ApiError::parameter_missing(name))
    }

    pub fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                ApiError::parameter(name, "parameter_invalid_integer", format!("Invalid integer: {text}"))
            })
        };
        self.filled(name).map(parse).transpose()
    }

    pub fn count(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let negative = |_| {
            ApiError::parameter(
                name,
                "parameter_invalid_integer",
                "This value must be greater than or equal to 0.",
            )
        };
        self.integer(name)?.map(|n| u64::try_from(n).map_err(negative)).transpose()
    }

    pub fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.filled(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(ApiError::parameter(
                name,
                "parameter_invalid_boolean",
                format!("Invalid boolean: {other}"),
            )),
        }
    }

    pub fn decimal(&self, name: &str) -> Result<Option<Decimal>, ApiError> {
        let parse = |text: &str| {
            let amount: Option<Decimal> = text.parse().ok();
            amount.filter(|amount| amount.scale() <= MAX_DECIMALS && !amount.is_sign_negative()).ok_or_else(
                || ApiError::parameter(name, "parameter_invalid_decimal", format!("Invalid decimal: {text}")),
            )
        };
        self.filled(name).map(parse).transpose()
    }

    pub fn group(&self, name: &str) -> Option<&Params> {
        match self.get(name) {
            Some(Param::Group(group)) => Some(group),
            _ => None,
        }
    }

    /// The groups of a list, in its order.
    pub fn groups(&self, name: &str) -> Vec<&Params> {
        self.list(name)
            .into_iter()
            .filter_map(|param| match param {
                Param::Group(group) => Some(group),
                Param::Text(_) => None,
            })
            .collect()
    }

    /// The texts of a list, in its order; a lone text counts as a list of one.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        if let Some(text) = self.filled(name) {
            return vec![text];
        }
        self.list(name)
            .into_iter()
            .filter_map(|param| match param {
                Param::Text(text) => Some(text.as_str()),
                Param::Group(_) => None,
            })
            .collect()
    }

    fn list(&self, name: &str) -> Vec<&Param> {
        let Some(group) = self.group(name) else {
            return Vec::new();
        };
        let mut entries: Vec<_> = group.entries.iter().collect();
        entries.sort_by_key(|(index, _)| index.parse::<usize>().unwrap_or(usize::MAX));
        entries.into_iter().map(|(_, param)| param).collect()
    }

    /// The texts of this group by name, such as metadata or a payload.
    pub fn map(&self) -> BTreeMap<String, String> {
        let text = |(name, param): &(String, Param)| match param {
            Param::Text(text) => Some((name.clone(), text.clone())),
            Param::Group(_) => None,
        };
        self.entries.iter().filter_map(text).collect()
    }

    /// Refuses names that an operation does not know, as Stripe does.
    pub fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        let stranger = self.entries.iter().find(|(name, _)| !known.contains(&name.as_str()));
        match stranger {
            None => Ok(()),
            Some((name, _)) => Err(ApiError::parameter(
                name,
                "parameter_unknown",
                format!("Received unknown parameter: {name}"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_nest_groups_and_lists() {
        let params =
            Params::decode("items[0][price]=a&items[1][price]=b&metadata%5Bk%5D=v+w%21").expect("decodes");
        let prices: Vec<_> = params.groups("items").iter().map(|i| i.text("price")).collect();
        assert_eq!(prices, [Some("a"), Some("b")]);
        assert_eq!(params.group("metadata").and_then(|m| m.text("k")), Some("v w!"));
    }

    #[test]
    fn lists_come_in_the_order_of_their_numbers_and_empty_brackets_append() {
        let numbered = Params::decode("t[10]=z&t[2]=y&t[0]=x").expect("decodes");
        assert_eq!(numbered.texts("t"), ["x", "y", "z"]);
        let appended = Params::decode("t[]=x&t[]=y").expect("decodes");
        assert_eq!(appended.texts("t"), ["x", "y"]);
    }

    #[test]
    fn broken_bodies_are_refused() {
        for raw in ["a[b=1", "a=%zz", "a=%ff", "a=1&a[b]=2"] {
            assert!(Params::decode(raw).is_err(), "{raw}");
        }
        assert!(Params::decode(&"a=1&".repeat(MAX_PAIRS + 1)).is_err());
    }

    #[test]
    fn values_are_checked_when_they_are_read() {
        let params = Params::decode("n=x&b=maybe&d=0.0000000000001&ok=-5").expect("decodes");
        assert!(params.integer("n").is_err());
        assert!(params.boolean("b").is_err());
        assert!(params.decimal("d").is_err());
        assert!(params.count("ok").is_err());
        assert_eq!(params.integer("ok"), Ok(Some(-5)));
        assert_eq!(params.required("gone"), Err(ApiError::parameter_missing("gone")));
    }

    #[test]
    fn json_reads_like_a_form() {
        let json = serde_json::json!({"a": {"b": [1, true, "x"]}});
        assert_eq!(
            Params::from_json(&json),
            Params::decode("a[b][0]=1&a[b][1]=true&a[b][2]=x").expect("decodes")
        );
    }
}
