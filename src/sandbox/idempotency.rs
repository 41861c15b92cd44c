//! `Idempotency-Key` as Stripe treats it.
//!
//! The first result is kept for 24 h and given again; the same key with other parameters is refused;
//! so is a key whose first request is still running. At most [`MAX_KEYS`] keys are kept.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

const KEPT_SECONDS: i64 = 24 * 60 * 60;
const MAX_KEYS: usize = 200_000;

/// A digest of everything that must be the same when a key comes again.
pub type Fingerprint = [u8; 32];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub status: u16,
    pub body: Bytes,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody used the key: execute, then [`Idempotency::finish`] or [`Idempotency::abandon`].
    Fresh,
    /// Give this answer again.
    Replay(Stored),
    /// The first request is still running.
    Running,
    /// The key was used with other parameters.
    Other,
}

#[derive(Debug)]
struct Entry {
    fingerprint: Fingerprint,
    since: i64,
    result: Option<Stored>,
}

#[derive(Debug, Default)]
pub struct Idempotency {
    entries: HashMap<String, Entry>,
    /// Keys in the order of their first use, with the moment of it.
    order: VecDeque<(i64, String)>,
}

impl Idempotency {
    pub fn claim(&mut self, key: &str, fingerprint: Fingerprint, now: i64) -> Claim {
        self.expire(now);
        if let Some(entry) = self.entries.get(key) {
            return match &entry.result {
                _ if entry.fingerprint != fingerprint => Claim::Other,
                Some(stored) => Claim::Replay(stored.clone()),
                None => Claim::Running,
            };
        }
        let entry = Entry { fingerprint, since: now, result: None };
        self.entries.insert(key.to_owned(), entry);
        self.order.push_back((now, key.to_owned()));
        Claim::Fresh
    }

    pub fn finish(&mut self, key: &str, stored: Stored) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.result = Some(stored);
        }
    }

    /// Frees a key whose request ended without a result that is kept.
    pub fn abandon(&mut self, key: &str) {
        if self.entries.get(key).is_some_and(|entry| entry.result.is_none()) {
            self.entries.remove(key);
        }
    }

    fn expire(&mut self, now: i64) {
        while let Some((since, _)) = self.order.front() {
            if now - since < KEPT_SECONDS && self.order.len() <= MAX_KEYS {
                return;
            }
            let Some((since, key)) = self.order.pop_front() else {
                return;
            };
            // A key that was abandoned and used again stands in the queue twice.
            if self.entries.get(&key).is_some_and(|entry| entry.since == since) {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Fingerprint = [1; 32];
    const B: Fingerprint = [2; 32];

    fn stored() -> Stored {
        Stored { status: 500, body: Bytes::from_static(b"{}") }
    }

    #[test]
    fn the_first_result_is_given_again_even_if_it_was_a_failure() {
        let mut keys = Idempotency::default();
        assert_eq!(keys.claim("k", A, 0), Claim::Fresh);
        assert_eq!(keys.claim("k", A, 0), Claim::Running);
        keys.finish("k", stored());
        assert_eq!(keys.claim("k", A, 10), Claim::Replay(stored()));
    }

    #[test]
    fn other_parameters_under_a_key_are_refused() {
        let mut keys = Idempotency::default();
        keys.claim("k", A, 0);
        keys.finish("k", stored());
        assert_eq!(keys.claim("k", B, 1), Claim::Other);
    }

    #[test]
    fn an_abandoned_key_is_free_and_an_answered_one_stays() {
        let mut keys = Idempotency::default();
        keys.claim("k", A, 0);
        keys.abandon("k");
        assert_eq!(keys.claim("k", B, 0), Claim::Fresh);
        keys.finish("k", stored());
        keys.abandon("k");
        assert_eq!(keys.claim("k", B, 0), Claim::Replay(stored()));
    }

    #[test]
    fn after_a_day_a_key_is_new() {
        let mut keys = Idempotency::default();
        keys.claim("k", A, 0);
        keys.finish("k", stored());
        assert_eq!(keys.claim("k", B, KEPT_SECONDS - 1), Claim::Other);
        assert_eq!(keys.claim("k", B, KEPT_SECONDS), Claim::Fresh);
    }
}
