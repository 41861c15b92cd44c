//! A Redis in memory that does what the scripts do, and may lose a command or its answer.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::billing::fleet::{Meeting, Told, Versions};
use crate::fleet::{Away, Claim, ClaimState, FactsKey, LinkState, News, Put, Report, Version};

/// A generator that gives the same for the same seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// What Redis has.
#[derive(Clone, Default)]
pub struct Lying {
    pub facts: BTreeMap<String, (FactsKey, u64, Vec<u8>)>,
    pub news: Vec<(u64, FactsKey, u64)>,
}

pub struct Redis {
    pub lying: Lying,
    /// The last version, and the last position in the stream.
    pub last: u64,
    pub hints: Vec<VecDeque<(FactsKey, Version)>>,
    pub claims: HashMap<String, (usize, bool)>,
    pub lost_nodes: Vec<usize>,
    pub reports: Vec<Report>,
    /// One in so many commands is lost, or its answer; 0: none.
    pub losses: u64,
    /// No facts come so far.
    pub puts_are_lost: bool,
    pub dice: Dice,
}

pub struct Visitor {
    pub redis: Arc<Mutex<Redis>>,
    pub slot: usize,
}

fn version(number: u64) -> Version {
    let digit =
        |place: u32| char::from_digit(u32::try_from(number / 36_u64.pow(place) % 36).expect("small"), 36);
    let mut digits = [b'0'; 8];
    for (digit_at, place) in digits.iter_mut().zip((0..8).rev()) {
        *digit_at = u8::try_from(digit(place).expect("a digit")).expect("plain");
    }
    Version(digits)
}

impl Visitor {
    fn redis(&self) -> MutexGuard<'_, Redis> {
        self.redis.lock().expect("whole")
    }

    fn or_lost<T>(&self, answer: impl FnOnce(&mut Redis) -> T) -> Result<T, Away> {
        let mut redis = self.redis();
        let mut is_lost = || {
            let losses = redis.losses;
            losses > 0 && redis.dice.one_in(losses)
        };
        let (before, behind) = (is_lost(), is_lost());
        if before {
            return Err(Away);
        }
        let answer = answer(&mut redis);
        if behind { Err(Away) } else { Ok(answer) }
    }
}

impl Redis {
    fn put(&mut self, key: &FactsKey, (known, least): (Version, Version), facts: &[u8]) -> Put {
        let name = format!("{key:?}");
        if let Some((_, stored, there)) = self.lying.facts.get(&name) {
            if there == facts {
                return Put::Done(version(*stored));
            }
            if version(*stored) != known {
                return Put::Other(version(*stored), there.clone().into());
            }
        }
        // Redis's clock goes on, whatever it has lost; or it is another's.
        self.last = self.last.max(u64::from_str_radix(&least.to_string(), 36).expect("digits")) + 1;
        self.lying.facts.insert(name, (key.clone(), self.last, facts.to_vec()));
        for hints in &mut self.hints {
            hints.push_back((key.clone(), version(self.last)));
        }
        Put::Done(version(self.last))
    }
}

impl Meeting for Visitor {
    fn put<'a>(
        &'a self,
        key: &'a FactsKey,
        (known, least): (Version, Version),
        expires_millis: i64,
        facts: &'a [u8],
    ) -> BoxFuture<'a, Result<Put, Away>> {
        assert!(expires_millis > 0);
        Box::pin(async move {
            if self.redis().puts_are_lost {
                return Err(Away);
            }
            let put = self.or_lost(|redis| redis.put(key, (known, least), facts))?;
            if let Put::Done(put) = put {
                self.or_lost(|redis| {
                    redis.last += 1;
                    let told =
                        (redis.last, key.clone(), u64::from_str_radix(&put.to_string(), 36).expect("digits"));
                    redis.lying.news.push(told);
                })?;
            }
            Ok(put)
        })
    }

    fn read<'a>(&'a self, keys: &'a [FactsKey]) -> BoxFuture<'a, Result<Vec<Option<Told>>, Away>> {
        Box::pin(async move {
            self.or_lost(|redis| {
                let facts = |key: &FactsKey| redis.lying.facts.get(&format!("{key:?}"));
                let told = |key| facts(key).map(|(_, at, facts)| (version(*at), facts.clone().into()));
                keys.iter().map(told).collect()
            })
        })
    }

    fn news_since<'a>(&'a self, position: &'a str) -> BoxFuture<'a, Result<News, Away>> {
        Box::pin(async move {
            self.or_lost(|redis| {
                let Some((first, ..)) = redis.lying.news.first() else {
                    return News { changed: vec![], position: "0".to_owned(), has_gap: position != "0" };
                };
                let from: u64 = position.parse().unwrap_or(0);
                let has_gap = position != "0" && from < *first;
                let later = || redis.lying.news.iter().filter(|(at, ..)| *at > from).take(3);
                let next = later().last().map_or(from, |(at, ..)| *at).to_string();
                let changed = later().map(|(_, key, at)| (key.clone(), version(*at))).collect();
                News { changed, position: next, has_gap }
            })
        })
    }

    fn all<'a>(&'a self, cursor: &'a str) -> BoxFuture<'a, Result<Versions, Away>> {
        Box::pin(async move {
            self.or_lost(|redis| {
                let from: usize = cursor.parse().unwrap_or(0);
                let all = redis.lying.facts.values();
                let some = all.skip(from).take(2).map(|(key, at, _)| (key.clone(), version(*at)));
                let is_last = from + 2 >= redis.lying.facts.len();
                let next = if is_last { String::new() } else { (from + 2).to_string() };
                (some.collect(), next)
            })
        })
    }

    fn next_hint(&self) -> BoxFuture<'_, (FactsKey, Version)> {
        Box::pin(std::future::pending())
    }

    fn states(&self) -> watch::Receiver<LinkState> {
        watch::channel(LinkState::Here).1
    }

    fn claim<'a>(&'a self, what: &'a str, _kept: Duration) -> BoxFuture<'a, Result<Claim, Away>> {
        Box::pin(async move {
            self.or_lost(|redis| {
                let slot = |slot: usize| u32::try_from(slot).expect("small");
                match redis.claims.get(what) {
                    Some((by, true)) => {
                        Claim::Theirs { slot: slot(*by), state: ClaimState::Done(String::new()) }
                    }
                    Some((by, false)) if *by != self.slot && !redis.lost_nodes.contains(by) => {
                        Claim::Theirs { slot: slot(*by), state: ClaimState::Doing }
                    }
                    _ => {
                        redis.claims.insert(what.to_owned(), (self.slot, false));
                        Claim::Ours
                    }
                }
            })
        })
    }

    fn done<'a>(&'a self, what: &'a str, _kept: Duration) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(
            async move { self.or_lost(|redis| _ = redis.claims.insert(what.to_owned(), (self.slot, true))) },
        )
    }

    fn unclaim<'a>(&'a self, what: &'a str) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(async move { self.or_lost(|redis| _ = redis.claims.remove(what)) })
    }

    fn reports(&self) -> BoxFuture<'_, Result<Vec<Report>, Away>> {
        Box::pin(async move { self.or_lost(|redis| redis.reports.clone()) })
    }

    fn name_reports<'a>(&'a self, new: &'a [Report], old: &'a [Report]) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(async move {
            self.or_lost(|redis| {
                redis.reports.extend_from_slice(new);
                redis.reports.retain(|report| !old.contains(report));
            })
        })
    }
}
