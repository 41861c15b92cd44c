//! Units and the meters that count them.

use std::sync::Arc;

use smallvec::SmallVec;

/// The number of a meter: its position in the first configuration that had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterId(pub u16);

impl MeterId {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What counts units: `[meters.NAME]`, and the name of its events at Stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    pub name: Arc<str>,
    pub stripe_event_name: Arc<str>,
}

/// What one request on a route costs: units by meter, ordered by meter, zeros left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost(SmallVec<[(MeterId, u64); 2]>);

impl Cost {
    pub fn new(units: impl IntoIterator<Item = (MeterId, u64)>) -> Self {
        let mut parts: SmallVec<_> = units.into_iter().filter(|(_, n)| *n > 0).collect();
        parts.sort_unstable_by_key(|(meter, _)| *meter);
        Self(parts)
    }

    /// A free route: nothing is drawn, recorded or shown.
    pub fn is_free(&self) -> bool {
        self.0.is_empty()
    }

    /// Units of one meter.
    pub fn of(&self, meter: MeterId) -> u64 {
        self.iter().find(|(known, _)| *known == meter).map_or(0, |(_, units)| units)
    }

    pub fn iter(&self) -> impl Iterator<Item = (MeterId, u64)> + '_ {
        self.0.iter().copied()
    }
}
