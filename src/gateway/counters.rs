//! The metrics of the request path, with every child looked up once, at start.

use std::time::Duration;

use crate::domain::catalogue::{Catalogue, Report};
use crate::domain::route::RouteId;
use crate::domain::usage::Draw;
use crate::metrics::METRICS;
use crate::metrics::hot::{HotCounter, HotGauge, HotHistogram};
use crate::problem::Code;

/// Children by position in the catalogue.
pub(super) struct Counters {
    /// The last one is for requests that match no route.
    routes: Vec<RouteCounters>,
    /// By code, in the order of [`Code::ALL`].
    refusals: Vec<HotCounter>,
    /// By meter: recorded, and not sealed yet.
    recorded: Vec<[HotGauge; 2]>,
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
            report: catalogue.report,
            refusals: Code::ALL
                .iter()
                .map(|code| METRICS.refusals.with_label_values(&[code.as_str()]))
                .collect(),
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

    /// Counts what Stripe shall hear of: `sign` is 1 for a charge, -1 for its correction.
    pub fn recorded(&self, draws: &[Draw], sign: i64) {
        for draw in draws {
            let [included, overage] =
                [draw.included, draw.overage].map(|units| i64::try_from(units).unwrap_or(i64::MAX));
            let units = sign * self.report.reportable(included, overage);
            self.recorded[draw.meter.index()].iter().for_each(|gauge| gauge.add(units));
        }
    }
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
