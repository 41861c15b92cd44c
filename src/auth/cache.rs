//! Verified tokens, remembered so that most requests need no cryptography.
//!
//! - Only verified tokens are stored, so a flood of bad ones pushes nothing out.
//! - A token is found by its whole text and never used past its time or after its key was retired.
//! - Memory is bounded: tokens live in small sets picked by hash, each with a limit of entries and of bytes.
//!   A full set drops what would be forgotten first. A hit takes one shared lock and allocates nothing.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock};

use super::key::VerifyingKey;
use super::{Identity, MAX_TOKEN_BYTES};

const ENTRIES_PER_SET: usize = 8;
/// Room for one token of the largest size, or eight of 2 KiB.
const BYTES_PER_SET: usize = MAX_TOKEN_BYTES;
/// Of a token only this much of its end is hashed. It is the signature, the part in which tokens differ; the
/// hasher is keyed, and callers cannot choose signatures that verify.
const HASHED_BYTES: usize = 32;

/// A bounded map from token to identity.
pub struct TokenCache {
    sets: Box<[RwLock<Vec<Entry>>]>,
    entries_per_set: usize,
    hasher: RandomState,
}

struct Entry {
    hash: u64,
    until_seconds: i64,
    token: Box<str>,
    key: Arc<VerifyingKey>,
    identity: Arc<Identity>,
}

impl Entry {
    fn is_valid(&self, now_seconds: i64) -> bool {
        now_seconds < self.until_seconds && !self.key.is_retired()
    }
}

impl TokenCache {
    /// Holds at most `capacity` tokens, in at most 2 KiB of text each on average.
    pub fn new(capacity: usize) -> Self {
        let sets = (capacity / ENTRIES_PER_SET).max(1);
        Self {
            sets: std::iter::repeat_with(RwLock::default).take(sets).collect(),
            entries_per_set: capacity.min(ENTRIES_PER_SET),
            hasher: RandomState::new(),
        }
    }

    pub fn get(&self, token: &[u8], now_seconds: i64) -> Option<Arc<Identity>> {
        let hash = self.hash(token);
        // A poisoned set is still sound: every change to it is complete before the next can fail.
        let set = self.set(hash).read().unwrap_or_else(PoisonError::into_inner);
        set.iter()
            .find(|entry| entry.hash == hash && *entry.token.as_bytes() == *token)
            .filter(|entry| entry.is_valid(now_seconds))
            .map(|entry| entry.identity.clone())
    }

    /// Remembers a verified token until `until_seconds`.
    pub fn insert(
        &self,
        token: &str,
        key: Arc<VerifyingKey>,
        identity: Arc<Identity>,
        now_seconds: i64,
        until_seconds: i64,
    ) {
        let hash = self.hash(token.as_bytes());
        let entry = Entry { hash, until_seconds, token: token.into(), key, identity };
        if self.entries_per_set == 0 || token.len() > BYTES_PER_SET || !entry.is_valid(now_seconds) {
            return;
        }
        let mut set = self.set(hash).write().unwrap_or_else(PoisonError::into_inner);
        // The text of other tokens is left alone: it is in no cache of the processor.
        set.retain(|other| other.is_valid(now_seconds) && !(other.hash == hash && *other.token == *token));
        while set.len() >= self.entries_per_set || bytes(&set) + token.len() > BYTES_PER_SET {
            let ends = |index: &usize| set[*index].until_seconds;
            let Some(first_to_end) = (0..set.len()).min_by_key(ends) else {
                break;
            };
            set.remove(first_to_end);
        }
        set.push(entry);
    }

    fn set(&self, hash: u64) -> &RwLock<Vec<Entry>> {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
        let index = (hash % self.sets.len() as u64) as usize;
        &self.sets[index]
    }

    fn hash(&self, token: &[u8]) -> u64 {
        self.hasher.hash_one(&token[token.len().saturating_sub(HASHED_BYTES)..])
    }
}

