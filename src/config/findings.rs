//! What was found while reading: mistakes and warnings, each at a place, before anybody shows them.

use std::ops::Range;

/// Where a value, key or table stands in the text, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The dotted path from the root, such as `routes[0].cost`; empty for the root.
    pub key: String,
    /// Bytes of the text; empty where there is nothing to point at.
    pub span: Range<usize>,
}

impl Place {
    /// A key of the table at this place, pointing at the table for want of anything better.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self { key: join(&self.key, name), span: self.span.clone() }
    }
}

/// The path of a key in a table.
pub(crate) fn join(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub value: T,
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Error,
    Warning,
}

#[derive(Debug)]
pub(crate) struct Finding {
    pub weight: Weight,
    pub place: Place,
    pub what: String,
    pub help: String,
}

/// Everything found in one file.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub list: Vec<Finding>,
    /// Bytes of the text that must not be shown.
    pub masked: Vec<Range<usize>>,
    /// The text is no TOML: nothing is known of what stands where.
    pub syntax: bool,
}

impl Findings {
    pub(crate) fn error(&mut self, place: &Place, what: impl Into<String>, help: impl Into<String>) {
        self.add(Weight::Error, place, what.into(), help.into());
    }

    pub(crate) fn warning(&mut self, place: &Place, what: impl Into<String>, help: impl Into<String>) {
        self.add(Weight::Warning, place, what.into(), help.into());
    }

    /// Whether something is wrong with what has this path: then it is there, and not missing.
    pub(crate) fn is_wrong(&self, key: &str) -> bool {
        self.list.iter().any(|finding| finding.weight == Weight::Error && finding.place.key == key)
    }

    fn add(&mut self, weight: Weight, place: &Place, what: String, help: String) {
        self.list.push(Finding { weight, place: place.clone(), what, help });
    }
}

/// The known name that was probably meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let tolerated = name.chars().count().div_ceil(3);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What to write instead of an unknown name.
pub(crate) fn suggestion(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => "leave it out".into(),
        None => format!("known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["listen", "threads", "data_dir"];
        assert_eq!(nearest("listn", known), Some("listen"));
        assert_eq!(nearest("data-dir", known), Some("data_dir"));
        assert_eq!(nearest("fleet", known), None);
        assert_eq!(nearest("", known), None);
    }
}
