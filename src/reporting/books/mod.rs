//! The outboxes of all nodes as one: Stripe's sums hold what all of them have sent.
//!
//! # What holds
//!
//! - Every node is asked at the moment that its part is needed; nothing that was told is kept. Whoever is known and
//!   does not answer is missing, and nothing is repaired or decided without them.
//! - A repair is made by one node alone: by name the first of those that have usage in its minute, if its own part is
//!   still as it was told. So of two who find one gap, on whichever nodes, the second finds the first one's row, and
//!   no lock in Redis is relied on.
//! - What was taken over of a lost node may be in its own outbox too: it is told apart, and nothing is repaired by it.

mod answering;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::domain::period::Period;
use crate::store::{Account, Holdings, MinuteHoldings, Repair, RepairRow, Store, StoreError, Unanswered};

use words::Span;
pub use words::{Answer, Answers, Gap, OtherBooks, Question, RowAt};

/// Questions under way at once: the others answer eight, and not only these.
const AT_ONCE: usize = 2;
/// Of so many seconds the minutes are told at once, so that no answer grows large.
const MINUTES_OF_SECONDS: i64 = 86_400;

/// What came of asking for a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Made {
    Row(RowAt),
    Changed,
    /// Its node did not answer: it may have been made.
    Unheard,
}

/// What nodes told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told<T> {
    pub told: T,
    /// Who has not.
    pub missing: Vec<String>,
}

impl<T> Told<T> {
    fn map<U>(self, map: impl FnOnce(T) -> U) -> Told<U> {
        Told { told: map(self.told), missing: self.missing }
    }
}

/// Each node's part, by its name.
type Parts<T> = Vec<(String, T)>;

pub(super) struct Books {
    store: Arc<Store>,
    others: Option<Arc<dyn OtherBooks>>,
    turns: Semaphore,
}

