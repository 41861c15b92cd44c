//! A filter of a list by time: `created=…`, `created[gte]=…` and its like.

use super::error::ApiError;
use super::params::Params;

/// A filter such as `created[gte]=…` or `created=…`; both bounds belong to it.
#[derive(Debug, PartialEq, Eq)]
pub struct Span {
    first: i64,
    last: i64,
}

impl Span {
    pub fn read(params: &Params, name: &str) -> Result<Self, ApiError> {
        if let Some(exact) = params.integer(name)? {
            return Ok(Self { first: exact, last: exact });
        }
        let mut span = Self { first: i64::MIN, last: i64::MAX };
        let Some(group) = params.group(name) else {
            return Ok(span);
        };
        if let Some(bound) = group.integer("gte")? {
            span.first = span.first.max(bound);
        }
        if let Some(bound) = group.integer("gt")? {
            span.first = span.first.max(bound.saturating_add(1));
        }
        if let Some(bound) = group.integer("lte")? {
            span.last = span.last.min(bound);
        }
        if let Some(bound) = group.integer("lt")? {
            span.last = span.last.min(bound.saturating_sub(1));
        }
        Ok(span)
    }

    pub fn contains(&self, at: i64) -> bool {
        (self.first..=self.last).contains(&at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_a_filter_include_or_exclude_as_named() {
        let span = |raw: &str| {
            Span::read(&Params::decode(raw).expect("well-formed"), "created").expect("well-formed")
        };
        assert_eq!(span("created[gte]=5&created[lt]=9"), Span { first: 5, last: 8 });
        assert_eq!(span("created[gt]=5&created[lte]=9"), Span { first: 6, last: 9 });
        assert_eq!(span("created=7"), Span { first: 7, last: 7 });
        assert!(span("").contains(0));
    }
}
