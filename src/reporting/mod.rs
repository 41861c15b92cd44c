//! Reporting: from the ledger to Stripe's meters, each unit once.
//!
//! Three steps, each durable before the next begins:
//!
//! 1. [`fold`]: new records, as far as the ledger is synced, become totals. Position and sums move in one transaction.
//! 2. Sealing: unreported units of a customer, meter and period become one outbox row, with an identifier, a value and
//!    a timestamp that never change. The total's sealed sum moves in the same transaction.
//! 3. Sending: a row is marked as tried, then sent until Stripe accepts it. Stripe's complaint about an identifier
//!    that it knows means that an earlier try arrived.
//!
//! So a crash at any point repeats work, and never a unit. Stripe forgets identifiers after 24 hours: a row that has
//! been without an answer for 23 is first looked for in Stripe's sums ([`unanswered`]).
//!
//! In a fleet a row is in Redis before it is sent (`copy`), so that another machine can send it (`take_over`) under the
//! same identifier; a machine that comes back reckons with what was sent for it (`fence`).
//!
//! [`reconcile`] compares the whole of it, of all nodes ([`books`]), with what Stripe says it holds, and [`repair`]
//! sends what is missing there.

pub mod books;
mod copy;
mod drift;
mod fence;
pub mod fold;
mod lost_machine;
mod narrow;
pub mod receipts;
pub mod reconcile;
pub mod repair;
mod report;
pub mod reporter;
mod restored;
mod send;
mod span;
mod split;
mod stripe_sums;
mod take_over;
pub mod unanswered;

#[cfg(test)]
mod fleet_tests;

pub use copy::CopierOptions;
pub use fold::{Folded, Folder};
pub use lost_machine::LostMachines;
pub use receipts::{
    Books as ReceiptBooks, MeterCharge, NoEvent, Reading, Receipt, ReceiptError, ReceiptKind, receipt_json,
};
pub use reconcile::{ReconcileError, ReconcileOptions, Reconciler, Repair};
pub use report::{Difference, Report};
pub use reporter::{Flushed, Reporter, ReporterOptions};
pub use span::{SpanError, parse_period};
