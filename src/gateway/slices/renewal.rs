//! One slice after the other.

use std::sync::Arc;

use crate::customers::{Denied, Entry, Reservation};
use crate::domain::account::ByMember;
use crate::domain::measure::{Slice, TrueCost};
use crate::domain::units::Cost;
use crate::domain::usage::Now;

use super::super::charging::{Due, Paid};
use super::super::context::Recorded;
use super::super::doors::There;
use super::{Cut, Open, Slices, State, Then};

/// A slice that is to take the place of another one.
struct Renewal {
    /// The one before with what it came to, unless that is settled.
    before: Option<(Open, TrueCost)>,
    slice: Slice,
    due: Due,
    reservation: Reservation,
}

impl Slices {
    /// What can be had at once; else others are to be asked.
    pub(super) fn extend(
        &self,
        entry: &Arc<Entry>,
        more: &Cost,
        member: Option<ByMember>,
        now: Now,
    ) -> Result<Reservation, Denied> {
        let books = &self.parts.flow.books;
        if !books.are_here() {
            return Err(Denied::Refill);
        }
        let extended = entry.extend(more, member, now)?;
        if books.are_here() {
            return Ok(extended);
        }
        self.parts.flow.release(extended);
        Err(Denied::Refill)
    }

    /// Settles the slice that is open, and charges the next one ahead: of what is reserved, or of what nobody has.
    pub(super) fn next(
        &self,
        state: &mut State,
        mut reservation: Reservation,
        granted: Option<&Cost>,
    ) -> Result<(), Cut> {
        let (parts, now) = (&*self.parts, self.wall());
        let Some(open) = state.open.take() else { return Ok(()) };
        let granted = granted.unwrap_or(reservation.cost());
        let (truth, slice) = open.slice.renew(granted, state.measuring.so_far(self.started.elapsed()));
        let record = open.recorded.record.clone().slice();
        let truth_of_next = TrueCost::new(&Cost::default(), slice.held());
        let due = Due { record, truth: Some(truth_of_next), at: now };
        if !parts.flow.books.are_here() {
            let came_to = open.recorded.came_to(&truth);
            state.settled.add(&came_to);
            let before = Some((open, came_to));
            self.renew_there(state, Renewal { before, slice, due, reservation });
            return Ok(());
        }
        let Open { recorded, terms, .. } = open;
        state.settled.add(&parts.settle_estimate(recorded, &truth, terms, now));
        match parts.charge_here(self.route(), due, &mut reservation) {
            Ok(paid) => {
                state.open = paid.and_then(|paid| self.open(slice, paid, reservation));
                Ok(())
            }
            Err(due) if !parts.flow.books.are_here() => {
                self.renew_there(state, Renewal { before: None, slice, due: *due, reservation });
                Ok(())
            }
            Err(_) => Err(self.cut_for(state, super::super::admission::ledger_unavailable())),
        }
    }

    fn open(&self, slice: Slice, paid: Paid, reservation: Reservation) -> Option<Open> {
        let Paid { settled, record, terms, is_written_here, .. } = paid;
        let recorded = Recorded { reservation, settled, record };
        if is_written_here {
            self.parts.note_paid(&recorded);
        }
        Some(Open { slice, recorded, terms: terms? })
    }

    /// Has it done where the books are, while the exchange goes on.
    fn renew_there(&self, state: &mut State, renewal: Renewal) {
        // None only while everything is torn down.
        let Some(slices) = self.me.upgrade() else { return };
        state.then = Some(Then::GoOn);
        state.is_asking = true;
        tokio::spawn(slices.renewed(renewal));
    }

    /// Whatever becomes of the exchange meanwhile, what is charged is settled.
    async fn renewed(self: Arc<Self>, renewal: Renewal) {
        let _there = There::begin(&self.parts.flow);
        let Renewal { before, slice, due, mut reservation } = renewal;
        if let Some((Open { recorded, terms, .. }, truth)) = before {
            self.parts.correct(recorded, truth, terms, due.at).await;
        }
        let paid = self.parts.collect(self.route(), due, &mut reservation).await;
        let then = {
            let state = &mut *self.lock();
            match paid {
                Ok(paid) => state.open = paid.and_then(|paid| self.open(slice, paid, reservation)),
                Err(problem) => drop(self.cut_for(state, problem)),
            }
            state.is_asking = false;
            state.then.take()
        };
        self.answered.notify_waiters();
        match then {
            Some(Then::End) => self.end(),
            Some(Then::TakeBack) => {
                if let Some(recorded) = self.take() {
                    self.parts.undo_recorded(recorded, self.wall());
                }
            }
            Some(Then::GoOn) | None => {}
        }
    }
}
