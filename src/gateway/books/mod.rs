//! Where charges are settled and written down: here, or, once another process has taken this one's place, there.
//!
//! # What it promises
//!
//! - One process at a time decides, settles and writes: what this one still has under way when another takes over is
//!   settled there, under the limits that hold there, and recorded once.
//! - What was reserved here is held there. What is not, since it came in the moment of the change, is asked for there
//!   before anything is charged.
//! - If the other one ends, nothing can be charged any more, and no answer of a charged request goes out.
//! - As long as nobody takes over, a request pays for all of this with a look at a flag.
//!
//! `words` is what the two say to each other, `heir` asks there, `desk` answers.

mod desk;
mod heir;
mod own;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::auth::Identity;
use crate::customers::Reservation;
use crate::domain::account::Terms;
use crate::domain::idempotency::Digest;
use crate::domain::measure::TrueCost;
use crate::domain::route::Route;
use crate::domain::usage::Now;
use crate::problem::Problem;
use crate::sharded::Running;

use super::admission::store_problem;
use super::context::{Context, Recorded};
use super::{Flow, Parts};

pub use desk::Desk;
pub use heir::Heir;

/// Where the books are.
#[derive(Debug)]
pub struct Books {
    /// They are not here, or about to go. Sequentially consistent: whoever is admitted, under an account's lock, after what
    /// is in flight was looked at under it, sees it.
    moving: AtomicBool,
    /// The same for our own endpoints, which must have ended before the books go.
    own_closed: AtomicBool,
    /// Requests that our own endpoints answer now.
    own: Running,
    /// Charges that are corrected or taken back here now: they must be in the ledger before that goes.
    settling: Running,
    place: watch::Sender<Place>,
}

#[derive(Clone, Debug)]
enum Place {
    Here,
    /// It will be known shortly.
    Unsettled,
    There(Heir),
}

impl Default for Books {
    fn default() -> Self {
        Self {
            moving: AtomicBool::new(false),
            own_closed: AtomicBool::new(false),
            own: Running::default(),
            settling: Running::default(),
            place: watch::Sender::new(Place::Here),
        }
    }
}

impl Books {
    /// Without a lock, for the path of a request.
    pub fn are_here(&self) -> bool {
        !self.moving.load(Ordering::SeqCst)
    }

    /// Who has them; none: they are here. Waits while that is not settled.
    pub async fn heir(&self) -> Option<Heir> {
        let mut place = self.place.subscribe();
        // An error means that the gateway is gone.
        let settled = place.wait_for(|place| !matches!(place, Place::Unsettled)).await;
        match settled.as_deref() {
            Ok(Place::There(heir)) => Some(heir.clone()),
            _ => None,
        }
    }

    /// Lets no more requests to our own endpoints, and waits until those that are there have ended. False: they have
    /// not within that time.
    pub async fn close_own(&self, within: Duration) -> bool {
        self.place.send_replace(Place::Unsettled);
        self.own_closed.store(true, Ordering::SeqCst);
        tokio::time::timeout(within, none_of(&self.own)).await.is_ok()
    }

    /// Nothing is decided or settled here from now on, until it is known where.
    pub async fn close(&self) {
        self.place.send_replace(Place::Unsettled);
        self.moving.store(true, Ordering::SeqCst);
        none_of(&self.settling).await;
    }

    /// Here, as before.
    pub fn reopen(&self) {
        self.moving.store(false, Ordering::SeqCst);
        self.own_closed.store(false, Ordering::SeqCst);
        self.place.send_replace(Place::Here);
    }

    /// There, for ever.
    pub fn hand_over(&self, heir: Heir) {
        self.place.send_replace(Place::There(heir));
    }

    /// Takes up a request to one of our own endpoints; none where others answer it.
    pub async fn begin_own(&self) -> Result<UnderWay<'_>, Heir> {
        loop {
            let own = UnderWay::begin(&self.own);
            if !self.own_closed.load(Ordering::SeqCst) {
                return Ok(own);
            }
            drop(own);
            if let Some(heir) = self.heir().await {
                return Err(heir);
            }
        }
    }

    fn settled(&self) -> Option<Place> {
        let place = self.place.borrow().clone();
        (!matches!(place, Place::Unsettled)).then_some(place)
    }
}

/// Something that must have ended before the books go.
pub struct UnderWay<'a>(&'a Running);

impl<'a> UnderWay<'a> {
    fn begin(running: &'a Running) -> Self {
        running.start();
        Self(running)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What nobody waits for.
pub(super) enum Matter {
    /// A charge is taken back.
    Undo(Recorded, Now),
    /// A charge that was made under these terms has turned out to be another.
    Correct(Recorded, TrueCost, Arc<Terms>, Now),
}

impl Flow {
    /// Releases what is held for a request that has left, here or there.
    pub(super) fn release(self: &Arc<Self>, reservation: Reservation) {
        if self.books.are_here() {
            return drop(reservation);
        }
        match self.books.settled() {
            Some(Place::There(heir)) => heir.release(&reservation),
            Some(_) => drop(reservation),
            None => {
                let flow = self.clone();
                spawn(async move {
                    if let Some(heir) = flow.books.heir().await {
                        heir.release(&reservation);
                    }
                });
            }
        }
    }
}

impl Parts {
    /// Under which number a member is recorded, when the store may have been closed.
    pub(super) async fn number_member(&self, customer: u32, member: &str) -> Result<u32, Problem> {
        match self.customers.member_number(customer, member).await {
            Ok(number) => Ok(number),
            Err(_) if !self.flow.books.are_here() => self.member_there(customer, member).await,
            Err(error) => Err(store_problem(&error)),
        }
    }

    /// Reserves the cost of a request, where the books are.
    pub(super) async fn reserve(
        &self,
        identity: &Identity,
        route: &Route,
        key: Option<Digest>,
        context: &mut Context,
    ) -> Result<Reservation, Problem> {
        if self.flow.books.are_here() {
            let reserved = self.reserve_here(identity, route, key, context).await;
            if self.flow.books.are_here() {
                return reserved;
            }
            // They went meanwhile, maybe without it.
            if let Ok(reservation) = reserved {
                self.flow.release(reservation);
            }
        }
        Box::pin(async {
            match self.flow.books.heir().await {
                Some(heir) => self.reserve_there(&heir, identity, route, key, context).await,
                None => self.reserve_here(identity, route, key, context).await,
            }
        })
        .await
    }

    /// Sees to it here or there, as soon as it is known where.
    pub(super) fn see_to(&self, matter: Matter) {
        let books = &self.flow.books;
        let settling = UnderWay::begin(&books.settling);
        if books.are_here() {
            return self.see_to_here(matter);
        }
        drop(settling);
        match books.settled() {
            Some(Place::There(heir)) => heir.tell(matter),
            // They have just come back.
            Some(_) => self.see_to(matter),
            None => self.see_to_later(matter),
        }
    }

    fn see_to_later(&self, matter: Matter) {
        let Some(parts) = self.me.upgrade() else { return };
        spawn(async move {
            match parts.flow.books.heir().await {
                Some(heir) => heir.tell(matter),
                None => parts.see_to(matter),
            }
        });
    }

    fn see_to_here(&self, matter: Matter) {
        match matter {
            Matter::Undo(recorded, now) => self.undo_here(recorded, now),
            Matter::Correct(recorded, truth, terms, now) => self.correct_here(recorded, &truth, &terms, now),
        }
    }
}

async fn none_of(running: &Running) {
    while running.count() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// There is no runtime only while everything is torn down.
fn spawn(later: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(later);
    }
}