fn bytes(set: &[Entry]) -> usize {
    set.iter().map(|entry| entry.token.len()).sum()
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::DecodingKey;

    use std::sync::OnceLock;

    use super::*;

    const NOW: i64 = 1_000;

    fn key() -> Arc<VerifyingKey> {
        let secret = DecodingKey::from_secret(b"secret");
        Arc::new(VerifyingKey::new(None, secret, &[]))
    }

    fn identity(customer: &str) -> Arc<Identity> {
        Arc::new(Identity {
            customer: customer.into(),
            customer_header: http::HeaderValue::from_static("customer"),
            member: None,
            stripe_customer: None,
            scopes: crate::auth::Scopes::All,
            source: crate::auth::Source::Token,
            member_number: OnceLock::new(),
        })
    }

    fn remember(cache: &TokenCache, token: &str, until: i64) {
        cache.insert(token, key(), identity(token), NOW, until);
    }

    impl TokenCache {
        fn count(&self) -> (usize, usize) {
            let sets = self.sets.iter().map(|set| set.read().unwrap());
            sets.fold((0, 0), |(entries, size), set| (entries + set.len(), size + bytes(&set)))
        }
    }

    #[test]
    fn a_token_is_found_until_its_time() {
        let cache = TokenCache::new(64);
        remember(&cache, "token", NOW + 10);
        let found = cache.get(b"token", NOW + 9).unwrap();
        assert_eq!(&*found.customer, "token");
        assert!(cache.get(b"token", NOW + 10).is_none());
        assert!(cache.get(b"other", NOW).is_none());
    }

    #[test]
    fn the_whole_token_is_compared() {
        let cache = TokenCache::new(64);
        let signature = "s".repeat(HASHED_BYTES);
        remember(&cache, &format!("mine.{signature}"), NOW + 10);
        assert!(cache.get(format!("your.{signature}").as_bytes(), NOW).is_none());
        assert!(cache.get(signature.as_bytes(), NOW).is_none());
    }

    #[test]
    fn tokens_that_end_alike_are_remembered_side_by_side() {
        let cache = TokenCache::new(ENTRIES_PER_SET);
        let signature = "s".repeat(HASHED_BYTES);
        let tokens = ["mine", "your"].map(|claims| format!("{claims}.{signature}"));
        for token in &tokens {
            remember(&cache, token, NOW + 10);
        }
        for token in &tokens {
            assert_eq!(*cache.get(token.as_bytes(), NOW).unwrap().customer, **token);
        }
    }

    #[test]
    fn a_retired_key_takes_its_tokens_along() {
        let cache = TokenCache::new(64);
        let key = key();
        cache.insert("token", key.clone(), identity("a"), NOW, NOW + 10);
        key.retire();
        assert!(cache.get(b"token", NOW).is_none());
        cache.insert("late", key, identity("a"), NOW, NOW + 10);
        assert!(cache.get(b"late", NOW).is_none());
    }

    #[test]
    fn entries_and_bytes_stay_bounded() {
        for (capacity, length) in [(0, 100), (3, 100), (64, 100), (64, 10_000)] {
            let cache = TokenCache::new(capacity);
            for number in 0..2_000 {
                remember(&cache, &format!("{number:0length$}"), NOW + number);
            }
            let (entries, size) = cache.count();
            assert!(entries <= capacity, "{entries} of {capacity}");
            assert!(size <= capacity.max(8) / ENTRIES_PER_SET * BYTES_PER_SET, "{size}");
        }
    }

    #[test]
    fn a_full_set_drops_what_ends_first() {
        let cache = TokenCache::new(ENTRIES_PER_SET);
        for (number, until) in (NOW + 1..).enumerate().take(ENTRIES_PER_SET + 1) {
            remember(&cache, &format!("token {number}"), until);
        }
        assert!(cache.get(b"token 0", NOW).is_none());
        for number in 1..=ENTRIES_PER_SET {
            assert!(cache.get(format!("token {number}").as_bytes(), NOW).is_some());
        }
    }

    #[test]
    fn of_tokens_that_end_together_the_oldest_is_dropped() {
        let cache = TokenCache::new(ENTRIES_PER_SET);
        for number in 0..2 * ENTRIES_PER_SET {
            remember(&cache, &format!("token {number}"), NOW + 10);
        }
        for number in 0..2 * ENTRIES_PER_SET {
            let found = cache.get(format!("token {number}").as_bytes(), NOW).is_some();
            assert_eq!(found, number >= ENTRIES_PER_SET, "{number}");
        }
    }

    #[test]
    fn a_token_remembered_again_takes_no_second_place() {
        let cache = TokenCache::new(64);
        remember(&cache, "token", NOW + 10);
        remember(&cache, "token", NOW + 20);
        assert_eq!(cache.count().0, 1);
        assert!(cache.get(b"token", NOW + 15).is_some());
    }
}