impl Books {
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, others: None, turns: Semaphore::new(AT_ONCE) }
    }

    pub fn with(self, others: Arc<dyn OtherBooks>) -> Self {
        Self { others: Some(others), ..self }
    }

    /// There are no others.
    pub fn is_alone(&self) -> bool {
        self.others.is_none()
    }

    /// There are none to ask, and Stripe's sums may hold what they have sent all the same.
    pub async fn is_one_of_a_fleet(&self) -> Result<bool, StoreError> {
        Ok(self.is_alone() && self.store.was_copied().await?)
    }

    fn own_name(&self) -> &str {
        self.others.as_ref().map_or("", |others| others.node())
    }

    async fn ask(&self, others: &dyn OtherBooks, question: Question) -> Answers {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        others.ask(question).await
    }

    /// This node's part and those of all others, by the nodes' names.
    async fn parts<T>(&self, own: T, question: Question, read: fn(Answer) -> Option<T>) -> Told<Parts<T>> {
        let mut told = vec![(self.own_name().to_owned(), own)];
        let Some(others) = &self.others else { return Told { told, missing: Vec::new() } };
        let Answers { answers, mut missing } = self.ask(&**others, question).await;
        for (node, answer) in answers {
            match read(answer) {
                Some(part) => told.push((node, part)),
                None => missing.push(node),
            }
        }
        told.sort_by(|(one, _), (other, _)| one.cmp(other));
        Told { told, missing }
    }

    /// The next Stripe customers, by name, whom a node knows or has sent something for.
    pub async fn customers(&self, after: String, limit: u32) -> Result<Told<Vec<String>>, StoreError> {
        let own = self.store.stripe_customers(after.clone(), limit).await?;
        let parts = self.parts(own, Question::Customers { after, limit }, names).await;
        Ok(parts.map(|parts| union(parts).into_iter().take(limit as usize).collect()))
    }

    /// Our customers whom a Stripe customer stands for.
    pub async fn names_of(&self, stripe_customer: &str) -> Result<Vec<String>, StoreError> {
        let stripe_customer = stripe_customer.to_owned();
        let own = self.store.names_of(stripe_customer.clone()).await?;
        let parts = self.parts(own, Question::Names { stripe_customer }, names).await;
        Ok(union(parts.told).into_iter().collect())
    }

    /// The holdings of the Stripe customers from the first to the last; those without rows are left out.
    pub async fn between(
        &self,
        customers: (String, String),
        span: Period,
    ) -> Result<Told<BTreeMap<Account, Holdings>>, StoreError> {
        let own = self.store.holdings_between(customers.clone(), span).await?;
        let parts = self
            .parts(own, Question::Between { customers, span: bounds(span) }, |answer| match answer {
                Answer::Between(held) => Some(held),
                _ => None,
            })
            .await;
        Ok(parts.map(|parts| {
            let mut all = BTreeMap::<_, Holdings>::new();
            for (account, held) in parts.into_iter().flat_map(|(_, held)| held) {
                *all.entry(account).or_default() += held;
            }
            all
        }))
    }

    /// From when until when the gateway before a restore can have sent the units of a row.
    pub async fn sought_in(&self, sequence: i64) -> Result<Period, StoreError> {
        self.store.sought_in(sequence).await
    }

    /// Whether other rows of an account are decided before a restored one: those of its time that wait for an answer,
    /// and restored ones before it. Of this node alone: no other one has any of its totals.
    pub async fn waits_before(
        &self,
        account: Account,
        span: Period,
        sequence: i64,
    ) -> Result<bool, StoreError> {
        self.store.waits_before(account, span, sequence).await
    }

    /// The holdings of one account.
    pub async fn holdings(&self, account: &Account, span: Period) -> Result<Told<Holdings>, StoreError> {
        Ok(self.holdings_by_node(account, span).await?.map(|parts| total(&parts)))
    }

    async fn holdings_by_node(
        &self,
        account: &Account,
        span: Period,
    ) -> Result<Told<Parts<Holdings>>, StoreError> {
        let own = self.store.holdings(account.clone(), span).await?;
        let question = Question::Holdings { account: account.clone(), span: bounds(span) };
        let read = |answer| match answer {
            Answer::Holdings(held) => Some(held),
            _ => None,
        };
        Ok(self.parts(own, question, read).await)
    }

    /// The same minute by minute; those without rows are left out.
    pub async fn minutes(
        &self,
        account: &Account,
        span: Period,
    ) -> Result<Told<Vec<MinuteHoldings>>, StoreError> {
        if self.is_alone() {
            let told = self.store.minutes(account.clone(), span).await?;
            return Ok(Told { told, missing: Vec::new() });
        }
        let mut all = Told { told: Vec::new(), missing: Vec::new() };
        let mut part = span;
        while part.start < span.end && all.missing.is_empty() {
            part.end = span.end.min(part.start + MINUTES_OF_SECONDS);
            let some = self.minutes_of_some(account, part).await?;
            all.told.extend(some.told);
            all.missing = some.missing;
            part.start = part.end;
        }
        Ok(all)
    }

    async fn minutes_of_some(
        &self,
        account: &Account,
        span: Period,
    ) -> Result<Told<Vec<MinuteHoldings>>, StoreError> {
        let own = self.store.minutes(account.clone(), span).await?;
        let question = Question::Minutes { account: account.clone(), span: bounds(span) };
        let read = |answer| match answer {
            Answer::Minutes(minutes) => Some(minutes),
            _ => None,
        };
        Ok(self.parts(own, question, read).await.map(together))
    }

    /// What waits for an answer in a minute, and what else is in it.
    pub async fn unanswered(
        &self,
        account: &Account,
        minute: Period,
        tried_before: i64,
    ) -> Result<Told<(Holdings, Unanswered)>, StoreError> {
        let own = self.store.unanswered(account.clone(), minute, tried_before).await?;
        let question =
            Question::Unanswered { account: account.clone(), minute: bounds(minute), tried_before };
        let read = |answer| match answer {
            Answer::Unanswered(held, waiting) => Some((held, waiting)),
            _ => None,
        };
        let parts = self.parts(own, question, read).await;
        Ok(parts.map(|parts| {
            let mut all = (Holdings::default(), Unanswered::default());
            for (_, (held, waiting)) in parts {
                all.0 += held;
                all.1.old += waiting.old;
                all.1.young_rows += waiting.young_rows;
            }
            all
        }))
    }

    /// The repairs of an account that have no answer yet.
    pub async fn pending_repairs(&self, account: &Account, span: Period) -> Result<Vec<RowAt>, StoreError> {
        let own = self.store.pending_repairs(account.clone(), span).await?;
        let question = Question::Repairs { account: account.clone(), span: bounds(span) };
        let read = |answer| match answer {
            Answer::Repairs(rows) => Some(rows),
            _ => None,
        };
        let parts = self.parts(own, question, read).await.told.into_iter();
        Ok(parts
            .flat_map(|(node, rows)| rows.into_iter().map(move |row| RowAt { node: node.clone(), row }))
            .collect())
    }

    /// Has a repair made, if its minute still is as it was found.
    pub async fn repair(
        &self,
        gap: Gap,
        found: Holdings,
        identifier_prefix: &str,
        now: i64,
    ) -> Result<Made, StoreError> {
        let parts = self.holdings_by_node(&gap.account, period(gap.minute)).await?;
        if !parts.missing.is_empty() || total(&parts.told) != found {
            return Ok(Made::Changed);
        }
        // There is one: what is missing is usage.
        let maker = parts.told.into_iter().find(|(_, held)| held.ledger > 0);
        let Some((node, seen)) = maker else { return Ok(Made::Changed) };
        let row = if node == self.own_name() {
            self.store.repair(new_row(gap, seen, identifier_prefix), now).await?
        } else {
            match self.ask_for_repair(&node, gap, seen, now).await {
                Some(row) => row,
                None => return Ok(Made::Unheard),
            }
        };
        Ok(row.map_or(Made::Changed, |row| Made::Row(RowAt { node, row })))
    }

    async fn ask_for_repair(
        &self,
        node: &str,
        gap: Gap,
        seen: Holdings,
        asked_at: i64,
    ) -> Option<Option<i64>> {
        let question = Question::Repair { node: node.to_owned(), asked_at, gap, seen };
        match self.of_node(node, question).await? {
            Answer::Made(row) => Some(row),
            _ => None,
        }
    }

    /// What has become of a repair; none where its node does not answer.
    pub async fn row(&self, row: &RowAt) -> Result<Option<RepairRow>, StoreError> {
        if row.node == self.own_name() {
            return Ok(Some(self.store.repair_row(row.row).await?));
        }
        Ok(match self.of_node(&row.node, Question::Row(row.clone())).await {
            Some(Answer::Row(found)) => Some(found),
            _ => None,
        })
    }

    /// Keeps what a comparison has found, by meter, for the metrics of all nodes that hear of it.
    pub async fn found(&self, units: Vec<(String, i64)>, now: i64) -> Result<(), StoreError> {
        self.store.set_reconciled(units.clone(), now).await?;
        if let Some(others) = &self.others {
            self.ask(&**others, Question::Found(units)).await;
        }
        Ok(())
    }

    async fn of_node(&self, node: &str, question: Question) -> Option<Answer> {
        let others = self.others.as_ref()?;
        let answers = self.ask(&**others, question).await.answers;
        answers.into_iter().find_map(|(name, answer)| (name == node).then_some(answer))
    }
}

