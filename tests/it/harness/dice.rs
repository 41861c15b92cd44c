//! Chance that can be thrown again: every random test prints its seed, and takes it from `TOLLGATE_TEST_SEED`.

use std::str::FromStr;

/// A number from the environment, or what is usual.
pub fn setting<T: FromStr>(name: &str, usual: T) -> T {
    let Ok(asked) = std::env::var(name) else { return usual };
    asked.parse().unwrap_or_else(|_| panic!("{name}={asked} is no number"))
}

/// A generator of random numbers (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A new seed each time, printed; the same again with `TOLLGATE_TEST_SEED`.
    pub fn new(test: &str) -> Self {
        let seed = setting("TOLLGATE_TEST_SEED", uuid::Uuid::new_v4().as_u64_pair().0);
        eprintln!("{test}: TOLLGATE_TEST_SEED={seed}");
        Self(seed)
    }

    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, not including, `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end as u64).expect("below a usize")
    }

    /// True in so many of 100 cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
