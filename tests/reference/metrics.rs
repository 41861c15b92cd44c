//! Every metric that is declared.

use tollgate::metrics::{Described, Metrics};

use crate::{Written as _, assert_page, cell, heading};

const ABOUT: &str = "\
`GET /metrics` on the admin port, in Prometheus' text format, without a token. Every metric is there from the
start, at zero; no label holds a customer, a path or anything else without a bound. `route` is a route's
pattern, or `none`; `tier`, `meter` and `upstream` are names of the configuration; `code` is one of [the
errors](errors.md). The process's own (`process_cpu_seconds_total`, `process_resident_memory_bytes`, …) are
there as well. A histogram has `_bucket`, `_sum` and `_count`, in seconds.
";

#[test]
fn the_page_of_metrics_is_what_the_code_declares() {
    let mut page = heading("Metrics", "src/metrics.rs", ABOUT);
    page.push_str("\n| name | type | labels | meaning |\n|---|---|---|---|\n");
    for metric in Metrics::described() {
        let (kind, labels, about) = (kind(metric), labels(metric), cell(metric.about));
        page.add(&format!("| `{}` | {kind} | {labels} | {about} |\n", metric.name));
    }
    assert_page("docs/reference/metrics.md", &page);
}

fn kind(metric: &Described) -> &'static str {
    ["counter", "gauge", "histogram"]
        .into_iter()
        .find(|kind| metric.kind.trim_end_matches('s').ends_with(kind))
        .unwrap_or_else(|| panic!("{}: what does {} make?", metric.name, metric.kind))
}

/// Labels are the literals among the arguments.
fn labels(metric: &Described) -> String {
    let quoted = metric.shape.split('"').skip(1).step_by(2);
    quoted.map(|label| format!("`{label}`")).collect::<Vec<_>>().join(" ")
}
