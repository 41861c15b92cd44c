//! Rules for headers: what is set, removed, or filled in where it is missing.

use std::sync::Arc;

/// `[headers]`, or a route's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    pub request: Changes,
    pub response: Changes,
}

/// What happens to the headers of one direction, in this order. Names are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub remove: Vec<Arc<str>>,
    pub set: Vec<(Arc<str>, Template)>,
    /// Where there is none.
    pub default: Vec<(Arc<str>, Template)>,
}

/// A value with places that each request fills in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(Arc<str>),
    Variable(Variable),
}

/// What is known of a request; nothing where it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The client's address.
    Client,
    Customer,
    Tier,
    RequestId,
    /// The route's pattern.
    Route,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("a value of a header is visible ASCII and spaces")]
    NotAscii,
    #[error("a brace is not closed, or not opened")]
    Brace,
    #[error("in braces stand client, customer, tier, request_id or route")]
    Unknown,
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(TemplateError::NotAscii);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, variable) = rest.split_at(at);
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            let (name, after) = variable
                .strip_prefix('{')
                .and_then(|rest| rest.split_once('}'))
                .ok_or(TemplateError::Brace)?;
            parts.push(Part::Variable(Variable::parse(name).ok_or(TemplateError::Unknown)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self(parts))
    }
}

impl Variable {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "client" => Self::Client,
            "customer" => Self::Customer,
            "tier" => Self::Tier,
            "request_id" => Self::RequestId,
            "route" => Self::Route,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_hold_what_is_known_of_a_request() {
        let text = |text: &str| Part::Text(text.into());
        for (written, parts) in [
            ("", Ok(vec![])),
            ("plain", Ok(vec![text("plain")])),
            ("{tier}", Ok(vec![Part::Variable(Variable::Tier)])),
            ("a {client}, b", Ok(vec![text("a "), Part::Variable(Variable::Client), text(", b")])),
            ("{nobody}", Err(TemplateError::Unknown)),
            ("{tier", Err(TemplateError::Brace)),
            ("tier}", Err(TemplateError::Brace)),
            ("{{tier}}", Err(TemplateError::Unknown)),
            ("a\r\nb", Err(TemplateError::NotAscii)),
            ("é", Err(TemplateError::NotAscii)),
        ] {
            assert_eq!(Template::parse(written), parts.map(Template), "{written}");
        }
    }
}
