//! Accepted meter events, added up.
//!
//! Events are folded into one bucket per meter, customer and second, so that a customer's sum over any
//! span is a range of a map and nothing grows with the number of events but the memory of identifiers,
//! which is kept for 24 h. Sums are exact integers.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::meters::Formula;

/// Stripe enforces uniqueness of identifiers "within a rolling period of at least 24 hours".
const REMEMBERED_SECONDS: i64 = 24 * 60 * 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    pub units: u64,
    pub events: u64,
    /// Events rejected for an identifier that was known; of a total only.
    pub duplicates: u64,
    /// The last value of the second; `None` once that event was cancelled.
    last: Option<u64>,
}

/// All events of one customer on one meter.
#[derive(Debug, Default)]
struct Series {
    seconds: BTreeMap<i64, Bucket>,
    total: Bucket,
}

/// An accepted event, as long as its identifier is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub meter: String,
    pub customer: String,
    pub timestamp: i64,
    pub value: u64,
}

#[derive(Debug, Default)]
pub struct Usage {
    /// By meter, then by customer.
    series: HashMap<String, HashMap<String, Series>>,
    receipts: HashMap<String, Receipt>,
    received: VecDeque<(i64, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    Duplicate,
    /// The customer's sum would leave the range of exact integers.
    TooLarge,
}

impl Usage {
    pub fn accept(&mut self, identifier: &str, receipt: Receipt, now: i64) -> Result<(), Rejected> {
        self.forget_old(now);
        let customers = self.series.entry(receipt.meter.clone()).or_default();
        let series = customers.entry(receipt.customer.clone()).or_default();
        if self.receipts.contains_key(identifier) {
            series.total.duplicates += 1;
            return Err(Rejected::Duplicate);
        }
        let units = series.total.units.checked_add(receipt.value).ok_or(Rejected::TooLarge)?;
        series.total.units = units;
        series.total.events += 1;
        let bucket = series.seconds.entry(receipt.timestamp).or_default();
        bucket.units += receipt.value;
        bucket.events += 1;
        bucket.last = Some(receipt.value);
        self.receipts.insert(identifier.to_owned(), receipt);
        self.received.push_back((now, identifier.to_owned()));
        Ok(())
    }

    /// Takes an event back; `None` if its identifier is not remembered. The identifier stays used.
    pub fn cancel(&mut self, identifier: &str, now: i64) -> Option<Receipt> {
        self.forget_old(now);
        let receipt = self.receipts.get_mut(identifier)?;
        let cancelled = receipt.clone();
        receipt.value = 0;
        let series = self.series.get_mut(&cancelled.meter)?.get_mut(&cancelled.customer)?;
        let bucket = series.seconds.get_mut(&cancelled.timestamp)?;
        if cancelled.value > 0 {
            bucket.units -= cancelled.value;
            bucket.events -= 1;
            bucket.last = bucket.last.filter(|last| *last != cancelled.value);
            series.total.units -= cancelled.value;
            series.total.events -= 1;
        }
        Some(cancelled)
    }

    /// A customer's aggregate over `[start, end)`; `None` if nothing was recorded there.
    pub fn aggregate(
        &self,
        meter: &str,
        customer: &str,
        formula: Formula,
        start: i64,
        end: i64,
    ) -> Option<u64> {
        if start >= end {
            return None;
        }
        let series = self.series.get(meter)?.get(customer)?;
        let mut buckets = series.seconds.range(start..end).map(|(_, bucket)| bucket);
        let recorded = |bucket: &&Bucket| bucket.events > 0;
        match formula {
            Formula::Last => buckets.rev().find_map(|bucket| bucket.last),
            Formula::Sum => buckets.filter(recorded).map(|bucket| bucket.units).reduce(|a, b| a + b),
            Formula::Count => {
                buckets.by_ref().filter(recorded).map(|bucket| bucket.events).reduce(|a, b| a + b)
            }
        }
    }

