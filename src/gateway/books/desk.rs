//! Answers the process that had the books before, until it has ended; where another one has taken this one's place
//! since, by asking that.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use http::HeaderValue;

use crate::auth::{Identity, Scopes, Source};
use crate::clock;
use crate::customers::handover::Guests;
use crate::customers::{Denied, Entry, Reservation, Settled};
use crate::domain::account;
use crate::domain::idempotency::Digest;
use crate::domain::measure::TrueCost;
use crate::domain::route::RouteId;
use crate::domain::units::Cost;
use crate::domain::usage::Now;
use crate::handover::{Answers, Channel};
use crate::ledger::Appended;
use crate::live::Live;
use crate::problem::Problem;

use super::super::Parts;
use super::super::admission::{ledger_unavailable, store_problem};
use super::super::charging::{Due, Paid};
use super::super::connections::Connection;
use super::super::context::{Context, Recorded};
use super::super::doors::{Kind, There};
use super::Matter;
use super::heir::foreign;
use super::words::{self, Admitted, Answer, Charged, Encoded, Hold, Question, Shown, ToAdmit, ToCharge};

/// Decides, settles and records for the process before.
pub struct Desk {
    parts: Arc<Live<Parts>>,
    guests: Guests,
    /// Records of estimates that were made for it and whose truth it has not told.
    open: Mutex<BTreeSet<u64>>,
}

impl Desk {
    pub fn new(parts: Arc<Live<Parts>>, guests: Guests) -> Self {
        Self { parts, guests, open: Mutex::default() }
    }

    /// Answers until the other process has ended. Then what was held for it is released; answers the records of
    /// estimates whose truth nobody will tell.
    pub async fn serve(self, channel: Channel) -> BTreeSet<u64> {
        let _there = There::begin(&self.parts.now().flow);
        let (sender, receiver) = channel.split();
        let desk = Arc::new(self);
        let answering = desk.clone();
        let ended = Answers::new(sender, receiver)
            .serve(move |question: Question| {
                let desk = answering.clone();
                async move { desk.answer(question).await }
            })
            .await;
        tracing::info!(%ended, "the process before has ended");
        std::mem::take(&mut *desk.open())
    }

    async fn answer(&self, question: Question) -> Answer {
        let parts = self.parts.now();
        let answer = match question {
            Question::Admit(asked) => self.admit(&parts, asked).await,
            Question::Extend(hold, now) => self.extend(&parts, &hold, now).await,
            Question::Identify(hold, key, now) => {
                Ok(Answer::Identified(self.identify(&parts, &hold, key, now).await))
            }
            Question::Charge(asked) => self.charge(&parts, *asked).await,
            Question::Release(hold, wanted) => Ok(Answer::Done(self.release(&parts, &hold, wanted).await)),
            Question::Undo(charged, now) => self.undo(&parts, *charged, now).await,
            Question::Correct(charged, truth, now) => self.correct(&parts, *charged, &truth, now).await,
            Question::Member(customer, member) => {
                parts.number_member(customer, &member).await.map(Answer::Member)
            }
            Question::Own(asked) => Ok(Answer::Own(Box::new(parts.answer_for_guest(*asked).await))),
        };
        answer.unwrap_or_else(|problem| Answer::Refused(Box::new(problem), Shown::default()))
    }

    async fn admit(&self, parts: &Arc<Parts>, asked: ToAdmit) -> Result<Answer, Problem> {
        let route = self.guests.matched().route(asked.route).ok_or_else(foreign)?;
        let route = parts.catalogue.routes.get(route);
        let identity = identity(&asked).ok_or_else(foreign)?;
        let connection = Arc::new(Connection::new(None, Kind::Plain, None));
        let mut context = Context::new(parts.flow.clone(), connection);
        context.now = asked.at;
        let reservation = match parts.reserve(&identity, route, asked.key, &mut context).await {
            Ok(reservation) => reservation,
            Err(problem) => {
                let shown = Shown::limits(&context.shown_headers);
                return Ok(Answer::Refused(Box::new(problem), shown));
            }
        };
        let member = parts.member_number(&identity, reservation.entry().number).await?;
        self.admitted(reservation, member)
    }

    fn admitted(&self, reservation: Reservation, member: u32) -> Result<Answer, Problem> {
        let tier = self.guests.matched().tier_there(reservation.tier()).ok_or_else(foreign)?;
        let by = account::Admitted { tier, ..reservation.admitted() };
        let customer = reservation.entry().number;
        self.guests.hold(reservation);
        Ok(Answer::Admitted(Admitted { customer, member, by }))
    }

    async fn extend(&self, parts: &Parts, hold: &Hold, now: Now) -> Result<Answer, Problem> {
        let entry = self.customer(parts, &hold.customer, now).await?;
        match parts.extend(&entry, &self.cost(hold), hold.by.member, now).await {
            Ok(reservation) => self.admitted(reservation, 0),
            Err(Denied::Refused(refusal)) => {
                self.guests.matched().refusal_there(refusal).map(Answer::Denied).ok_or_else(foreign)
            }
            Err(_) => Err(ledger_unavailable()),
        }
    }

    /// Whether the request goes by the key from now on.
    async fn identify(&self, parts: &Parts, hold: &Hold, key: Digest, now: Now) -> bool {
        let Some(mut reservation) = self.take(parts, hold, now).await else { return false };
        parts.goes_by(&mut reservation, key, now).await;
        let goes_by_it = reservation.key() == Some(key);
        self.guests.hold(reservation);
        goes_by_it
    }

