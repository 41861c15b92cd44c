//! Reconciling: the ledger's side of the bill against what Stripe's meters hold, customer by customer.
//!
//! - The ledger's side is the usage in the outbox that is settled, by the events' own timestamps; Stripe's side is
//!   its sum over the same whole minutes. Customers of ours who share one at Stripe are compared together.
//! - What is under way is in neither side for certain: an account that differs is looked at again, and one that
//!   keeps changing is told as unsettled.
//! - Customers come from the store in pages; only differences are kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::clock;
use crate::domain::period::Period;
use crate::store::{Account, Holdings, Store, StoreError};
use crate::stripe::{CallError, Transport};

use super::books::{Answer, Books, OtherBooks, Question, Told};
use super::drift::Drift;
use super::repair::MISSING;
use super::report::{Difference, Report};
use super::send::Sender;
use super::span::{EmptyPeriod, kept, next_minute};
use super::stripe_sums::{StripeSums, SumError};

/// Stripe customers compared before the next are read from the store.
const PAGE: u32 = 512;
/// Calls in flight at once; the transport keeps to Stripe's limits.
const CONCURRENCY: usize = 32;
/// Times that an account which differs is looked at, until nothing has changed meanwhile.
const LOOKS: usize = 3;

const ONE_OF_A_FLEET: &str = "this is one node of a fleet, and its gateway does not run or has left it: Stripe's sums \
    hold the usage of all nodes, and only this one's is compared; nothing is repaired";
const PARTIAL: &str = "not all nodes of the fleet have told what they have sent, and Stripe's sums hold that too: \
    nothing is repaired without them";
const MISSING_MAY_HAVE_SENT: &str =
    "Stripe holds more than what was told: the nodes that are missing may have sent it";
const TOO_MUCH_AT_STRIPE: &str = "Stripe holds more than the ledger: nothing takes that back by itself; for an event \
    that Stripe received less than 24 h ago, cancel it by its identifier: POST /v1/billing/meter_event_adjustments";

const TAKEN_OVER: &str =
    "of it were taken over of a lost node, and may be counted twice until it has them again";

#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Period(#[from] EmptyPeriod),
    #[error(transparent)]
    Sum(SumError),
    #[error("reading Stripe's sums: {error}; {}", after(*repair))]
    Stripe { error: CallError, repair: Repair },
}

impl From<SumError> for ReconcileError {
    fn from(error: SumError) -> Self {
        match error {
            SumError::Stripe(error) => Self::Stripe { error, repair: Repair::No },
            error => Self::Sum(error),
        }
    }
}

impl ReconcileError {
    fn during(self, repair: Repair) -> Self {
        match self {
            Self::Stripe { error, .. } => Self::Stripe { error, repair },
            error => error,
        }
    }
}

fn after(repair: Repair) -> &'static str {
    match repair {
        Repair::No => "nothing was changed, run it again",
        Repair::ByGateway | Repair::Here => {
            "repairs that were made before this are kept and not made twice, run it again"
        }
    }
}

#[derive(Clone, Debug)]
pub struct ReconcileOptions {
    /// `tg-` and the ledger's id.
    pub identifier_prefix: String,
    /// Name of each meter, and of its events at Stripe.
    pub meters: Vec<(String, String)>,
    /// How long Stripe gets to add up what it has accepted.
    pub settle: Duration,
    /// How long settled rows are kept.
    pub retention: Duration,
    /// Called once when Stripe does not answer.
    pub on_silence: fn(),
}

/// Whether what is missing is sent, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    No,
    /// A gateway runs on this `data_dir`: it sends the rows.
    ByGateway,
    /// Nobody else can be sending: the caller holds the lock of `data_dir`.
    Here,
}

pub struct Reconciler {
    pub(super) store: Arc<Store>,
    pub(super) books: Books,
    pub(super) sums: StripeSums,
    pub(super) sender: Sender,
    pub(super) options: ReconcileOptions,
    pub(super) settle_seconds: i64,
}

