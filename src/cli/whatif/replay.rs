//! Recorded exchanges, decided and charged anew under one configuration, by the accounts that the gateway itself
//! decides with.

mod late;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::cli::Failure;
use crate::cli::books::Books;
use crate::domain::account::{Account, By, ByMember, Terms};
use crate::domain::idempotency::{Digest, Limits};
use crate::domain::measure::TrueCost;
use crate::domain::period::{Interval, Period};
use crate::domain::refusal::Refusal;
use crate::domain::route::{OnLimit, Route};
use crate::domain::subscription::{Entitlement, Standing, Subscription, Windows};
use crate::domain::tier::Tier;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{Charge, MemberId};
use crate::gateway::code_of;
use crate::problem::Code;

use super::exchanges::{Exchange, Told, Units};
use super::mapping::Mapping;
use super::start::Start;
use super::tally::Tallies;
use late::{Open, Recent};

/// Exchanges that cost nothing here are kept in mind for what comes of them later: twice as many, at most.
const FREE: usize = 500_000;
/// And so are those whose cost is still to be told a minute after they were charged.
const OPEN: usize = 100_000;

/// One configuration in force.
pub(super) struct Replay {
    pub mapping: Mapping,
    key_limits: Limits,
    customers: HashMap<u32, State>,
    terms: HashMap<(u32, Period), Arc<Terms>>,
    /// Refused, or of a route that does not charge them.
    free: Recent<(), FREE>,
    open: Recent<Open, OPEN>,
    /// Estimates that came to nothing: whoever goes on with their exchange pays its fixed cost.
    nothing: Recent<(), OPEN>,
}

struct State {
    account: Account,
    tier: u32,
    period: Period,
    tallies: Tallies,
}

impl Replay {
    pub fn new(mapping: Mapping, key_limits: Limits) -> Self {
        let (customers, terms) = (HashMap::new(), HashMap::new());
        let (free, open, nothing) = (Recent::default(), Recent::default(), Recent::default());
        Self { mapping, key_limits, customers, terms, free, open, nothing }
    }

    /// By customer, what became of their requests.
    pub fn into_tallies(self) -> (Mapping, HashMap<u32, Tallies>) {
        let tallies = self.customers.into_iter().map(|(customer, state)| (customer, state.tallies));
        (self.mapping, tallies.collect())
    }

    pub fn see(&mut self, told: &Told<'_>, start: &Start, books: &Books) -> Result<(), Failure> {
        match told {
            Told::Exchange(exchange) => self.decide(exchange, start, books),
            Told::Late(late) => self.change(late, books),
        }
    }

    fn decide(&mut self, exchange: &Exchange, start: &Start, books: &Books) -> Result<(), Failure> {
        let tier = self.mapping.tier(exchange.tier, books)?;
        let found = self.mapping.route(exchange.route, exchange.method, books)?;
        let truth = self.units(&exchange.units, books)?;
        self.stand(exchange, tier.as_ref(), start, books)?;
        let Self { mapping, customers, free, open, nothing, .. } = self;
        let Some(state) = customers.get_mut(&exchange.customer) else { return Ok(()) };
        let tally = state.tallies.of(exchange.tier, mapping.catalogue.meters.by_number().len());
        tally.requests += u64::from(exchange.slice_of.is_none());
        let charged = match (found, &tier) {
            (Ok(id), Some(_)) => {
                let route = mapping.catalogue.routes.get(id);
                match exchange.slice_of {
                    Some(first) if free.contains(first) => Ok(None),
                    Some(first) => {
                        let is_first = !exchange.taken_back && nothing.remove(first).is_some();
                        slice(&mut state.account, route, exchange, &truth, is_first).map(Some)
                    }
                    None => request(&mut state.account, route, exchange, &truth),
                }
            }
            (Err(code), _) => Err(code),
            (_, None) => Err(Code::PaymentRequired),
        };
        match charged {
            Ok(Some(charge)) if !charge.is_repeat() => {
                let terms = state.account.terms();
                tally.charged(&charge, terms);
                if exchange.is_open {
                    let (terms, units) = (terms.clone(), exchange.units.clone());
                    let first = exchange.slice_of.unwrap_or(exchange.number);
                    open.insert(exchange.number, Open { first, charge, terms, units });
                }
            }
            Ok(_) if exchange.taken_back => nothing.insert(exchange.number, ()),
            Ok(_) => free.insert(exchange.number, ()),
            Err(code) => {
                tally.refused(code);
                free.insert(exchange.number, ());
                exchange.slice_of.into_iter().for_each(|first| free.insert(first, ()));
            }
        }
        Ok(())
    }

    /// Recorded units, by this configuration's meters.
    fn units(&mut self, units: &Units, books: &Books) -> Result<SmallVec<[(MeterId, i64); 2]>, Failure> {
        let mut known = SmallVec::new();
        for (meter, units) in units {
            known.extend(self.mapping.meter(*meter, books)?.map(|meter| (meter, *units)));
        }
        Ok(known)
    }

    /// The customer's account, under the tier and in the period of an exchange.
    fn stand(
        &mut self,
        exchange: &Exchange,
        tier: Option<&Arc<Tier>>,
        start: &Start,
        books: &Books,
    ) -> Result<(), Failure> {
        let (customer, period) = (exchange.customer, exchange.period);
        let known = self.customers.get(&customer);
        if known.is_some_and(|state| state.tier == exchange.tier && state.period == period) {
            return Ok(());
        }
        let terms = self.terms(exchange, tier, start, books)?;
        let window = start.window(customer, period, &mut self.mapping, books)?;
        if let Some(state) = self.customers.get_mut(&customer) {
            state.account.entitle(terms, Some(window), exchange.at);
            (state.tier, state.period) = (exchange.tier, period);
        } else {
            let mut account = Account::new(terms, window);
            for lot in start.lots(customer) {
                account.put_credits(lot);
            }
            let state = State { account, tier: exchange.tier, period, tallies: Tallies::default() };
            self.customers.insert(customer, state);
        }
        Ok(())
    }