    /// The windows of `width` seconds within `[start, end)` in which anything was recorded, ascending.
    pub fn windows(&self, meter: &str, customer: &str, start: i64, end: i64, width: i64) -> Vec<i64> {
        let series = self.series.get(meter).and_then(|customers| customers.get(customer));
        let Some(series) = series.filter(|_| start < end) else {
            return Vec::new();
        };
        let recorded = series.seconds.range(start..end).filter(|(_, bucket)| bucket.events > 0);
        let mut windows: Vec<i64> = recorded.map(|(second, _)| second.div_euclid(width) * width).collect();
        windows.dedup();
        windows
    }

    /// Sum and number of all events, by meter and customer.
    pub fn totals(&self) -> impl Iterator<Item = (&str, &str, Bucket)> {
        self.series.iter().flat_map(|(meter, customers)| {
            customers.iter().map(move |(customer, series)| (meter.as_str(), customer.as_str(), series.total))
        })
    }

    fn forget_old(&mut self, now: i64) {
        while let Some((received, _)) = self.received.front() {
            if now - received < REMEMBERED_SECONDS {
                return;
            }
            if let Some((_, identifier)) = self.received.pop_front() {
                self.receipts.remove(&identifier);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(timestamp: i64, value: u64) -> Receipt {
        Receipt { meter: "m".into(), customer: "c".into(), timestamp, value }
    }

    #[test]
    fn an_identifier_counts_once_for_a_day_and_again_after_it() {
        let mut usage = Usage::default();
        assert_eq!(usage.accept("a", event(0, 5), 0), Ok(()));
        let next = usage.accept("a", event(0, 5), REMEMBERED_SECONDS - 1);
        assert_eq!(next, Err(Rejected::Duplicate));
        assert_eq!(usage.accept("a", event(0, 5), REMEMBERED_SECONDS), Ok(()));
        assert_eq!(usage.aggregate("m", "c", Formula::Sum, 0, 1), Some(10));
    }

    #[test]
    fn a_span_includes_its_start_and_excludes_its_end() {
        let mut usage = Usage::default();
        for (second, value) in [(59, 1), (60, 2), (119, 4), (120, 8)] {
            usage.accept(&format!("e{second}"), event(second, value), 200).expect("accepted");
        }
        assert_eq!(usage.aggregate("m", "c", Formula::Sum, 60, 120), Some(6));
        assert_eq!(usage.aggregate("m", "c", Formula::Count, 60, 120), Some(2));
        assert_eq!(usage.aggregate("m", "c", Formula::Last, 0, 120), Some(4));
        assert_eq!(usage.aggregate("m", "c", Formula::Sum, 300, 400), None);
        assert_eq!(usage.windows("m", "c", 0, 180, 60), [0, 60, 120]);
    }

    #[test]
    fn a_cancelled_event_no_longer_counts_and_stays_used() {
        let mut usage = Usage::default();
        usage.accept("a", event(0, 5), 0).expect("accepted");
        usage.accept("b", event(0, 7), 0).expect("accepted");
        assert_eq!(usage.cancel("a", 1), Some(event(0, 5)));
        assert_eq!(usage.aggregate("m", "c", Formula::Sum, 0, 1), Some(7));
        assert_eq!(usage.accept("a", event(0, 5), 2), Err(Rejected::Duplicate));
        usage.cancel("a", 3);
        assert_eq!(usage.aggregate("m", "c", Formula::Sum, 0, 1), Some(7));
        assert_eq!(usage.cancel("never", 1), None);
    }

    #[test]
    fn a_sum_never_wraps() {
        let mut usage = Usage::default();
        usage.accept("a", event(0, u64::MAX), 0).expect("accepted");
        assert_eq!(usage.accept("b", event(0, 1), 0), Err(Rejected::TooLarge));
        assert_eq!(usage.aggregate("m", "c", Formula::Sum, 0, 1), Some(u64::MAX));
    }
}
