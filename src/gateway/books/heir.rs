//! The process that has the books, as the one before asks it.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::auth::Identity;
use crate::customers::{Denied, Entry, Reservation, Settled};
use crate::domain::account::{By, ByMember};
use crate::domain::idempotency::Digest;
use crate::domain::measure::TrueCost;
use crate::domain::route::Route;
use crate::domain::units::Cost;
use crate::domain::usage::Now;
use crate::handover::{Asker, Channel, Gone};
use crate::problem::{Code, Problem};

use super::super::Parts;
use super::super::admission::ledger_unavailable;
use super::super::charging::{Due, Paid};
use super::super::context::{Context, Recorded};
use super::super::limits::LimitHeaders;
use super::Matter;
use super::words::{Admitted, Answer, Charged, Encoded, Hold, Question, ToAdmit, ToCharge};

/// Who has the books now.
#[derive(Clone, Debug)]
pub struct Heir {
    asker: Asker<Question, Answer>,
}

impl Heir {
    /// What is asked and answered from now on goes over this channel, on the runtime of the caller.
    pub fn new(channel: Channel) -> Self {
        let (sender, receiver) = channel.split();
        Self { asker: Asker::new(sender, receiver) }
    }

    /// Whether everything that was asked or told has been answered, or nobody is there any more.
    pub fn has_heard_all(&self) -> bool {
        self.asker.waits_for() == 0
    }

    pub(super) async fn ask(&self, question: Question) -> Result<Answer, Gone> {
        self.asker.ask(question).await
    }

    pub(super) fn release(&self, reservation: &Reservation) {
        self.asker.tell(Question::Release(Hold::of(reservation), None));
    }

    pub(in super::super) async fn correct(&self, recorded: &Recorded, truth: TrueCost, now: Now) {
        // Where nobody is left nothing can be corrected.
        let _ = self.ask(Question::Correct(Box::new(Charged::of(recorded)), truth, now)).await;
    }

    pub(super) fn tell(&self, matter: Matter) {
        self.asker.tell(match matter {
            Matter::Undo(recorded, now) => Question::Undo(Box::new(Charged::of(&recorded)), now),
            Matter::Correct(recorded, truth, _, now) => {
                Question::Correct(Box::new(Charged::of(&recorded)), truth, now)
            }
        });
    }
}

/// A charge that was made there for somebody who may have left: dropped, it is taken back.
struct Unclaimed {
    heir: Heir,
    paid: Option<Box<super::words::Paid>>,
    customer: SmolStr,
}

impl Unclaimed {
    fn claim(mut self) -> Option<Box<super::words::Paid>> {
        self.paid.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        let Some(paid) = self.paid.take() else { return };
        let now = paid.charge.at;
        let charged = Charged { customer: self.customer.clone(), charge: paid.charge, record: paid.record };
        self.heir.asker.tell(Question::Undo(Box::new(charged), now));
    }
}

impl Parts {
    /// What [`Self::reserve`] does, there.
    pub(in super::super) async fn reserve_there(
        &self,
        heir: &Heir,
        identity: &Identity,
        route: &Route,
        key: Option<Digest>,
        context: &mut Context,
    ) -> Result<Reservation, Problem> {
        let now = context.asked_at();
        let asked = ToAdmit {
            customer: SmolStr::new(&identity.customer),
            stripe_customer: identity.stripe_customer.as_ref().map(SmolStr::new),
            member: identity.member.as_ref().filter(|_| route.is_charged()).map(SmolStr::new),
            route: route.id,
            key,
            at: now,
        };
        match heir.ask(Question::Admit(asked)).await {
            Ok(Answer::Admitted(admitted)) => {
                // It may be known, and is the same.
                let _ = identity.member_number.set((admitted.customer, admitted.member));
                context.member = admitted.member;
                Ok(self.reservation_there(&identity.customer, &admitted, route.cost.clone(), now))
            }
            Ok(Answer::Refused(problem, shown)) => {
                context.shown_headers = shown.into_limits();
                Err(*problem)
            }
            _ => Err(ledger_unavailable()),
        }
    }

