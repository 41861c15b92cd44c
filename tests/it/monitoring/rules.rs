//! The alert rules as a text: each says what to do, and is tried.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::names::{OF_PROMETHEUS, Shown, grouped, named};

const RULES: &str = "deploy/prometheus/alerts.yml";
const TESTS: &str = "deploy/prometheus/alerts_test.yml";

pub fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// One alert: its name, and its lines.
pub struct Alert {
    pub name: String,
    pub text: String,
}

impl Alert {
    /// The value of a key of one line, at any depth.
    fn value(&self, key: &str) -> Option<&str> {
        let before = format!("{key}: ");
        let line = self.text.lines().find_map(|line| line.trim().strip_prefix(&before));
        line.map(|value| value.trim_matches('"'))
    }

    /// Its expression alone.
    fn expression(&self) -> &str {
        let from = self.text.find("expr:").expect("an expression");
        let to = self.text[from..].find(" labels: {").expect("labels behind it");
        &self.text[from..from + to]
    }
}

pub fn alerts() -> Vec<Alert> {
    let rules = read(RULES);
    let alerts = rules.split("- alert: ").skip(1).map(|text| {
        let text = text.split("- record: ").next().unwrap_or(text).to_owned();
        Alert { name: text.lines().next().unwrap_or_default().to_owned(), text }
    });
    let alerts: Vec<_> = alerts.collect();
    assert!(alerts.len() > 20, "only {} alerts were found in {RULES}", alerts.len());
    alerts
}

/// The queries of the tests, by whether something is expected of them.
fn tried(loud: bool) -> Vec<String> {
    let tests = read(TESTS);
    let queries = tests.split("expr: '").skip(1);
    let of_kind = queries.filter(|query| {
        let expected = query.split_once("exp_samples:").map_or("", |(_, expected)| expected.trim_start());
        expected.starts_with("[]") != loud
    });
    of_kind.filter_map(|query| query.split('\'').next()).map(str::to_owned).collect()
}

#[test]
fn every_alert_is_tried_where_it_rings_and_where_it_does_not() {
    let known: BTreeSet<_> = alerts().into_iter().map(|alert| alert.name).collect();
    for loud in [true, false] {
        let queries = tried(loud);
        let untried: Vec<_> = known
            .iter()
            .filter(|name| !queries.iter().any(|query| query.contains(&format!("\"{name}\""))))
            .collect();
        assert!(untried.is_empty(), "{TESTS} has no query that expects this to be {loud}: {untried:?}");
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    for alert in alerts() {
        let name = &alert.name;
        assert!(name.starts_with("Tollgate"), "{name}: alerts of others have other names");
        assert!(
            ["{ severity: critical }", "{ severity: warning }"]
                .contains(&alert.value("labels").unwrap_or("")),
            "{name}: is it critical, or a warning?"
        );
        assert!(alert.value("summary").is_some_and(|summary| !summary.is_empty()), "{name}: no summary");
        assert!(alert.text.contains("description: >-"), "{name}: no description");
        let runbook = alert.value("runbook").unwrap_or_else(|| panic!("{name}: no runbook"));
        assert!(Path::new(runbook).is_file(), "{name}: there is no {runbook}");
    }
}

#[test]
fn the_page_of_monitoring_has_every_alert() {
    let page = read("docs/monitoring.md");
    for alert in alerts() {
        let runbook = alert.value("runbook").and_then(|path| path.rsplit('/').next()).expect("a runbook");
        let severity = alert.value("labels").unwrap_or_default().trim_matches(['{', '}', ' ']).to_owned();
        let begins = format!("| `{}` | {} |", alert.name, severity.replace("severity: ", ""));
        let ends = format!("](runbooks/{runbook}) |");
        let row = page.lines().find(|line| line.starts_with(&begins));
        assert!(row.is_some_and(|row| row.ends_with(&ends)), "no row {begins} … {ends}");
    }
}

#[test]
fn every_shipped_gateway_asks_its_upstreams_whether_they_are_well() {
    for path in [
        "config/demo.toml",
        "deploy/compose/tollgate.toml",
        "deploy/fleet/tollgate.toml",
        "deploy/kubernetes/tollgate.toml",
    ] {
        let config: toml::Table = read(path).parse().expect("TOML");
        let upstreams = config["upstreams"].as_table().expect("upstreams");
        for (name, upstream) in upstreams {
            assert!(
                upstream.get("health_check").is_some(),
                "{path}: TollgateUpstreamDown cannot ring for {name}"
            );
        }
    }
}

/// The labels that a template may name, from what the expression leaves of them.
pub fn lacking_labels(alert: &Alert, shown: &Shown) -> Vec<String> {
    let expression = alert.expression();
    let left = grouped(expression);
    let has = |label: &str| {
        let of_metrics = named(expression);
        let mut all = of_metrics.iter().flat_map(|named| shown.labels(&named.metric)).chain(OF_PROMETHEUS);
        all.any(|known| known == label)
    };
    let is_left = |label: &str| if expression.contains("by (") { left.contains(label) } else { has(label) };
    let asked = alert.text.split("$labels.").skip(1);
    let asked = asked.map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next());
    let mut lacking: Vec<_> = asked
        .flatten()
        .filter(|label| !is_left(label))
        .map(|label| format!("{}: the alert has no label {label}", alert.name))
        .collect();
    let unknown = left.iter().filter(|label| *label != "le" && !has(label));
    lacking.extend(unknown.map(|label| format!("{}: its metrics have no label {label}", alert.name)));
    lacking
}
