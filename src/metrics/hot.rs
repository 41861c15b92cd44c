//! The metrics of the request path: counted in [`Cells`], shown through the same registry as all others.
//!
//! # What it promises
//!
//! - Counting costs a few nanoseconds and shares no cache line with another core.
//! - What is shown is what prometheus' own types show for the same observations; times are added up in whole
//!   nanoseconds. A scrape that meets a request may show part of what it counts, the rest with the next one; a
//!   histogram's buckets and count always fit each other.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc, Describer, Metric, MetricVec, MetricVecBuilder, Number};
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};
use prometheus::{Error, Opts};

use crate::sharded::Cells;

pub type HotCounter = Child<Counter>;
pub type HotGauge = Child<Gauge>;
pub type HotHistogram = Child<Histogram>;
pub type HotCounterVec = MetricVec<Family<Counter>>;
pub type HotGaugeVec = MetricVec<Family<Gauge>>;
pub type HotHistogramVec = MetricVec<Family<Histogram>>;

/// What only grows.
#[derive(Clone)]
pub struct Counter(Cells);

/// What grows and shrinks, mostly by differences.
#[derive(Clone)]
pub struct Gauge(Cells);

/// Times by bucket.
#[derive(Clone)]
pub struct Histogram {
    /// The observations of each bucket, of those beyond the last bound, and the sum in nanoseconds.
    cells: Cells,
    bounds: Bounds,
}

/// The upper bounds of buckets in nanoseconds, included, in increasing order.
#[derive(Clone)]
pub struct Bounds(Arc<[u64]>);

/// A metric with its name and labels.
#[derive(Clone)]
pub struct Child<V> {
    value: V,
    about: Arc<About>,
}

struct About {
    desc: Desc,
    labels: Vec<LabelPair>,
}

/// What the children of a family have in common beside their name.
#[derive(Clone)]
pub struct Family<V: Value>(V::Shape);

/// What can be counted.
pub trait Value: Clone + Send + Sync {
    const TYPE: MetricType;
    type Shape: Clone + Send + Sync;

    /// At zero.
    fn new(shape: &Self::Shape) -> Self;
    fn show(&self, metric: &mut proto::Metric);
}

/// A metric without labels.
pub fn single<V: Value>(opts: Opts, shape: V::Shape) -> Result<Child<V>, Error> {
    family(opts, &[], shape)?.get_metric_with_label_values::<&str>(&[])
}

/// A metric with a child for each combination of label values.
pub fn family<V: Value>(opts: Opts, labels: &[&str], shape: V::Shape) -> Result<MetricVec<Family<V>>, Error> {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    MetricVec::create(V::TYPE, Family(shape), opts.variable_labels(labels))
}

impl Counter {
    #[inline]
    pub fn inc(&self) {
        self.0.add(0, 1);
    }

    #[inline]
    pub fn inc_by(&self, count: u64) {
        self.0.add(0, count);
    }

    pub fn get(&self) -> u64 {
        self.0.sum(0)
    }
}

impl Gauge {
    #[inline]
    pub fn add(&self, difference: i64) {
        self.0.add(0, difference.cast_unsigned());
    }

    /// Adds what is missing; what others add meanwhile may count or not, as with any gauge that is set.
    pub fn set(&self, value: i64) {
        /// Of two that set a gauge at once, each would add what is missing.
        static SETTING: Mutex<()> = Mutex::new(());
        let _one = SETTING.lock().unwrap_or_else(PoisonError::into_inner);
        self.add(value.wrapping_sub(self.get()));
    }

    pub fn get(&self) -> i64 {
        self.0.sum(0).cast_signed()
    }
}

impl Histogram {
    #[inline]
    pub fn observe(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.bounds.0.partition_point(|bound| *bound < nanos);
        self.cells.add(bucket, 1);
        self.cells.add(self.sum_at(), nanos);
    }

    #[inline]
    fn sum_at(&self) -> usize {
        self.bounds.0.len() + 1
    }
}

impl Bounds {
    pub fn from_micros(micros: &[u64]) -> Self {
        Self(micros.iter().map(|micros| micros * 1_000).collect())
    }
}

impl Value for Counter {
    const TYPE: MetricType = MetricType::COUNTER;
    type Shape = ();

    fn new((): &()) -> Self {
        Self(Cells::new(1))
    }

    fn show(&self, metric: &mut proto::Metric) {
        let mut counter = proto::Counter::default();
        counter.set_value(self.get().into_f64());
        metric.set_counter(counter);
    }
}

impl Value for Gauge {
    const TYPE: MetricType = MetricType::GAUGE;
    type Shape = ();

    fn new((): &()) -> Self {
        Self(Cells::new(1))
    }

    fn show(&self, metric: &mut proto::Metric) {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(self.get().into_f64());
        metric.set_gauge(gauge);
    }
}

impl Value for Histogram {
    const TYPE: MetricType = MetricType::HISTOGRAM;
    type Shape = Bounds;

    fn new(bounds: &Bounds) -> Self {
        Self { cells: Cells::new(bounds.0.len() + 2), bounds: bounds.clone() }
    }

    fn show(&self, metric: &mut proto::Metric) {
        let seconds = |nanos| Duration::from_nanos(nanos).as_secs_f64();
        let mut count = 0;
        let mut buckets = Vec::with_capacity(self.bounds.0.len());
        for (at, bound) in self.bounds.0.iter().enumerate() {
            count += self.cells.sum(at);
            let mut bucket = proto::Bucket::default();
            bucket.set_cumulative_count(count);
            bucket.set_upper_bound(seconds(*bound));
            buckets.push(bucket);
        }
        let mut histogram = proto::Histogram::default();
        histogram.set_sample_count(count + self.cells.sum(self.bounds.0.len()));
        histogram.set_sample_sum(seconds(self.cells.sum(self.sum_at())));
        histogram.set_bucket(buckets);
        metric.set_histogram(histogram);
    }
}

impl<V> Deref for Child<V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V: Value> Metric for Child<V> {
    fn metric(&self) -> proto::Metric {
        let mut metric = proto::Metric::from_label(self.about.labels.clone());
        self.value.show(&mut metric);
        metric
    }
}

impl<V: Value> Collector for Child<V> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.about.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.about.desc.fq_name.clone());
        family.set_help(self.about.desc.help.clone());
        family.set_field_type(V::TYPE);
        family.set_metric(vec![self.metric()]);
        vec![family]
    }
}

impl<V: Value> MetricVecBuilder for Family<V> {
    type M = Child<V>;
    type P = Opts;

    fn build<L: AsRef<str>>(&self, opts: &Opts, values: &[L]) -> Result<Child<V>, Error> {
        let desc = opts.describe()?;
        let mut labels: Vec<_> = desc.variable_labels.iter().zip(values).map(label).collect();
        labels.sort();
        Ok(Child { value: V::new(&self.0), about: Arc::new(About { desc, labels }) })
    }
}

fn label<L: AsRef<str>>((name, value): (&String, &L)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.clone());
    pair.set_value(value.as_ref().to_owned());
    pair
}

#[cfg(test)]
#[path = "hot_tests.rs"]
mod tests;
