//! Numbers out of `/metrics` (Prometheus' text format, version 0.0.4), which every node counts for itself.

use std::collections::BTreeMap;

/// Samples by name.
pub struct Figures(BTreeMap<String, Vec<(Labels, i64)>>);

type Labels = BTreeMap<String, String>;

impl Figures {
    pub fn parse(text: &str) -> Self {
        let mut all: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (name, labels, value) in text.lines().filter_map(sample) {
            all.entry(name.to_owned()).or_default().push((labels, value));
        }
        Self(all)
    }

    /// Of a metric without labels, or of all its labels together.
    pub fn sum(&self, name: &str) -> i64 {
        self.samples(name).map(|(_, value)| *value).fold(0, i64::saturating_add)
    }

    /// Sums by one label, the greatest first; what is zero is left out.
    pub fn by<'a>(&'a self, name: &'a str, label: &'a str) -> Vec<(&'a str, i64)> {
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for (labels, value) in self.samples(name) {
            let of = labels.get(label).map_or("", String::as_str);
            let sum = sums.entry(of).or_default();
            *sum = sum.saturating_add(*value);
        }
        let mut sums: Vec<_> = sums.into_iter().filter(|(_, value)| *value != 0).collect();
        sums.sort_by(|(_, one), (_, other)| other.cmp(one));
        sums
    }

    /// Sums by two labels.
    pub fn by_two(&self, name: &str, (rows, columns): (&str, &str)) -> BTreeMap<&str, BTreeMap<&str, i64>> {
        let mut sums: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
        for (labels, value) in self.samples(name).filter(|(_, value)| *value != 0) {
            let of = |label| labels.get(label).map_or("", String::as_str);
            let sum = sums.entry(of(rows)).or_default().entry(of(columns)).or_default();
            *sum = sum.saturating_add(*value);
        }
        sums
    }

    fn samples(&self, name: &str) -> impl Iterator<Item = &(Labels, i64)> {
        self.0.get(name).into_iter().flatten()
    }
}

/// `name{label="value"} 1`; what has a fraction is no count and passed over.
fn sample(line: &str) -> Option<(&str, Labels, i64)> {
    if line.starts_with('#') {
        return None;
    }
    let (named, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let (name, labels) = named.split_once('{').unwrap_or((named, ""));
    let name = name.strip_prefix("tollgate_")?;
    Some((name, read_labels(labels), value))
}

fn read_labels(mut rest: &str) -> Labels {
    let mut labels = Labels::new();
    while let Some((name, quoted)) = rest.split_once("=\"") {
        let (mut value, mut letters, mut end) = (String::new(), quoted.char_indices(), quoted.len());
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match letters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped)) => value.push(escaped),
                    None => {}
                },
                plain => value.push(plain),
            }
        }
        labels.insert(name.trim_start_matches(',').to_owned(), value);
        rest = &quoted[end..];
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP tollgate_units_total units
# TYPE tollgate_units_total counter
tollgate_units_total{drawn=\"included\",meter=\"calls\",tier=\"pro\"} 40
tollgate_units_total{drawn=\"overage\",meter=\"calls\",tier=\"pro\"} 2
tollgate_units_total{drawn=\"included\",meter=\"calls\",tier=\"free\"} 8
tollgate_units_total{drawn=\"included\",meter=\"odd \\\"}, {\\n\",tier=\"free\"} 1
tollgate_outbox_pending 3
tollgate_request_seconds_sum{route=\"/\"} 0.25
process_open_fds 9
";

    #[test]
    fn samples_are_added_up_by_their_labels() {
        let figures = Figures::parse(TEXT);
        assert_eq!(figures.sum("outbox_pending"), 3);
        assert_eq!((figures.sum("units_total"), figures.sum("request_seconds_sum")), (51, 0));
        assert_eq!(figures.by("units_total", "tier"), [("pro", 42), ("free", 9)]);
        let two = figures.by_two("units_total", ("meter", "drawn"));
        assert_eq!((two["calls"]["included"], two["calls"]["overage"]), (48, 2));
        assert_eq!(two["odd \"}, {\n"]["included"], 1, "{two:?}");
        assert!(Figures::parse("x{ y{a=\"\\").by("y", "a").is_empty());
    }
}