    /// Shared by all whom no operator has set anything for.
    fn terms(
        &mut self,
        exchange: &Exchange,
        tier: Option<&Arc<Tier>>,
        start: &Start,
        books: &Books,
    ) -> Result<Arc<Terms>, Failure> {
        let (period, key_limits) = (exchange.period, self.key_limits);
        let windows =
            Windows::Periods { current: period, anchor: period.start, interval: Interval::Months(1) };
        let entitlement = |tier: Option<Arc<Tier>>| {
            let standing = if tier.is_some() { Standing::Admitted } else { Standing::PaymentRequired };
            Entitlement { standing, tier, windows, overridden: None }
        };
        let terms = |entitlement| {
            Arc::new(Terms { entitlement, key_limits, stripe_customer: None, subscription: None })
        };
        let Some((set, facts)) = start.overridden(exchange.customer) else {
            let key = (exchange.tier, period);
            return Ok(self.terms.entry(key).or_insert_with(|| terms(entitlement(tier.cloned()))).clone());
        };
        let catalogue = &*self.mapping.catalogue;
        let (mut own, mut given) = (tier.cloned(), None);
        if let Some(name) = &set.tier
            && books.name(exchange.tier)?.as_deref() == Some(name)
        {
            // What is recorded is the tier in force; overage is that of the customer's own.
            let at = exchange.at.seconds();
            let all: Vec<_> = facts.iter().map(|facts| Subscription::read(facts, catalogue).at(at)).collect();
            own = Entitlement::of(Subscription::best(&all), catalogue).tier;
            given = catalogue.tiers.iter().find(|tier| *tier.name == **name);
        }
        let included = Start::included(set, &self.mapping);
        Ok(terms(entitlement(own).with_override(given, &included, set.until)))
    }
}

fn by(exchange: &Exchange) -> By {
    let member = MemberId::new(exchange.member).map(ByMember::from);
    By { key: exchange.key.map(Digest), member, ..By::default() }
}

/// A request, decided when it came and charged when it was. None: it costs nothing.
fn request(
    account: &mut Account,
    route: &Route,
    exchange: &Exchange,
    units: &[(MeterId, i64)],
) -> Result<Option<Charge>, Code> {
    if route.public {
        return Ok(None);
    }
    let admitted = account.admit(route, by(exchange), exchange.came).map_err(|no: Refusal| code_of(&no))?;
    let status = if exchange.status == 101 { 200 } else { exchange.status };
    if exchange.taken_back || !route.charge_on.contains(status) {
        account.release(&route.cost, admitted.by());
        return Ok(None);
    }
    let measured = |(meter, _): &&(MeterId, i64)| route.measures.iter().any(|by| by.meter == *meter);
    let told =
        units.iter().filter(measured).map(|(meter, units)| (*meter, u64::try_from(*units).unwrap_or(0)));
    Ok(Some(if route.measures.is_empty() {
        account.settle(&route.cost, admitted.by(), exchange.at)
    } else {
        account.settle_with(&route.cost, &TrueCost::new(&route.cost, told), admitted.by(), exchange.at)
    }))
}

/// What an exchange that is open goes on with; `is_first`: nothing has been charged for it before.
fn slice(
    account: &mut Account,
    route: &Route,
    exchange: &Exchange,
    units: &[(MeterId, i64)],
    is_first: bool,
) -> Result<Charge, Code> {
    let measured = |meter: MeterId| route.measures.iter().any(|by| by.meter == meter);
    let more = units.iter().filter(|(meter, _)| measured(*meter));
    let more = more.map(|(meter, units)| (*meter, u64::try_from(*units).unwrap_or(0)));
    let more = Cost::new(more.chain(route.cost.iter().filter(|(meter, _)| is_first && !measured(*meter))));
    let held: SmallVec<[MeterId; 2]> = more.iter().map(|(meter, _)| meter).collect();
    let truth = TrueCost::new(&more, []);
    match account.extend(&more, by(exchange).member, exchange.came) {
        Ok(admitted) => Ok(account.settle_with(&more, &truth, admitted.by(), exchange.at)),
        Err(no) if route.on_limit(&held, exchange.status == 101) == OnLimit::Cut => Err(code_of(&no)),
        Err(_) => Ok(account.settle_with(&Cost::default(), &truth, None, exchange.at)),
    }
}

/// What was recorded, as it was.
pub(super) fn recorded(
    told: &Told<'_>,
    tallies: &mut HashMap<u32, Tallies>,
    mapping: &mut Mapping,
    books: &Books,
) -> Result<(), Failure> {
    let (customer, tier, units, is_request) = match told {
        Told::Exchange(exchange) => {
            (exchange.customer, exchange.tier, &exchange.units, exchange.slice_of.is_none())
        }
        Told::Late(late) => (late.customer, late.tier, &late.units, false),
    };
    let of_customer = tallies.entry(customer).or_default();
    let tally = of_customer.of(tier, mapping.catalogue.meters.by_number().len());
    tally.requests += u64::from(is_request);
    for (meter, units) in units {
        if let Some(meter) = mapping.meter(*meter, books)? {
            tally.meter(meter).units += *units;
        }
    }
    Ok(())
}
