//! Subscriptions: what Stripe says of a customer, and what that admits.
//!
//! [`Facts`] are Stripe's truth as last read, kept as they came so that another configuration reads them anew.
//! [`Subscription::read`] gives them meaning with a [`Catalogue`]; [`Entitlement::of`] says what the best of a
//! customer's subscriptions admits.

mod renewed;

use std::num::NonZeroI64;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::catalogue::Catalogue;
use super::period::{Interval, Period};
use super::tier::{Allowance, Overage, Tier, TierId};
use super::units::MeterId;

/// The statuses of a Stripe subscription
/// (<https://docs.stripe.com/api/subscriptions/object#subscription_object-status>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Trialing,
    Active,
    PastDue,
    Unpaid,
    Paused,
    Incomplete,
    IncompleteExpired,
    Canceled,
}

impl Status {
    pub const ALL: [Self; 8] = [
        Self::Trialing,
        Self::Active,
        Self::PastDue,
        Self::Unpaid,
        Self::Paused,
        Self::Incomplete,
        Self::IncompleteExpired,
        Self::Canceled,
    ];

    /// Stripe's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Unpaid => "unpaid",
            Self::Paused => "paused",
            Self::Incomplete => "incomplete",
            Self::IncompleteExpired => "incomplete_expired",
            Self::Canceled => "canceled",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Gives its tier, for now or for good.
    pub fn entitles(self) -> bool {
        matches!(self, Self::Trialing | Self::Active | Self::PastDue)
    }

    /// Is still a subscription: it could become active again.
    pub fn is_live(self) -> bool {
        !matches!(self, Self::IncompleteExpired | Self::Canceled)
    }
}

/// One item of a subscription, as read from Stripe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemFacts {
    /// `si_…`: a change of tier replaces items by it.
    #[serde(default)]
    pub id: String,
    pub price: String,
    pub lookup_key: Option<String>,
    pub metered: bool,
    /// `recurring.interval` of the price: day, week, month or year.
    pub interval: String,
    pub interval_count: u32,
    pub period_start: i64,
    pub period_end: i64,
    /// In minor units of the currency, where the price has one.
    #[serde(default)]
    pub unit_amount: Option<i64>,
    #[serde(default)]
    pub quantity: Option<i64>,
}

/// A subscription as read from Stripe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub id: String,
    pub stripe_customer: String,
    pub status: Status,
    pub items: Vec<ItemFacts>,
    pub billing_cycle_anchor: i64,
    pub cancel_at: Option<i64>,
    pub cancel_at_period_end: bool,
    /// When it was first seen past due by us; neither restart nor retry moves it.
    pub past_due_since: Option<i64>,
    #[serde(default)]
    pub trial_start: Option<i64>,
    #[serde(default)]
    pub trial_end: Option<i64>,
    /// Three letters, in lower case.
    #[serde(default)]
    pub currency: Option<String>,
    /// When Stripe last told all this; kept by the store.
    #[serde(default)]
    pub read_at: Option<i64>,
}

/// A subscription whose prices have been understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub status: Status,
    /// `None`: no tier names its prices.
    pub tier: Option<TierId>,
    /// Of that tier.
    pub rank: Option<usize>,
    pub windows: Windows,
    /// Until when the current price is paid for.
    pub paid_until: Option<i64>,
    /// From when on it gives no tier, unless Stripe tells before that it goes on.
    pub silent_from: Option<i64>,
    pub cancel_at: Option<i64>,
    pub cancel_at_period_end: bool,
    pub past_due_since: Option<i64>,
}

