//! Everything that a disk, a machine or Stripe can do to us, and that no unit is lost or billed twice under it.
//!
//! - [`chain`] the hash of each segment in the next
//! - [`disk`] a disk in memory that fails on demand; [`writer`] who writes to it; [`ledger`], [`repair`] one failure at a
//!   time; [`power`] power lost in the n-th sync, for every n
//! - [`model`] random actions on ledger, store and reporting, beside ten lines that say what is right
//! - [`stripe`] a Stripe that fails every fifth call; [`outage`] one that is away
//! - [`kills`] `kill -9` at random moments
//! - [`full`] a file system without room
//! - [`long`] answers that take long, and end badly

mod chain;
mod disk;
mod full;
mod kills;
mod ledger;
mod long;
mod machine;
mod model;
mod outage;
mod power;
mod repair;
mod stripe;
mod writer;

use smallvec::smallvec;
use tollgate::domain::period::Period;
use tollgate::ledger::{Kind, LedgerId, Record, RecordDraw};

const LEDGER: LedgerId = LedgerId([9; 16]);

/// A charge of so many units.
fn record(customer: u32, units: i64) -> Record {
    Record {
        number: 0,
        at_micros: 1_800_000_000_000_000,
        request: [7; 16],
        customer,
        member: 0,
        counts_for_member: false,
        in_shadow: false,
        route: 1,
        tier: 2,
        configuration: 3,
        period: Period { start: 1_798_761_600, end: 1_801_440_000 },
        kind: Kind::Charge,
        status: 200,
        method: 1,
        draws: smallvec![RecordDraw { meter: 1, included: units, ..RecordDraw::default() }],
        lots: Vec::new(),
        key: None,
        foreign_request: None,
    }
}
