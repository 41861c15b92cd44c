//! Loading: all that the store knows of one customer, read at one instant and in one turn.

use rusqlite::{Connection, Row};

use super::{
    Adjustments, CustomerRow, FactsVersion, Grant, KeyRow, MemberTotal, Result, Store, Total, adjustments,
    credits, customers, facts, idempotency, member_totals, subscriptions, totals,
};
use crate::domain::credits::Lot;
use crate::domain::facts::Holder;
use crate::domain::period::Period;
use crate::domain::subscription::Facts;

/// Who is asked for, and what of their idempotency keys.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub name: String,
    /// The Stripe customer that a verified token claims: it replaces another link.
    pub claimed: Option<String>,
    /// Only those charged after this instant, in seconds.
    pub keys_after: i64,
    /// The latest so many.
    pub most_keys: usize,
    /// So many members' use of the period, and that of the others together.
    pub most_members: usize,
    /// What their grants were at first, and the version of what is told of them: this node is one of several.
    pub with_grants: bool,
}

/// A customer as the store knows them.
#[derive(Clone, Debug)]
pub struct Loaded<U> {
    pub customer: CustomerRow,
    /// Whether the subscriptions of the linked Stripe customer have been listed once.
    pub is_listed: bool,
    /// What the subscriptions were understood as.
    pub understood: U,
    /// Of the period that goes with it.
    pub totals: Vec<Total>,
    pub members: Vec<MemberTotal>,
    pub keys: Vec<KeyRow>,
    /// What is left of the customer's grants.
    pub lots: Vec<Lot>,
    /// Those that have not expired, where they were asked for.
    pub grants: Vec<Grant>,
    /// Of the facts that all this follows from; zeros where it was not asked for or nothing was told.
    pub version: FactsVersion,
}

impl Store {
    /// The customer of that name, made if it is new; a claim that replaces another link leaves an audit row.
    /// `understand` says what subscriptions and adjustments mean, and which period's totals are wanted.
    pub async fn load<U: Send + 'static>(
        &self,
        wanted: Wanted,
        now: i64,
        understand: impl Fn(&[Facts], &Adjustments) -> (U, Period) + Clone + Send + 'static,
    ) -> Result<Loaded<U>> {
        let (asked, meaning) = (wanted.clone(), understand.clone());
        let known = self.read(move |db| {
            let known = find(db, &asked.name)?;
            let linked = known
                .filter(|known| asked.claimed.is_none() || known.customer.stripe_customer == asked.claimed);
            linked.map(|known| read(db, known, &asked, now, meaning)).transpose()
        });
        if let Some(loaded) = known.await? {
            return Ok(loaded);
        }
        self.write(move |db| {
            customers::register(db, &wanted.name, wanted.claimed.as_deref(), now)?;
            let known = find(db, &wanted.name)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            read(db, known, &wanted, now, understand)
        })
        .await
    }
}

/// What is known by a customer's name alone.
struct Known {
    customer: CustomerRow,
    is_listed: bool,
    /// What else there is; see the schema.
    marks: u32,
    facts: Vec<Facts>,
}

const HAS_CREDITS: u32 = 1;
const IS_ADJUSTED: u32 = 2 | 4;

/// One row for each subscription, or one without.
pub(super) const KNOWN: &str = "SELECT c.number, c.stripe_customer,
        EXISTS (SELECT 1 FROM listed WHERE stripe_customer = c.stripe_customer), s.facts, c.marks
    FROM customers c LEFT JOIN subscriptions s ON s.stripe_customer = c.stripe_customer
    WHERE c.name = ?1 ORDER BY s.id";

/// In one statement: each that is begun costs as much as a customer's page.
fn find(db: &Connection, name: &str) -> Result<Option<Known>> {
    let mut query = db.prepare_cached(KNOWN)?;
    let mut rows = query.query([name])?;
    let Some(first) = rows.next()? else { return Ok(None) };
    let customer =
        CustomerRow { number: first.get(0)?, name: name.to_owned(), stripe_customer: first.get(1)? };
    let (is_listed, marks, mut facts) = (first.get(2)?, first.get(4)?, Vec::new());
    facts.extend(facts_in(first)?);
    while let Some(row) = rows.next()? {
        facts.extend(facts_in(row)?);
    }
    Ok(Some(Known { customer, is_listed, marks, facts }))
}

fn facts_in(row: &Row<'_>) -> Result<Option<Facts>> {
    let text = row.get_ref(3)?.as_str_or_null().map_err(rusqlite::Error::from)?;
    text.map(subscriptions::read_facts).transpose()
}

fn read<U>(
    db: &Connection,
    known: Known,
    wanted: &Wanted,
    now: i64,
    understand: impl Fn(&[Facts], &Adjustments) -> (U, Period),
) -> Result<Loaded<U>> {
    let Known { customer, is_listed, marks, facts: known } = known;
    let number = customer.number;
    let adjusted = marks & IS_ADJUSTED != 0;
    let adjustments = if adjusted { adjustments::of(db, number)? } else { Adjustments::default() };
    let (understood, period) = understand(&known, &adjustments);
    let lots = if marks & HAS_CREDITS != 0 { credits::lots(db, number)? } else { Vec::new() };
    let totals = totals::of(db, number, period.start)?;
    let members = member_totals::of(db, number, period.start, wanted.most_members)?;
    let keys = idempotency::latest(db, number, wanted.keys_after, wanted.most_keys)?;
    let grants = if wanted.with_grants { credits::grants(db, number, now)? } else { Vec::new() };
    let holder = || Holder::Customer(customer.name.clone());
    let version = if wanted.with_grants { facts::version_of(db, &holder())? } else { None };
    let version = version.unwrap_or(facts::NOTHING_TOLD);
    Ok(Loaded { customer, is_listed, understood, totals, members, keys, lots, grants, version })
}