impl Subscription {
    pub fn read(facts: &Facts, catalogue: &Catalogue) -> Self {
        let tier_of = |item: &ItemFacts| catalogue.tier_of_price(&item.price, item.lookup_key.as_deref());
        let rank = |tier: TierId| catalogue.rank(tier);
        let tier = facts.items.iter().filter_map(tier_of).max_by_key(|tier| rank(*tier));
        let tiers_item = facts.items.iter().find(|item| !item.metered && tier_of(item) == tier);
        let has_period = |item: &&ItemFacts| item.period_end > item.period_start;
        let metered =
            facts.items.iter().filter(has_period).find(|item| item.metered && tier_of(item) == tier);
        let paid = tiers_item.or(metered).or(facts.items.first());
        let paid_until = paid.map(|item| item.period_end).filter(|end| *end > 0);
        // Grace and refusals of the other statuses need no news to end.
        let renews = matches!(facts.status, Status::Trialing | Status::Active);
        let unheard = |end: &i64| renews && facts.read_at.is_some_and(|read_at| read_at < *end);
        Self {
            status: facts.status,
            tier,
            rank: tier.and_then(rank),
            windows: metered
                .or(paid)
                .map_or(Windows::CalendarMonth, |item| Windows::of_item(item, facts.billing_cycle_anchor)),
            paid_until,
            silent_from: paid_until.filter(unheard).map(|end| end.saturating_add(catalogue.silence_grace)),
            cancel_at: facts.cancel_at,
            // Of several intervals Stripe is told the instant.
            cancel_at_period_end: facts.cancel_at_period_end
                || facts.cancel_at.is_some() && facts.cancel_at == paid_until,
            past_due_since: facts.past_due_since,
        }
    }

    /// As it counts at an instant: one whose paid period has ended, and of which nothing has been heard for longer than
    /// `silence_grace` since, gives no tier until there is news.
    #[must_use]
    pub fn at(self, now: i64) -> Self {
        let is_silent = self.silent_from.is_some_and(|from| from <= now);
        Self { tier: self.tier.filter(|_| !is_silent), rank: self.rank.filter(|_| !is_silent), ..self }
    }

    pub fn outline(&self, catalogue: &Catalogue) -> Outline {
        let expires_at = match self.status {
            Status::PastDue => self.past_due_since.map(|since| since + catalogue.past_due_grace),
            Status::Trialing | Status::Active => self.cancel_at.or(self.paid_until),
            _ => None,
        };
        Outline {
            status: self.status,
            cancel_at_period_end: self.cancel_at_period_end,
            expires_at: expires_at.and_then(NonZeroI64::new),
        }
    }

    /// The one that counts: one that entitles to a tier beats one that does not; a live one an ended one; then the
    /// tier listed later in the file. What is sold elsewhere (no tier names it) hides nothing of ours.
    pub fn best<'a>(all: impl IntoIterator<Item = &'a Self>) -> Option<&'a Self> {
        all.into_iter().max_by_key(|s| {
            let ours = s.tier.is_some();
            (ours && s.status.entitles(), ours && s.status.is_live(), s.status.is_live(), s.rank)
        })
    }
}

/// What a customer is told of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    pub status: Status,
    pub cancel_at_period_end: bool,
    /// There is one for each subscriber: eight bytes less.
    expires_at: Option<NonZeroI64>,
}

impl Outline {
    /// Stripe's word, or `no_subscription` where there never was one.
    pub fn word(outline: Option<Self>) -> &'static str {
        outline.map_or("no_subscription", |outline| outline.status.as_str())
    }

    /// Whether a customer may buy a subscription.
    pub fn may_purchase(outline: Option<Self>) -> bool {
        outline.is_none_or(|outline| !outline.status.is_live())
    }

    /// When access ends if nothing happens.
    pub fn expires_at(&self) -> Option<i64> {
        self.expires_at.map(NonZeroI64::get)
    }
}

/// How the windows of a quota follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    CalendarMonth,
    /// Stripe's current period, and what follows it until news comes.
    Periods {
        current: Period,
        anchor: i64,
        interval: Interval,
    },
    /// Monthly windows from the anchor, beside a yearly price.
    Monthly {
        anchor: i64,
    },
}

impl Windows {
    fn of_item(item: &ItemFacts, anchor: i64) -> Self {
        let current = Period { start: item.period_start, end: item.period_end };
        let anchor = if anchor > 0 { anchor } else { current.start };
        let interval = Interval::parse(&item.interval, item.interval_count).unwrap_or(Interval::Months(1));
        match interval {
            _ if current.end <= current.start => Self::CalendarMonth,
            Interval::Months(months) if months % 12 == 0 && !item.metered => Self::Monthly { anchor },
            interval => Self::Periods { current, anchor, interval },
        }
    }

    /// The window that holds `now`.
    pub fn at(self, now: i64) -> Period {
        match self {
            Self::CalendarMonth => Period::calendar_month(now),
            Self::Monthly { anchor } => Period::anchored(anchor, Interval::Months(1), now),
            Self::Periods { current, .. } if now < current.end => current,
            Self::Periods { current, anchor, interval } => {
                let next = Period::anchored(anchor, interval, now);
                Period { start: next.start.max(current.end), end: next.end }
            }
        }
    }
}

