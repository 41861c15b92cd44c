//! Values that are replaced while all read them, such as what a configuration says.
//!
//! - A reader sees an old value or a new one, never a part of each.
//! - Who reads often keeps what it has in a [`Kept`]: as long as nothing was replaced, that touches no count that
//!   cores share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

/// A value that can be replaced.
#[derive(Debug)]
pub struct Live<T> {
    value: ArcSwap<T>,
    /// How often it was.
    generation: AtomicU64,
}

impl<T> Live<T> {
    pub fn new(value: Arc<T>) -> Self {
        Self { value: ArcSwap::new(value), generation: AtomicU64::new(0) }
    }

    /// The newest value.
    pub fn now(&self) -> Arc<T> {
        self.value.load_full()
    }

    /// Replaces the value; who asks from now on gets the new one.
    pub fn set(&self, value: Arc<T>) {
        self.value.store(value);
        // Behind the value: who sees the number change finds what changed it.
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

/// A value and the place where a newer one would be.
#[derive(Debug)]
pub struct Kept<'a, T> {
    live: &'a Live<T>,
    generation: u64,
    value: Arc<T>,
}

impl<'a, T> Kept<'a, T> {
    pub fn new(live: &'a Live<T>) -> Self {
        let generation = live.generation();
        Self { live, generation, value: live.now() }
    }

    /// The newest value.
    pub fn now(&mut self) -> &Arc<T> {
        let generation = self.live.generation();
        if generation != self.generation {
            self.value = self.live.now();
            self.generation = generation;
        }
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_replaced_when_it_is_asked_for_again() {
        let live = Live::new(Arc::new(1));
        let mut kept = Kept::new(&live);
        let first = kept.now().clone();
        assert!(Arc::ptr_eq(&first, kept.now()));
        live.set(Arc::new(2));
        assert_eq!((*first, **kept.now(), *live.now()), (1, 2, 2));
        assert_eq!(Arc::strong_count(&first), 1, "nobody keeps the old one");
    }

    #[test]
    fn a_reader_never_goes_back() {
        let live = Live::new(Arc::new(0_u64));
        std::thread::scope(|threads| {
            threads.spawn(|| (1..=10_000).for_each(|number| live.set(Arc::new(number))));
            threads.spawn(|| {
                let mut kept = Kept::new(&live);
                let mut last = 0;
                while last < 10_000 {
                    let now = **kept.now();
                    assert!(now >= last, "{now} after {last}");
                    last = now;
                }
            });
        });
    }
}