fn bounds(span: Period) -> Span {
    (span.start, span.end)
}

fn period((start, end): Span) -> Period {
    Period { start, end }
}

fn new_row(gap: Gap, seen: Holdings, identifier_prefix: &str) -> Repair {
    let Gap { account, minute, units } = gap;
    Repair { account, minute: period(minute), seen, units, identifier_prefix: identifier_prefix.to_owned() }
}

fn names(answer: Answer) -> Option<Vec<String>> {
    match answer {
        Answer::Names(names) => Some(names),
        _ => None,
    }
}

fn union(parts: Parts<Vec<String>>) -> BTreeSet<String> {
    parts.into_iter().flat_map(|(_, names)| names).collect()
}

fn total(parts: &Parts<Holdings>) -> Holdings {
    let mut all = Holdings::default();
    for (_, held) in parts {
        all += *held;
    }
    all
}

/// The minutes of all nodes, in order.
fn together(parts: Parts<Vec<MinuteHoldings>>) -> Vec<MinuteHoldings> {
    let mut all = BTreeMap::<i64, MinuteHoldings>::new();
    for minute in parts.into_iter().flat_map(|(_, minutes)| minutes) {
        all.entry(minute.start)
            .and_modify(|known| {
                known.holdings += minute.holdings;
                known.periods =
                    (known.periods.0.min(minute.periods.0), known.periods.1.max(minute.periods.1));
            })
            .or_insert(minute);
    }
    all.into_values().collect()
}
