//! Calls and answers as the script reads and writes them.
//!
//! A call is one text: `seq version expires_ms wants_others`, then, behind a semicolon each, the pools
//! (`id used keep least want limit price`), the rates (`id left want least interval_us burst lease_ms`), pools to
//! forget (`x id`) and what was last seen of others (`o SLOT ENTRY`). The cap is the last pool: what lies beyond the
//! others is taken off it. An id says the kind in its first letter, whose it is in a code ([`Words`](super::Words)),
//! and the window in four digits, of its start in minutes. All numbers are below 2⁵³: the script counts in doubles.

use std::fmt::Write;

use redis::Value;
use smallvec::SmallVec;
use smol_str::{SmolStr, format_smolstr};

use super::keys::{CODES4, digits, text};
use super::values;
use super::{Answered, Named, Version};
use crate::domain::lease::{Ask, Lent, PERMITS_LAST, Pool, RateAsk, RateLent, Settled, UNLIMITED};

/// What is known of a window is kept for so long behind its end: who was away may still tell of it.
const KEPT_SECONDS: i64 = 35 * 86_400;
/// The year 9999: what never ends is kept until then.
const LAST_SECOND: i64 = 253_402_300_799;

const UNREADABLE: &str = "a lease cannot be read";

/// A call as text.
pub(super) struct Line {
    pub(super) text: String,
    /// What the script calls each pool, then each rate; `None` where there is no name for it, so that it is not asked.
    ids: SmallVec<[Option<SmolStr>; 4]>,
}

pub(super) fn line(named: &Named) -> Line {
    let call = &named.call;
    let mut ids: SmallVec<[Option<SmolStr>; 4]> = SmallVec::new();
    let pools = call.asks.iter().map(|ask| pool_id(named, ask.pool, ask.window));
    let rates = call.rates.iter().map(|ask| rate_id(named, ask));
    for id in pools.chain(rates) {
        let is_new = id.as_ref().is_some_and(|_| !ids.contains(&id));
        ids.push(id.filter(|_| is_new));
    }
    let expires = (call.expires.saturating_add(KEPT_SECONDS)).clamp(0, LAST_SECOND) * 1_000;
    let mut text =
        format!("{} {} {expires} {}", text::<8>(call.seq), named.version, u8::from(call.wants_others));
    let (pools, rates) = ids.split_at(call.asks.len());
    let asked = || call.asks.iter().zip(pools).filter_map(|(ask, id)| Some((ask, id.as_ref()?)));
    let is_cap = |(ask, _): &(&Ask, &SmolStr)| ask.pool == Pool::Cap;
    for (ask, id) in asked().filter(|asked| !is_cap(asked)).chain(asked().filter(is_cap)) {
        write_pool(&mut text, id, ask);
    }
    for (ask, id) in call.rates.iter().zip(rates) {
        if let Some(id) = id {
            write_rate(&mut text, id, ask);
        }
    }
    for (pool, window) in &call.ended {
        if let Some(id) = pool_id(named, *pool, *window) {
            let _ = write!(text, ";x {id}");
        }
    }
    for entry in named.others.split(';').filter(|entry| !entry.is_empty()) {
        text.push_str(";o ");
        text.push_str(entry);
    }
    Line { text, ids }
}

fn write_pool(text: &mut String, id: &SmolStr, ask: &Ask) {
    let [used, keep, least, want, limit, price] =
        [ask.used, ask.keep, ask.least, ask.want, ask.limit, ask.price].map(|number| number.min(UNLIMITED));
    // A `String` takes everything.
    let _ = write!(text, ";{id} {used} {keep} {least} {want} {limit} {price}");
}

fn write_rate(text: &mut String, id: &SmolStr, ask: &RateAsk) {
    let nanos = ask.rate.interval().as_nanos();
    let (micros, rest, burst) = (nanos / 1_000, nanos % 1_000, ask.rate.burst());
    let _ = write!(
        text,
        ";{id} {} {} {} {micros}.{rest:03} {burst} {}",
        ask.left,
        ask.want,
        ask.least,
        PERMITS_LAST.as_millis()
    );
}