    /// What is held there as it is known here.
    fn reservation_there(&self, customer: &str, admitted: &Admitted, cost: Cost, now: Now) -> Reservation {
        let entry = self.customers.stand_in(customer, admitted.customer, now);
        Reservation::elsewhere(entry, admitted.by, cost)
    }

    /// Reserves more there.
    pub(in super::super) async fn extend_there(
        &self,
        heir: &Heir,
        entry: &Arc<Entry>,
        cost: &Cost,
        member: Option<ByMember>,
        now: Now,
    ) -> Result<Reservation, Denied> {
        let hold =
            Hold { customer: entry.name.clone(), cost: cost.clone(), by: By { member, ..By::default() } };
        match heir.ask(Question::Extend(hold, now)).await {
            Ok(Answer::Admitted(admitted)) => {
                Ok(self.reservation_there(&entry.name, &admitted, cost.clone(), now))
            }
            Ok(Answer::Denied(refusal)) => Err(Denied::Refused(refusal)),
            _ => Err(Denied::Refill),
        }
    }

    /// What is held there goes by a key from now on, if that says so.
    pub(in super::super) async fn identify_there(
        &self,
        heir: &Heir,
        reservation: &mut Reservation,
        key: Digest,
        now: Now,
    ) {
        let asked = Question::Identify(Hold::of(reservation), key, now);
        if let Ok(Answer::Identified(true)) = heir.ask(asked).await {
            reservation.goes_by(key);
        }
    }

    /// Releases what is held there, and answers the limits as they are then.
    pub(in super::super) async fn release_there(
        &self,
        heir: &Heir,
        reservation: Reservation,
        route: &Route,
        now: Now,
    ) -> LimitHeaders {
        let asked = Question::Release(Hold::of(&reservation), Some((route.id, now)));
        match heir.ask(asked).await {
            Ok(Answer::Done(shown)) => shown.into_limits(),
            _ => LimitHeaders::new(),
        }
    }

    /// Charges there what is held there, or what still has to be reserved there.
    pub(in super::super) async fn charge_there(
        &self,
        heir: &Heir,
        route: &Route,
        due: Due,
        reservation: &Reservation,
    ) -> Result<Paid, Problem> {
        let hold = Hold::of(reservation);
        let customer = hold.customer.clone();
        let (truth, record, at) = (due.truth, Encoded::of(&due.record), due.at);
        let asked = ToCharge { hold, truth, route: route.id, record, at };
        let heir = heir.clone();
        // A task of its own: whoever waits may leave, and what was charged nobody pays for then.
        let asked = tokio::spawn(async move {
            let paid = match heir.ask(Question::Charge(Box::new(asked))).await {
                Ok(Answer::Charged(paid)) => paid,
                Ok(Answer::Refused(problem, _)) => return Err(*problem),
                _ => return Err(ledger_unavailable()),
            };
            Ok(Unclaimed { heir, paid: Some(paid), customer })
        });
        let unclaimed = asked.await.map_err(|_| ledger_unavailable())??;
        let paid = unclaimed.claim().ok_or_else(ledger_unavailable)?;
        let record = paid.record.read().ok_or_else(ledger_unavailable)?;
        Ok(Paid {
            settled: Settled { charge: paid.charge, tier: paid.tier },
            record,
            limits: paid.shown.into_limits(),
            terms: Some(reservation.entry().terms()),
            is_written_here: false,
        })
    }

    /// The number of a member that the store could not be asked for any more.
    pub(in super::super) async fn member_there(&self, customer: u32, member: &str) -> Result<u32, Problem> {
        let heir = self.flow.books.heir().await.ok_or_else(ledger_unavailable)?;
        match heir.ask(Question::Member(customer, member.into())).await {
            Ok(Answer::Member(number)) => Ok(number),
            _ => Err(ledger_unavailable()),
        }
    }
}

/// The process that has the books does not know what this one knows.
pub(super) fn foreign() -> Problem {
    Problem::new(Code::Draining, "this gateway is being replaced; try again")
}
