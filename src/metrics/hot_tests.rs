use std::thread;

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Registry, TextEncoder,
};
use proptest::prelude::*;

use super::*;

/// Bounds in seconds as prometheus takes them, and the same in microseconds.
const SECONDS: &[f64] = &[0.000_005, 0.000_25, 0.001, 0.002_5, 0.01, 0.5, 2.5, 30.0];
const MICROS: &[u64] = &[5, 250, 1_000, 2_500, 10_000, 500_000, 2_500_000, 30_000_000];

fn opts(name: &str) -> Opts {
    Opts::new(name, "What it \\ says.")
}

fn text(collectors: Vec<Box<dyn Collector>>) -> String {
    let registry = Registry::new_custom(Some("tollgate".into()), None).expect("a prefix");
    for collector in collectors {
        registry.register(collector).expect("once");
    }
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).expect("encodes");
    String::from_utf8(text).expect("text")
}

/// The same times as prometheus' histograms and as ours show them.
fn both(times: &[(&str, u64)]) -> (String, String) {
    let theirs =
        HistogramVec::new(HistogramOpts::from(opts("seconds")).buckets(SECONDS.to_vec()), &["route"]);
    let theirs = theirs.expect("declares");
    let ours: HotHistogramVec =
        family(opts("seconds"), &["route"], Bounds::from_micros(MICROS)).expect("declares");
    for (route, nanos) in times {
        let time = Duration::from_nanos(*nanos);
        theirs.with_label_values(&[route]).observe(time.as_secs_f64());
        ours.with_label_values(&[route]).observe(time);
    }
    (text(vec![Box::new(theirs)]), text(vec![Box::new(ours)]))
}

/// Around a bound, or anywhere.
fn nanos() -> impl Strategy<Value = u64> {
    let bound = (proptest::sample::select(MICROS), 0_u64..3).prop_map(|(bound, off)| bound * 1_000 + off - 1);
    prop_oneof![bound, 0_u64..2_000_000, 0_u64..40_000_000_000]
}

fn route() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&["/", "/a/{b}", "quote \" and \\", "none"][..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_histogram_reads_as_prometheus_own(times in proptest::collection::vec((route(), nanos()), 0..200)) {
        // Their sum is one of floats: it comes out otherwise in its last digits.
        let without_sums = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.contains("_sum")).map(str::to_owned).collect()
        };
        let (theirs, ours) = both(&times);
        prop_assert_eq!(without_sums(&theirs), without_sums(&ours));
        prop_assert_eq!(theirs.lines().count(), ours.lines().count());
    }

    #[test]
    fn a_histogram_with_sums_reads_as_prometheus_own(
        times in proptest::collection::vec((route(), 0_u64..20_000), 1..200),
    ) {
        // 512ths of a second are exact in both.
        let times: Vec<_> = times.into_iter().map(|(route, n)| (route, n * 1_953_125)).collect();
        let (theirs, ours) = both(&times);
        prop_assert_eq!(theirs, ours);
    }

    #[test]
    fn counters_and_gauges_read_as_prometheus_own(
        counted in proptest::collection::vec((route(), any::<bool>(), 0_u64..1 << 40, -1_i64 << 40..1 << 40), 0..50),
    ) {
        let theirs = (
            IntCounterVec::new(opts("counts"), &["z", "a"]).expect("declares"),
            IntGaugeVec::new(opts("levels"), &["route"]).expect("declares"),
            IntCounter::with_opts(opts("count")).expect("declares"),
        );
        let ours: (HotCounterVec, HotGaugeVec, HotCounter) = (
            family(opts("counts"), &["z", "a"], ()).expect("declares"),
            family(opts("levels"), &["route"], ()).expect("declares"),
            single(opts("count"), ()).expect("declares"),
        );
        for (route, set, count, difference) in &counted {
            theirs.0.with_label_values(&[*route, "last"]).inc_by(*count);
            ours.0.with_label_values(&[*route, "last"]).inc_by(*count);
            let (their_gauge, our_gauge) = (theirs.1.with_label_values(&[route]), ours.1.with_label_values(&[route]));
            if *set {
                their_gauge.set(*difference);
                our_gauge.set(*difference);
            } else {
                their_gauge.add(*difference);
                our_gauge.add(*difference);
            }
            prop_assert_eq!(their_gauge.get(), our_gauge.get());
            theirs.2.inc();
            ours.2.inc();
        }
        prop_assert_eq!(theirs.2.get(), ours.2.get());
        let theirs = text(vec![Box::new(theirs.0), Box::new(theirs.1), Box::new(theirs.2)]);
        let ours = text(vec![Box::new(ours.0), Box::new(ours.1), Box::new(ours.2)]);
        prop_assert_eq!(theirs, ours);
    }
}

#[test]
fn threads_add_to_the_same_metrics() {
    let counter: HotCounter = single(opts("count"), ()).expect("declares");
    let gauge: HotGauge = single(opts("level"), ()).expect("declares");
    let times: HotHistogram = single(opts("seconds"), Bounds::from_micros(&[1])).expect("declares");
    thread::scope(|scope| {
        for thread in 0..64 {
            let (counter, gauge, times) = (counter.clone(), gauge.clone(), times.clone());
            scope.spawn(move || {
                for _ in 0..1_000 {
                    counter.inc();
                    gauge.add(if thread % 2 == 0 { 2 } else { -3 });
                    times.observe(Duration::from_nanos(500 + thread % 2 * 501));
                }
            });
        }
    });
    assert_eq!((counter.get(), gauge.get()), (64_000, -32_000));
    let text = text(vec![Box::new(times)]);
    let shown: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!(
        shown,
        [
            "tollgate_seconds_bucket{le=\"0.000001\"} 32000",
            "tollgate_seconds_bucket{le=\"+Inf\"} 64000",
            "tollgate_seconds_sum 0.048032",
            "tollgate_seconds_count 64000",
        ]
    );
}