fn pool_id(named: &Named, pool: Pool, window: i64) -> Option<SmolStr> {
    let window = || {
        let minutes = window.div_euclid(60).rem_euclid(i64::from(CODES4));
        text::<4>(u64::try_from(minutes).unwrap_or_default())
    };
    let of_meter = |kind: char, meter| {
        let code = named.words.meter(meter)?;
        Some(format_smolstr!("{kind}{}{}", text::<3>(code.into()), window()))
    };
    match pool {
        Pool::Included(meter) => of_meter('i', meter),
        Pool::Extra(meter) => of_meter('e', meter),
        Pool::Overage(meter) => of_meter('+', meter),
        Pool::Credits(meter) => of_meter('%', meter),
        Pool::Cap => Some(format_smolstr!("${}", window())),
        Pool::Lot(number) => {
            let (_, code) = named.lots.iter().find(|(known, _)| *known == number)?;
            Some(format_smolstr!("#{}", text::<5>((*code).into())))
        }
    }
}

fn rate_id(named: &Named, ask: &RateAsk) -> Option<SmolStr> {
    match ask.route {
        None => Some(SmolStr::new_static("r")),
        Some(route) => Some(format_smolstr!("r{}", text::<5>(named.words.route(route)?.into()))),
    }
}

impl Version {
    /// As Redis has it.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self::NONE);
        }
        let read: [u8; 8] = text.as_bytes().try_into().ok()?;
        read.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()).then_some(Self(read))
    }

    /// The greater number has the greater version.
    #[must_use]
    pub fn of(number: u64) -> Self {
        Self(digits(number))
    }
}

/// The answer to one call; or why there is none.
pub(super) fn answered<'a>(named: &Named, line: &Line, answer: &'a Value) -> Result<Answered, &'a str> {
    settled(named, line, answer).ok_or_else(|| match values::array(answer) {
        Some([_, _, why, ..]) => values::text(why).unwrap_or(UNREADABLE),
        _ => UNREADABLE,
    })
}

fn settled(named: &Named, line: &Line, answer: &Value) -> Option<Answered> {
    let [state, version, rest @ ..] = values::array(answer)? else { return None };
    let version = Version::read(values::text(version)?)?;
    let (settled, facts, others) = match (values::text(state)?, rest) {
        ("old", _) => (Settled::Old, None, Box::default()),
        ("behind", [facts, ..]) => {
            let facts = values::bytes(facts)?;
            (Settled::Behind, (!facts.is_empty()).then(|| facts.into()), Box::default())
        }
        (state @ ("ok" | "waits" | "rests"), [lent, others, ..]) => {
            let others: Vec<_> = values::array(others)?.iter().map(values::text).collect::<Option<_>>()?;
            (lent_of(named, line, values::text(lent)?, state == "ok")?, None, others.join(";").into())
        }
        _ => return None,
    };
    Some(Answered { version, settled, facts, others })
}

fn lent_of(named: &Named, line: &Line, answers: &str, lends: bool) -> Option<Settled> {
    let numbers = |id: &SmolStr| -> Option<SmallVec<[u64; 4]>> {
        let of_it = |answer: &&str| answer.split(' ').next() == Some(id.as_str());
        let answer = answers.split(';').find(of_it)?;
        answer.split(' ').skip(1).map(|number| number.parse().ok()).collect()
    };
    let (pools, rates) = line.ids.split_at(named.call.asks.len());
    let asks = named.call.asks.iter().zip(pools).map(|(ask, id)| match id {
        None => Some(Lent { held: ask.keep, used_by_all: ask.used, ..Lent::default() }),
        Some(id) => match numbers(id)?.as_slice() {
            [held, used_by_all, free, unused_by_others, ..] => Some(Lent {
                held: *held,
                used_by_all: *used_by_all,
                free: *free,
                unused_by_others: *unused_by_others,
            }),
            _ => None,
        },
    });
    let asks = asks.collect::<Option<_>>()?;
    let rates = rates.iter().map(|id| match id {
        None => Some(RateLent::default()),
        Some(id) => match numbers(id)?.as_slice() {
            [_left, more, free, wait_millis, ..] => Some(RateLent {
                more: u32::try_from(*more).ok()?,
                free: u32::try_from(*free).ok()?,
                wait_millis: *wait_millis,
            }),
            _ => None,
        },
    });
    Some(Settled::Lent { asks, rates: rates.collect::<Option<_>>()?, lends })
}
