//! What the entries of each kind say. More bytes than this version knows may follow; they are kept.

use std::cmp::Reverse;

use super::Entry;
use super::wire::{Reader, Writer};
use crate::domain::subscription::{Facts, ItemFacts, Status};

const OF_CUSTOMERS: [&str; 1] = ["cus_"];
const OF_ITEMS: [&str; 1] = ["si_"];
const OF_PRICES: [&str; 2] = ["price_", "plan_"];
const INTERVALS: [&str; 4] = ["month", "year", "week", "day"];
const MICROS: u64 = 1_000_000;

/// Which Stripe customer stands for a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub stripe_customer: String,
    /// By a verified token's claim.
    pub is_claimed: bool,
}

impl Link {
    pub fn write(&self) -> Box<[u8]> {
        let mut written = Writer::default();
        written.byte(u8::from(self.is_claimed));
        written.id(&self.stripe_customer, &OF_CUSTOMERS);
        written.0.into()
    }

    pub fn read(body: &[u8]) -> Option<Self> {
        let mut read = Reader(body);
        let is_claimed = read.byte()? == 1;
        Some(Self { stripe_customer: read.id(&OF_CUSTOMERS)?, is_claimed })
    }
}

/// A claim beats what Stripe's objects say; of claims the last holds, of the others the first.
pub(super) fn link_rank(entry: &Entry) -> (bool, u64, Reverse<u64>, Option<&[u8]>) {
    let body = entry.body.as_deref();
    let is_claimed = body.is_some_and(|body| body.first() == Some(&1));
    (is_claimed, if is_claimed { entry.at } else { 0 }, Reverse(entry.at), body)
}

/// Prepaid units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub units: u64,
    pub expires_at: Option<i64>,
    pub reason: String,
}

impl Grant {
    pub fn write(&self) -> Box<[u8]> {
        let mut written = Writer::default();
        written.number(self.units);
        optional(&mut written, self.expires_at);
        written.text(&self.reason);
        written.0.into()
    }

    pub fn read(body: &[u8]) -> Option<Self> {
        let mut read = Reader(body);
        let (units, expires_at) = (read.number()?, read_optional(&mut read).ok()?);
        Some(Self { units, expires_at, reason: read.text()?.to_owned() })
    }
}

/// What an operator has set, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub tier: Option<String>,
    /// Units by meter, as JSON.
    pub included: Option<String>,
    pub until: Option<i64>,
    pub reason: String,
}

impl Override {
    pub fn write(&self) -> Box<[u8]> {
        let mut written = Writer::default();
        written.text(self.tier.as_deref().unwrap_or_default());
        written.text(self.included.as_deref().unwrap_or_default());
        optional(&mut written, self.until);
        written.text(&self.reason);
        written.0.into()
    }

    pub fn read(body: &[u8]) -> Option<Self> {
        let mut read = Reader(body);
        let mut some = || Some(Some(read.text()?.to_owned()).filter(|text| !text.is_empty()));
        let (tier, included) = (some()?, some()?);
        let until = read_optional(&mut read).ok()?;
        Some(Self { tier, included, until, reason: read.text()?.to_owned() })
    }
}

/// A subscription as it was read. Its id is the entry's key, and when it was read the entry's instant.
pub fn of_subscription(facts: &Facts) -> Box<[u8]> {
    let mut written = Writer::default();
    written.byte(code(facts.status));
    if facts.status == Status::PastDue {
        written.signed(facts.past_due_since.unwrap_or(0));
    }
    written.id(&facts.stripe_customer, &OF_CUSTOMERS);
    let anchor = facts.billing_cycle_anchor;
    written.signed(anchor);
    let later = |at: Option<i64>| at.map(|at| at.wrapping_sub(anchor));
    let times = [facts.cancel_at, facts.trial_start, facts.trial_end].map(later);
    let currency = facts.currency.as_deref();
    written.byte(
        u8::from(facts.cancel_at_period_end)
            | flags(&[times[0].is_some(), times[1].is_some(), times[2].is_some(), currency.is_some()]) << 1,
    );
    times.into_iter().flatten().for_each(|at| written.signed(at));
    if let Some(currency) = currency {
        written.text(currency);
    }
    written.number(facts.items.len() as u64);
    let mut before = (0, 0);
    for item in &facts.items {
        let period = (item.period_start.wrapping_sub(anchor), item.period_end.wrapping_sub(anchor));
        write_item(&mut written, item, (period != before).then_some(period));
        before = period;
    }
    written.0.into()
}

/// `period`, from the anchor on; `None`: the one before.
fn write_item(written: &mut Writer, item: &ItemFacts, period: Option<(i64, i64)>) {
    let interval = INTERVALS.iter().position(|known| *known == item.interval);
    let code = interval.and_then(|at| u8::try_from(at).ok());
    written.byte(
        code.unwrap_or(0)
            | flags(&[
                item.metered,
                item.lookup_key.is_some(),
                code.is_none() || item.interval_count != 1,
                item.unit_amount.is_some(),
                item.quantity.is_some(),
                period.is_some(),
            ]) << 2,
    );
    written.id(&item.id, &OF_ITEMS);
    written.id(&item.price, &OF_PRICES);
    if let Some(key) = &item.lookup_key {
        written.text(key);
    }
    if code.is_none() || item.interval_count != 1 {
        written.number(item.interval_count.into());
        written.text(if code.is_none() { &item.interval } else { "" });
    }
    [item.unit_amount, item.quantity].into_iter().flatten().for_each(|number| written.signed(number));
    if let Some((start, end)) = period {
        written.signed(start);
        written.signed(end.wrapping_sub(start));
    }
}

