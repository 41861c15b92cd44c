//! The metrics of the request path, with every child looked up once, at start.

use std::time::Duration;

use crate::domain::catalogue::{Catalogue, Report};
use crate::domain::measure::Truth;
use crate::domain::route::RouteId;
use crate::domain::usage::{Change, Draw};
use crate::metrics::hot::{HotCounter, HotCounterVec, HotGauge, HotHistogram};
use crate::metrics::{MEASURED, METRICS};
use crate::problem::Code;

/// Children by position in the catalogue.
pub(super) struct Counters {
    /// The last one is for requests that match no route.
    routes: Vec<RouteCounters>,
    /// By code, in the order of [`Code::ALL`].
    refusals: Vec<HotCounter>,
    /// The same of what was served all the same.
    shadow_refusals: Vec<HotCounter>,
    /// By meter: recorded, and not sealed yet.
    recorded: Vec<[HotGauge; 2]>,
    /// Measures that told, that were cut, that told nothing.
    measures: [HotCounter; 3],
    report: Report,
}

struct RouteCounters {
    by_class: [HotCounter; 5],
    seconds: HotHistogram,
}

impl Counters {
    pub fn new(catalogue: &Catalogue) -> Self {
        let patterns = catalogue.routes.by_number().iter().map(|route| &*route.pattern).chain(["none"]);
        Self {
            routes: patterns.map(RouteCounters::new).collect(),
            recorded: catalogue.meters.by_number().iter().map(|meter| recorded(&meter.name)).collect(),
            measures: MEASURED.map(|outcome| METRICS.measures.with_label_values(&[outcome])),
            report: catalogue.report,
            refusals: by_code(&METRICS.refusals),
            shadow_refusals: by_code(&METRICS.shadow_refusals),
        }
    }

    pub fn answered(&self, route: Option<RouteId>, status: u16, took: Duration) {
        let route = route.map_or(self.routes.len() - 1, RouteId::index);
        let counters = &self.routes[route];
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        counters.by_class[class].inc();
        counters.seconds.observe(took);
    }

    pub fn refused(&self, code: Code) {
        self.refusals[code.index()].inc();
    }

    pub fn refused_in_shadow(&self, code: Code) {
        self.shadow_refusals[code.index()].inc();
    }

    /// Counts what Stripe shall hear of: `sign` is 1 for a charge, -1 for its correction.
    pub fn recorded(&self, draws: &[Draw], sign: i64) {
        for draw in draws {
            let [included, overage] =
                [draw.included, draw.overage].map(|units| i64::try_from(units).unwrap_or(i64::MAX));
            let units = sign * self.report.reportable(included, overage);
            self.recorded[draw.meter.index()].iter().for_each(|gauge| gauge.add(units));
        }
    }

    /// Counts what the truth of an estimate changes.
    pub fn corrected(&self, changes: &[Change]) {
        for change in changes {
            let units = self.report.reportable(change.included, change.overage);
            self.recorded[change.meter.index()].iter().for_each(|gauge| gauge.add(units));
        }
    }

    /// Counts what a measure has told.
    pub fn measured(&self, truth: Truth) {
        let [told, capped, missing] = &self.measures;
        match truth {
            Truth::Known(_) => told.inc(),
            Truth::Cut(units) => {
                capped.inc();
                tracing::warn!(units, "an exchange cost more than its measure's `most`: it is charged that");
            }
            Truth::Untold(_) => missing.inc(),
        }
    }
}

fn by_code(family: &HotCounterVec) -> Vec<HotCounter> {
    Code::ALL.iter().map(|code| family.with_label_values(&[code.as_str()])).collect()
}

fn recorded(meter: &str) -> [HotGauge; 2] {
    [&METRICS.recorded_units, &METRICS.unsealed_units].map(|family| family.with_label_values(&[meter]))
}

impl RouteCounters {
    fn new(pattern: &str) -> Self {
        let class = |class: &str| METRICS.requests.with_label_values(&[pattern, class]);
        Self {
            by_class: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
            seconds: METRICS.request_seconds.with_label_values(&[pattern]),
        }
    }
}
