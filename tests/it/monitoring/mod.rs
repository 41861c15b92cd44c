//! What operators watch: alerts and dashboards speak of metrics that exist, and of runbooks that are there.
//!
//! That the rules can be evaluated, and ring when they should, is for promtool and Prometheus: `tests/prometheus`.

mod names;
mod rules;
mod shown;