    async fn charge(&self, parts: &Parts, asked: ToCharge) -> Result<Answer, Problem> {
        let matched = self.guests.matched();
        let mut reservation = self.held(parts, &asked.hold, asked.at).await?;
        let route = matched.route(asked.route).ok_or_else(foreign)?;
        let record = asked.record.read().ok_or_else(foreign)?;
        let due = Due { record, truth: asked.truth.map(|truth| matched.true_cost(&truth)), at: asked.at };
        let paid = parts.collect(parts.catalogue.routes.get(route), due, &mut reservation).await?;
        let Paid { settled, record, limits, is_written_here, .. } = paid.ok_or_else(ledger_unavailable)?;
        let answer = words::Paid {
            charge: matched.charge_there(settled.charge.clone()),
            tier: settled.tier.and_then(|tier| matched.tier_there(tier)),
            record: Encoded::of(&record),
            shown: Shown::limits(&limits),
        };
        let number = record.number;
        if record.is_estimate() {
            self.open().insert(number);
        }
        if is_written_here {
            let recorded = Recorded { reservation, settled, record };
            if parts.ledger.durable(Appended(number)).await.is_err() {
                self.open().remove(&number);
                parts.see_to(Matter::Undo(recorded, asked.at));
                return Err(ledger_unavailable());
            }
            parts.note_paid(&recorded);
        }
        Ok(Answer::Charged(Box::new(answer)))
    }

    /// What is held for a request; what is not is reserved now, if the limits allow it.
    async fn held(&self, parts: &Parts, hold: &Hold, now: Now) -> Result<Reservation, Problem> {
        if let Some(reservation) = self.take(parts, hold, now).await {
            return Ok(reservation);
        }
        let entry = self.customer(parts, &hold.customer, now).await?;
        let reservation = parts.extend(&entry, &self.cost(hold), hold.by.member, now).await;
        let mut reservation = reservation.map_err(|_| ledger_unavailable())?;
        if let Some(key) = hold.by.key {
            parts.goes_by(&mut reservation, key, now).await;
        }
        Ok(reservation)
    }

    async fn release(&self, parts: &Parts, hold: &Hold, wanted: Option<(RouteId, Now)>) -> Shown {
        let taken = self.take(parts, hold, clock::now()).await;
        let Some(reservation) = taken else { return Shown::default() };
        let wanted = wanted.and_then(|(route, now)| Some((self.guests.matched().route(route)?, now)));
        let Some((route, now)) = wanted else {
            parts.flow.release(reservation);
            return Shown::default();
        };
        let (route, entry) = (parts.catalogue.routes.get(route), reservation.entry().clone());
        let member = hold.by.member.map(|member| member.id);
        let there = parts.let_go(reservation, route, now).await;
        let here = || parts.limit_headers(&entry.policies(route, member, parts.catalogue.currency, now));
        Shown::limits(&there.unwrap_or_else(here))
    }

    async fn undo(&self, parts: &Parts, charged: Charged, now: Now) -> Result<Answer, Problem> {
        let recorded = self.recorded(parts, charged, now).await?;
        self.open().remove(&recorded.record.number);
        parts.see_to(Matter::Undo(recorded, now));
        Ok(Answer::Done(Shown::default()))
    }

    async fn correct(
        &self,
        parts: &Parts,
        charged: Charged,
        truth: &TrueCost,
        now: Now,
    ) -> Result<Answer, Problem> {
        let recorded = self.recorded(parts, charged, now).await?;
        self.open().remove(&recorded.record.number);
        let (truth, terms) = (self.guests.matched().true_cost(truth), recorded.reservation.entry().terms());
        parts.correct(recorded, truth, terms, now).await;
        Ok(Answer::Done(Shown::default()))
    }

    async fn recorded(&self, parts: &Parts, charged: Charged, now: Now) -> Result<Recorded, Problem> {
        let entry = self.customer(parts, &charged.customer, now).await?;
        let charge = self.guests.matched().charge(charged.charge);
        Ok(Recorded {
            reservation: entry.settled_before(),
            settled: Settled { charge, tier: None },
            record: charged.record.read().ok_or_else(foreign)?,
        })
    }

    async fn customer(&self, parts: &Parts, name: &str, now: Now) -> Result<Arc<Entry>, Problem> {
        if !parts.flow.books.are_here() && parts.flow.books.heir().await.is_some() {
            // There the name says it all.
            return Ok(parts.customers.stand_in(name, 0, now));
        }
        self.guests.customer(name, now).await.map_err(|error| store_problem(&error))
    }

    /// What is held for a request. None: nothing is.
    async fn take(&self, parts: &Parts, hold: &Hold, now: Now) -> Option<Reservation> {
        let entry = self.customer(parts, &hold.customer, now).await.ok()?;
        self.guests.take(&entry, &self.cost(hold), hold.by)
    }

    fn cost(&self, hold: &Hold) -> Cost {
        self.guests.matched().cost(&hold.cost)
    }

    fn open(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who was found to call. What may be asked of them has been asked.
fn identity(asked: &ToAdmit) -> Option<Identity> {
    Some(Identity {
        customer: asked.customer.as_str().into(),
        customer_header: HeaderValue::from_str(&asked.customer).ok()?,
        member: asked.member.as_deref().map(Into::into),
        stripe_customer: asked.stripe_customer.as_deref().map(Into::into),
        scopes: Scopes::All,
        source: Source::Token,
        member_number: OnceLock::new(),
    })
}