/// What a customer's state admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Admitted,
    /// Until an instant in seconds, then payment is required.
    Grace {
        until: i64,
    },
    PaymentRequired,
    Paused,
    /// By an operator, whatever is paid.
    Blocked,
}

/// What an operator has set for one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Rate, features, limits and included units in force; overage and its prices are those of the customer's own
    /// tier, since Stripe bills that one. It includes no less than that one.
    pub tier: Arc<Tier>,
    /// Whether a tier was set: then the customer is admitted, paid or not.
    pub gives_tier: bool,
    /// In seconds since the epoch; `None`: until it is taken back.
    pub until: Option<i64>,
}

impl Override {
    fn is_in_force(&self, now: i64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// A customer's tier and windows, and whether they may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    pub standing: Standing,
    /// `None` where nothing is admitted and there is no default tier.
    pub tier: Option<Arc<Tier>>,
    pub windows: Windows,
    pub overridden: Option<Box<Override>>,
}

impl Entitlement {
    /// Of the best of a customer's subscriptions; `None` if there never was one.
    pub fn of(subscription: Option<&Subscription>, catalogue: &Catalogue) -> Self {
        let default = catalogue.default_tier.map(|id| catalogue.tier(id).clone());
        let fallback = Self {
            standing: if default.is_some() { Standing::Admitted } else { Standing::PaymentRequired },
            tier: default.clone(),
            windows: Windows::CalendarMonth,
            overridden: None,
        };
        let Some(subscription) = subscription else { return fallback };
        let Some(own) = subscription.tier.map(|id| catalogue.tier(id).clone()) else { return fallback };
        let standing = match subscription.status {
            Status::Trialing | Status::Active => Standing::Admitted,
            Status::PastDue => {
                Standing::Grace { until: subscription.past_due_since.unwrap_or(0) + catalogue.past_due_grace }
            }
            Status::Unpaid => Standing::PaymentRequired,
            Status::Paused => Standing::Paused,
            Status::Incomplete | Status::IncompleteExpired | Status::Canceled => return fallback,
        };
        Self { standing, tier: Some(own), windows: subscription.windows, overridden: None }
    }

    /// The same with what an operator has set: a tier, units by meter, or both. Nobody gets less by it.
    #[must_use]
    pub fn with_override(
        mut self,
        tier: Option<&Arc<Tier>>,
        included: &[Option<Allowance>],
        until: Option<i64>,
    ) -> Self {
        let own = self.tier.as_deref();
        let Some(base) = tier.map(|tier| &**tier).or(own) else { return self };
        let largest = |meter: MeterId| {
            let set = included.get(meter.index()).copied().flatten();
            let of_own = own.map(|own| own.included(meter));
            [set, of_own, Some(base.included(meter))].into_iter().flatten().max_by_key(|units| units.units())
        };
        let meters = (0..u16::try_from(base.included.len()).unwrap_or(u16::MAX)).map(MeterId);
        let in_force = Tier {
            included: meters.filter_map(largest).collect(),
            // Nobody bills whoever has no tier of their own.
            overage: own.map_or(Overage::Deny, |own| own.overage.clone()),
            ..base.clone()
        };
        let set = Override { tier: Arc::new(in_force), gives_tier: tier.is_some(), until };
        self.overridden = Some(Box::new(set));
        self
    }

    #[must_use]
    pub fn with_block(mut self, blocked: bool) -> Self {
        if blocked {
            self.standing = Standing::Blocked;
        }
        self
    }

    /// The tier in force: its limits and prices.
    pub fn tier_at(&self, now: i64) -> Option<&Arc<Tier>> {
        self.override_at(now).map(|set| &set.tier).or(self.tier.as_ref())
    }

    /// May be used at `now`, quota aside.
    pub fn admits(&self, now: i64) -> bool {
        match self.standing {
            Standing::Blocked => false,
            Standing::Admitted => true,
            Standing::Grace { until } if now < until => true,
            _ => self.override_at(now).is_some_and(|set| set.gives_tier),
        }
    }

    pub(super) fn override_at(&self, now: i64) -> Option<&Override> {
        self.overridden.as_deref().filter(|set| set.is_in_force(now))
    }
}

#[cfg(test)]
mod override_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod windows_tests;
