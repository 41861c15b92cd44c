//! What is asked of the process that has the books, and what it answers. Meters, routes and tiers have the asking
//! side's numbers; those of records are the store's, which both share.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::customers::Reservation;
use crate::domain::account::{self, By};
use crate::domain::idempotency::Digest;
use crate::domain::measure::TrueCost;
use crate::domain::refusal::Refusal;
use crate::domain::route::RouteId;
use crate::domain::tier::TierId;
use crate::domain::units::Cost;
use crate::domain::usage::{Charge, Now};
use crate::ledger::Record;
use crate::problem::Problem;

use super::super::context::Recorded;
use super::super::limits::LimitHeaders;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Question {
    Admit(ToAdmit),
    Extend(Hold, Now),
    /// What is held turned out to go by this key.
    Identify(Hold, Digest, Now),
    Charge(Box<ToCharge>),
    /// With a route: the limits of a request there are wanted.
    Release(Hold, Option<(RouteId, Now)>),
    Undo(Box<Charged>, Now),
    Correct(Box<Charged>, TrueCost, Now),
    /// Under which number this member of a customer is recorded.
    Member(u32, SmolStr),
    Own(Box<OwnRequest>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Admitted(Admitted),
    Refused(Box<Problem>, Shown),
    Denied(Refusal),
    Identified(bool),
    Charged(Box<Paid>),
    Member(u32),
    Own(Box<OwnAnswer>),
    /// The limits, where they were asked for.
    Done(Shown),
}

/// What is held for a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Hold {
    pub customer: SmolStr,
    pub cost: Cost,
    pub by: By,
}

impl Hold {
    pub fn of(reservation: &Reservation) -> Self {
        let customer = reservation.entry().name.clone();
        Self { customer, cost: reservation.cost().clone(), by: reservation.by() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ToAdmit {
    pub customer: SmolStr,
    pub stripe_customer: Option<SmolStr>,
    pub member: Option<SmolStr>,
    pub route: RouteId,
    pub key: Option<Digest>,
    pub at: Now,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Admitted {
    /// The store's numbers of customer and member.
    pub customer: u32,
    pub member: u32,
    pub by: account::Admitted,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ToCharge {
    pub hold: Hold,
    /// None: what is held.
    pub truth: Option<TrueCost>,
    pub route: RouteId,
    /// Without what only charging tells.
    pub record: Encoded,
    pub at: Now,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Paid {
    pub charge: Charge,
    pub tier: Option<TierId>,
    pub record: Encoded,
    pub shown: Shown,
}

/// A charge that is recorded.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Charged {
    pub customer: SmolStr,
    pub charge: Charge,
    pub record: Encoded,
}

impl Charged {
    pub fn of(recorded: &Recorded) -> Self {
        Self {
            customer: recorded.reservation.entry().name.clone(),
            charge: recorded.settled.charge.clone(),
            record: Encoded::of(&recorded.record),
        }
    }
}

/// A record as the ledger has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Encoded(Vec<u8>);

impl Encoded {
    pub fn of(record: &Record) -> Self {
        let mut bytes = Vec::new();
        record.encode(record.number, &mut bytes);
        Self(bytes)
    }

    /// None: it is none.
    pub fn read(&self) -> Option<Record> {
        Record::decode(&self.0).map(|(record, _)| record)
    }
}

/// A request to one of our own endpoints.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OwnRequest {
    pub method: String,
    pub uri: String,
    pub headers: Shown,
    pub body: Vec<u8>,
    pub client: Option<IpAddr>,
    /// Whom the client's certificate names, where that counts.
    pub certified: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OwnAnswer {
    pub status: u16,
    pub headers: Shown,
    pub body: Vec<u8>,
    pub problem: Option<Problem>,
}

/// Headers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Shown(Vec<(String, Vec<u8>)>);

impl Shown {
    pub fn of<'a>(headers: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>) -> Self {
        let header =
            |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.as_bytes().to_vec());
        Self(headers.into_iter().map(header).collect())
    }

    pub fn limits(headers: &LimitHeaders) -> Self {
        Self::of(headers.iter().map(|(name, value)| (name, value)))
    }

    pub fn into_limits(self) -> LimitHeaders {
        self.read().collect()
    }

    pub fn into_map(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.read() {
            headers.append(name, value);
        }
        headers
    }

    fn read(self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.0
            .into_iter()
            .filter_map(|(name, value)| Some((name.parse().ok()?, HeaderValue::from_bytes(&value).ok()?)))
    }
}
