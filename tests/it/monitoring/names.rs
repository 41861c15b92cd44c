//! The metrics and labels that a text of queries names, and those that a gateway shows.

use std::collections::{BTreeMap, BTreeSet};

/// A metric as a query names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub metric: String,
    /// Label, operator, value.
    pub matchers: Vec<(String, String, String)>,
}

/// Every `tollgate_…` and `process_…` of a text. Recorded series have a colon before or behind.
pub fn named(text: &str) -> Vec<Named> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
        if name.is_empty() {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        }
        at += name.len();
        let ours = name.starts_with("tollgate_") || name.starts_with("process_");
        if ours && !name.contains(':') {
            found.push(Named { metric: name.to_owned(), matchers: matchers(&text[at..]) });
        }
    }
    found
}

/// Those that follow at once, in braces. Braces within a value's quotes end nothing.
fn matchers(text: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let Some(mut rest) = text.strip_prefix('{') else { return found };
    while let Some(at) = rest.find(['=', '!']).filter(|at| !rest[..*at].contains('}')) {
        let label = rest[..at].trim_matches([' ', ',']).to_owned();
        let Some((operator, after)) = rest[at..].split_once('"') else { break };
        let Some((value, after)) = after.split_once('"') else { break };
        found.push((label, operator.to_owned(), value.to_owned()));
        rest = after;
    }
    found
}

/// The labels after every `by` and `ignoring`.
pub fn grouped(text: &str) -> BTreeSet<String> {
    let groups = ["by (", "by(", "ignoring (", "on ("].into_iter().flat_map(|word| {
        text.match_indices(word).filter_map(move |(at, _)| text[at + word.len()..].split(')').next())
    });
    groups.flat_map(|group| group.split(',')).map(|label| label.trim().to_owned()).collect()
}

/// What a gateway shows: of each metric its labels, with their values.
#[derive(Debug)]
pub struct Shown(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl Shown {
    /// From Prometheus' text format.
    pub fn read(text: &str) -> Self {
        let mut shown: BTreeMap<_, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let end = line.find(['{', ' ']).unwrap_or(line.len());
            let labels = shown.entry(line[..end].to_owned()).or_default();
            for (label, _, value) in matchers(&line[end..]) {
                labels.entry(label).or_default().insert(value);
            }
        }
        Self(shown)
    }

    pub fn labels(&self, metric: &str) -> impl Iterator<Item = &str> {
        self.0.get(metric).into_iter().flat_map(|labels| labels.keys().map(String::as_str))
    }

    /// What a query names and no gateway shows.
    pub fn lacks(&self, named: &Named) -> Vec<String> {
        let Named { metric, matchers } = named;
        let Some(labels) = self.0.get(metric) else { return vec![format!("there is no {metric}")] };
        let mut lacking = Vec::new();
        for (label, _, value) in matchers.iter().filter(|(label, ..)| !OF_PROMETHEUS.contains(&&**label)) {
            let Some(values) = labels.get(label) else {
                lacking.push(format!("{metric} has no label {label}"));
                continue;
            };
            let unknown = value.split('|').filter(|value| !value.contains('$') && !values.contains(*value));
            lacking.extend(unknown.map(|value| format!("{metric} has no {label}=\"{value}\": {values:?}")));
        }
        lacking
    }
}

/// Labels that Prometheus itself puts on what it scrapes.
pub const OF_PROMETHEUS: [&str; 2] = ["job", "instance"];

#[test]
fn a_query_is_taken_apart() {
    let found = named(
        r#"sum by (job, le) (rate(tollgate_a_bucket{x=~"one|t}o",y!="3"}[5m])) > job:tollgate_b:max / tollgate_c"#,
    );
    let matcher = |label: &str, operator: &str, value: &str| (label.into(), operator.into(), value.into());
    assert_eq!(
        found,
        [
            Named {
                metric: "tollgate_a_bucket".into(),
                matchers: vec![matcher("x", "=~", "one|t}o"), matcher("y", "!=", "3")],
            },
            Named { metric: "tollgate_c".into(), matchers: Vec::new() },
        ]
    );
    assert_eq!(grouped("sum by (job, le) (x)").into_iter().collect::<Vec<_>>(), ["job", "le"]);
}

#[test]
fn what_is_not_shown_is_lacking() {
    let shown = Shown::read("# HELP a b\ntollgate_a{x=\"one\",y=\"3\"} 1\ntollgate_a{x=\"two\",y=\"4\"} 1\n");
    let lacking = |query: &str| named(query).iter().flat_map(|named| shown.lacks(named)).count();
    assert_eq!(lacking(r#"tollgate_a{x=~"one|two",y="$y",job="j"}"#), 0);
    assert_eq!(lacking("tollgate_b"), 1);
    assert_eq!(lacking(r#"tollgate_a{z="one"}"#), 1);
    assert_eq!(lacking(r#"tollgate_a{x=~"one|three"}"#), 1);
}