impl Reconciler {
    pub fn new(store: Arc<Store>, transport: Arc<Transport>, options: ReconcileOptions) -> Self {
        let settle_seconds = i64::try_from(options.settle.as_secs()).unwrap_or(i64::MAX);
        let prefix = options.identifier_prefix.clone();
        let sender = Sender::new(store.clone(), transport.clone(), prefix, settle_seconds);
        let sums = StripeSums::new(transport).telling(options.on_silence);
        let books = Books::new(store.clone());
        Self { store, books, sums, sender, options, settle_seconds }
    }

    /// The same in a fleet.
    #[must_use]
    pub fn with_others(mut self, others: Arc<dyn OtherBooks>) -> Self {
        self.books = self.books.with(others);
        self
    }

    /// What this node's outbox answers another one.
    pub async fn answer(&self, question: Question) -> Result<Answer, StoreError> {
        self.books.answer(question, &self.options.identifier_prefix, clock::now().seconds()).await
    }

    /// How many customers there are to compare.
    pub async fn customers(&self) -> Result<u64, ReconcileError> {
        Ok(self.store.count_stripe_customers().await?)
    }

    /// Compares everybody within whole minutes, repairs what may be repaired, and keeps the outcome for the metrics.
    /// `compared` is told how many customers were compared since it was last told.
    pub async fn run(
        &self,
        asked: Period,
        repair: Repair,
        compared: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Report, ReconcileError> {
        let span = self.kept(asked)?;
        let mut report = Report::new(asked, span);
        // Other nodes' usage is in Stripe's sums: where they cannot be asked, what is missing cannot be told.
        let sees_all = !self.books.is_one_of_a_fleet().await?;
        let repair = if sees_all { repair } else { Repair::No };
        if repair == Repair::Here {
            self.send_repairs().await?;
        }
        let mut after = String::new();
        loop {
            let Told { told: page, missing } = self.books.customers(after, PAGE).await?;
            self.note_missing(missing, &mut report);
            let (Some(first), Some(last)) = (page.first(), page.last()) else { break };
            after = last.clone();
            let held = self.books.between((first.clone(), last.clone()), span).await?;
            self.note_missing(held.missing.clone(), &mut report);
            let compared_page = self.compare_page(&page, held, span, repair).await;
            let compared_page = compared_page.map_err(|error| error.during(repair))?;
            report.differences.extend(compared_page);
            report.customers += page.len() as u64;
            compared(page.len() as u64);
        }
        if !sees_all {
            report.remark(ONE_OF_A_FLEET);
        } else if report.is_partial() {
            report.remark(PARTIAL);
        }
        report.differences.sort_by(|a, b| (&a.customer, &a.meter).cmp(&(&b.customer, &b.meter)));
        self.settle_repairs(&mut report, repair).await?;
        if sees_all && !report.is_partial() {
            self.keep(&report).await?;
        }
        Ok(report)
    }

    fn note_missing(&self, missing: Vec<String>, report: &mut Report) {
        if !self.books.is_alone() {
            report.miss(missing);
        }
    }

    /// What of a period the outbox still holds: settled rows go after their time.
    fn kept(&self, asked: Period) -> Result<Period, EmptyPeriod> {
        let retention = i64::try_from(self.options.retention.as_secs()).unwrap_or(i64::MAX);
        let now = clock::now().seconds();
        kept(asked, next_minute(now.saturating_sub(retention)), now)
    }

    async fn compare_page(
        &self,
        customers: &[String],
        held: Told<BTreeMap<Account, Holdings>>,
        span: Period,
        repair: Repair,
    ) -> Result<Vec<Difference>, ReconcileError> {
        // Stripe may hold something of those of whom we have nothing.
        let mut accounts: BTreeMap<Account, Holdings> = customers
            .iter()
            .flat_map(|customer| self.options.meters.iter().map(move |(_, event)| (customer, event)))
            .map(|(customer, event)| (account(customer, event), Holdings::default()))
            .collect();
        accounts.extend(held.told);
        let compared = stream::iter(accounts)
            .map(|(account, told)| {
                let held = Told { told, missing: held.missing.clone() };
                self.compare(account, held, span, repair)
            })
            .buffer_unordered(CONCURRENCY);
        compared.try_filter_map(async |difference| Ok(difference)).try_collect().await
    }

    /// One account; none when both sides tell the same.
    async fn compare(
        &self,
        account: Account,
        mut held: Told<Holdings>,
        span: Period,
        repair: Repair,
    ) -> Result<Option<Difference>, ReconcileError> {
        let mut settled = false;
        let mut stripe = 0;
        for _ in 0..LOOKS {
            stripe = match self.sums.units(&account, span).await {
                Err(SumError::Stripe(error)) if error.is_missing() => {
                    return self.unknown_at_stripe(&account, &held).await;
                }
                units => units?,
            };
            if held.told.ledger == stripe {
                return Ok(None);
            }
            let now_held = self.books.holdings(&account, span).await?;
            settled = now_held == held;
            held = now_held;
            if settled {
                break;
            }
        }
        let mut difference = self.difference(&account, &held, stripe).await?;
        if held.told.pending > 0 {
            difference.earlier = self.books.pending_repairs(&account, span).await?;
        }
        if !held.missing.is_empty() {
            return Ok(Some(difference));
        }
        let now = clock::now().seconds();
        let Some(old) = self.old_part(&account, span, now).await? else {
            difference.remark(MISSING);
            return Ok(Some(difference));
        };
        difference.drift = Some(Drift::of(&old, now, self.settle_seconds));
        if !settled {
            difference.remark("unsettled: usage is being sent at this moment");
        } else if difference.difference <= difference.dead_units {
            return Ok(Some(difference));
        } else if repair == Repair::No {
            self.advise(&account, span, &old, &mut difference).await?;
        } else {
            self.repair(&account, span, &old, &mut difference).await?;
        }
        Ok(Some(difference))
    }

    async fn unknown_at_stripe(
        &self,
        account: &Account,
        held: &Told<Holdings>,
    ) -> Result<Option<Difference>, ReconcileError> {
        if held.told.ledger == 0 {
            return Ok(None);
        }
        let mut difference = self.difference(account, held, 0).await?;
        difference.remark("Stripe does not know this customer");
        Ok(Some(difference))
    }

    async fn difference(
        &self,
        account: &Account,
        Told { told: held, missing }: &Told<Holdings>,
        stripe: i64,
    ) -> Result<Difference, ReconcileError> {
        let meter = self.options.meters.iter().find(|(_, event)| *event == account.event_name);
        let mut difference = Difference {
            customer: self.books.names_of(&account.stripe_customer).await?.join(", "),
            stripe_customer: account.stripe_customer.clone(),
            meter: meter.map_or(&account.event_name, |(name, _)| name).clone(),
            ledger: held.ledger,
            stripe,
            difference: held.ledger - stripe,
            repaired: 0,
            dead_units: held.dead,
            pending_units: held.pending,
            note: String::new(),
            repairs: Vec::new(),
            made: Vec::new(),
            earlier: Vec::new(),
            drift: None,
        };
        if difference.difference < 0 {
            difference.remark(if missing.is_empty() { TOO_MUCH_AT_STRIPE } else { MISSING_MAY_HAVE_SENT });
        }
        match held.pending {
            ..=0 => {}
            1 => difference.remark("unsettled: 1 unit is on its way"),
            units => difference.remark(&format!("unsettled: {units} units are on their way")),
        }
        if held.dead > 0 {
            difference.remark(&format!(
                "{} not accepted: see `tollgate outbox list`, then `tollgate outbox retry`",
                if held.dead == 1 { "1 unit was".to_owned() } else { format!("{} units were", held.dead) }
            ));
        }
        match held.taken {
            ..=0 => {}
            1 => difference.remark(&format!("1 unit {TAKEN_OVER}")),
            units => difference.remark(&format!("{units} units {TAKEN_OVER}")),
        }
        Ok(difference)
    }

    /// What metrics show of it, on all nodes. Nobody's units too many make good what another one misses.
    async fn keep(&self, report: &Report) -> Result<(), ReconcileError> {
        let units = |meter: &String| {
            let of_meter = report.differences.iter().filter(|difference| difference.meter == *meter);
            of_meter.map(Difference::unexplained).sum::<i64>()
        };
        let by_meter = self.options.meters.iter().map(|(meter, _)| (meter.clone(), units(meter))).collect();
        Ok(self.books.found(by_meter, clock::now().seconds()).await?)
    }
}

fn account(stripe_customer: &str, event_name: &str) -> Account {
    Account { stripe_customer: stripe_customer.to_owned(), event_name: event_name.to_owned() }
}