/// What an entry says of a subscription; `None` if it cannot be understood.
pub fn read_subscription(id: &str, at: u64, body: &[u8]) -> Option<Facts> {
    let mut read = Reader(body);
    let status = *Status::ALL.get(usize::from(read.byte()?))?;
    let past_due_since = if status == Status::PastDue { Some(read.signed()?) } else { None };
    let stripe_customer = read.id(&OF_CUSTOMERS)?;
    let anchor = read.signed()?;
    let has = read.byte()?;
    let mut time = |bit: u8| match has >> bit & 1 {
        0 => Some(None),
        _ => Some(Some(read.signed()?.wrapping_add(anchor))),
    };
    let (cancel_at, trial_start, trial_end) = (time(1)?, time(2)?, time(3)?);
    let currency = if has >> 4 & 1 == 1 { Some(read.text()?.to_owned()) } else { None };
    let (mut items, mut period) = (Vec::new(), (0, 0));
    for _ in 0..read.number()? {
        items.push(read_item(&mut read, &mut period, anchor)?);
    }
    Some(Facts {
        id: id.to_owned(),
        stripe_customer,
        status,
        items,
        billing_cycle_anchor: anchor,
        cancel_at,
        cancel_at_period_end: has & 1 == 1,
        past_due_since,
        trial_start,
        trial_end,
        currency,
        read_at: i64::try_from(at / MICROS).ok(),
    })
}

fn read_item(read: &mut Reader<'_>, period: &mut (i64, i64), anchor: i64) -> Option<ItemFacts> {
    let head = read.byte()?;
    let has = |bit: u8| head >> bit & 1 == 1;
    let (id, price) = (read.id(&OF_ITEMS)?, read.id(&OF_PRICES)?);
    let lookup_key = if has(3) { Some(read.text()?.to_owned()) } else { None };
    let (mut count, mut interval) = (1, INTERVALS[usize::from(head & 3)]);
    if has(4) {
        count = u32::try_from(read.number()?).ok()?;
        interval = Some(read.text()?).filter(|text| !text.is_empty()).unwrap_or(interval);
    }
    let unit_amount = if has(5) { Some(read.signed()?) } else { None };
    let quantity = if has(6) { Some(read.signed()?) } else { None };
    if has(7) {
        let start = read.signed()?;
        *period = (start, start.wrapping_add(read.signed()?));
    }
    Some(ItemFacts {
        id,
        price,
        lookup_key,
        metered: has(2),
        interval: interval.to_owned(),
        interval_count: count,
        period_start: period.0.wrapping_add(anchor),
        period_end: period.1.wrapping_add(anchor),
        unit_amount,
        quantity,
    })
}

pub(super) fn status(body: &[u8]) -> Option<Status> {
    Status::ALL.get(usize::from(*body.first()?)).copied()
}

/// The later reading, with the earliest instant at which either says that it was first past due.
pub(super) fn merged_subscription(one: &Entry, other: &Entry) -> Entry {
    let ((since, rest), (other_since, other_rest)) = (split(one), split(other));
    // One that has ended comes before one that says nothing.
    let rank =
        |entry: &Entry, rest, since: Option<i64>| (entry.at, entry.body.is_some(), rest, since.is_some());
    let other_holds = rank(one, rest, since) < rank(other, other_rest, other_since);
    let (winner, rest) = if other_holds { (other, other_rest) } else { (one, rest) };
    let (Some(since), Some(other_since)) = (since, other_since) else { return winner.clone() };
    let mut written = Writer::default();
    written.byte(code(Status::PastDue));
    written.signed(since.min(other_since));
    written.0.extend_from_slice(rest.map_or(&[], |(_, rest)| rest));
    Entry { at: winner.at, body: Some(written.0.into()) }
}

/// Since when it is past due, where it is; its status, and what else it says.
fn split(entry: &Entry) -> (Option<i64>, Option<(u8, &[u8])>) {
    let Some((first, rest)) = entry.body.as_deref().and_then(<[u8]>::split_first) else {
        return (None, None);
    };
    let mut read = Reader(rest);
    match (*first == code(Status::PastDue)).then(|| read.signed()).flatten() {
        Some(since) => (Some(since), Some((*first, read.0))),
        None => (None, Some((*first, rest))),
    }
}

fn code(status: Status) -> u8 {
    let at = Status::ALL.iter().position(|known| *known == status);
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

fn flags(set: &[bool]) -> u8 {
    set.iter().rev().fold(0, |flags, set| flags << 1 | u8::from(*set))
}

/// 0: none; else one more.
pub(super) fn optional(written: &mut Writer, number: Option<i64>) {
    written.number(number.map_or(0, |number| u64::try_from(number).unwrap_or(0).saturating_add(1)));
}

/// Whether it could be read, and what.
pub(super) fn read_optional(read: &mut Reader<'_>) -> Result<Option<i64>, Unreadable> {
    match read.number().ok_or(Unreadable)? {
        0 => Ok(None),
        more => i64::try_from(more - 1).map(Some).map_err(|_| Unreadable),
    }
}

pub(super) struct Unreadable;
