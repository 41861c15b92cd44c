//! Recorded exchanges, decided and charged anew under one configuration, by the accounts that the gateway itself
//! decides with.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use smallvec::{SmallVec, smallvec};

use crate::cli::Failure;
use crate::cli::books::Books;
use crate::domain::account::{Account, By, ByMember, Terms};
use crate::domain::idempotency::{Digest, Limits};
use crate::domain::measure::TrueCost;
use crate::domain::period::{Interval, Period};
use crate::domain::refusal::Refusal;
use crate::domain::route::{OnLimit, Route};
use crate::domain::subscription::{Entitlement, Standing, Windows};
use crate::domain::tier::Tier;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{Charge, Correction, Draw, MemberId, Now, signed};
use crate::gateway::code_of;
use crate::problem::Code;

use super::exchanges::{Exchange, Late, Told, Units};
use super::mapping::Mapping;
use super::start::Start;
use super::tally::{Tallies, Tally};

/// Refused exchanges that are kept in mind for what comes of them later: twice as many, at most.
const REFUSED: usize = 500_000;

/// One configuration in force.
pub(super) struct Replay {
    pub mapping: Mapping,
    key_limits: Limits,
    customers: HashMap<u32, State>,
    terms: HashMap<(u32, Period), Arc<Terms>>,
    refused: Recent,
}

struct State {
    account: Account,
    tier: u32,
    period: Period,
    tallies: Tallies,
}

/// Numbers, the latest of them.
#[derive(Default)]
struct Recent {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl Recent {
    fn insert(&mut self, number: u64) {
        if self.young.len() >= REFUSED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(number);
    }

    fn contains(&self, number: u64) -> bool {
        self.young.contains(&number) || self.old.contains(&number)
    }
}

impl Replay {
    pub fn new(mapping: Mapping, key_limits: Limits) -> Self {
        let (customers, terms) = (HashMap::new(), HashMap::new());
        Self { mapping, key_limits, customers, terms, refused: Recent::default() }
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
        let Self { mapping, customers, refused, .. } = self;
        let Some(state) = customers.get_mut(&exchange.customer) else { return Ok(()) };
        let tally = state.tallies.of(exchange.tier, mapping.catalogue.meters.by_number().len());
        tally.requests += u64::from(exchange.slice_of.is_none());
        let no = match (found, &tier) {
            (Ok(id), Some(_)) => {
                let route = mapping.catalogue.routes.get(id);
                match exchange.slice_of {
                    Some(first) if refused.contains(first) => {
                        refused.insert(exchange.number);
                        return Ok(());
                    }
                    Some(_) => slice(&mut state.account, route, exchange, &truth, tally),
                    None => request(&mut state.account, route, exchange, &truth, tally),
                }
            }
            (Err(code), _) => Err(code),
            (_, None) => Err(Code::PaymentRequired),
        };
        if let Err(code) = no {
            tally.refused(code);
            refused.insert(exchange.number);
            exchange.slice_of.into_iter().for_each(|first| refused.insert(first));
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
        let terms = self.terms(exchange, tier, start);
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
    fn terms(&mut self, exchange: &Exchange, tier: Option<&Arc<Tier>>, start: &Start) -> Arc<Terms> {
        let period = exchange.period;
        let windows =
            Windows::Periods { current: period, anchor: period.start, interval: Interval::Months(1) };
        let standing = if tier.is_some() { Standing::Admitted } else { Standing::PaymentRequired };
        let entitlement = Entitlement { standing, tier: tier.cloned(), windows, overridden: None };
        let key_limits = self.key_limits;
        let terms =
            |entitlement| Terms { entitlement, key_limits, stripe_customer: None, subscription: None };
        if let Some(row) = start.overridden(exchange.customer) {
            let included = Start::included(row, &self.mapping);
            return Arc::new(terms(entitlement.with_override(None, &included, row.until)));
        }
        self.terms.entry((exchange.tier, period)).or_insert_with(|| Arc::new(terms(entitlement))).clone()
    }

    /// A change that came too late to be decided with its exchange.
    fn change(&mut self, late: &Late, books: &Books) -> Result<(), Failure> {
        if self.refused.contains(late.of) {
            return Ok(());
        }
        let Ok(id) = self.mapping.route(late.route, late.method, books)? else { return Ok(()) };
        let units = self.units(&late.units, books)?;
        let route = self.mapping.catalogue.routes.get(id);
        let Some(state) = self.customers.get_mut(&late.customer) else { return Ok(()) };
        let tally = state.tallies.of(state.tier, self.mapping.catalogue.meters.by_number().len());
        for (meter, change) in units {
            let is_measured = route.measures.iter().any(|measured| measured.meter == meter);
            if is_measured && change > 0 {
                let more = TrueCost::new(&Cost::default(), [(meter, change.unsigned_abs())]);
                let charge = state.account.settle_with(&Cost::default(), &more, None, late.at);
                tally.charged(&charge);
            } else if change < 0 {
                let most = if is_measured { u64::MAX } else { route.cost.of(meter) };
                take_back(&mut state.account, (meter, change.unsigned_abs().min(most)), late.at, tally);
            }
        }
        Ok(())
    }
}

/// Takes units back that were charged long ago: those of the window that were drawn last.
fn take_back(account: &mut Account, (meter, units): (MeterId, u64), at: Now, tally: &mut Tally) {
    let (period, terms) = (account.window(at).period, account.terms().clone());
    let draws = smallvec![Draw { included: units, ..Draw::none(meter) }];
    let (lots, key, member) = (Vec::new(), None, None);
    let charge = Charge { period, at, draws, lots, key, member, in_shadow: false };
    let correction = account.correct(&charge, &TrueCost::default(), &terms, at);
    tally.corrected(&correction);
}

fn by(exchange: &Exchange) -> By {
    let member = MemberId::new(exchange.member).map(ByMember::from);
    By { key: exchange.key.map(Digest), member, ..By::default() }
}

/// A request, decided when it came and charged when it was.
fn request(
    account: &mut Account,
    route: &Route,
    exchange: &Exchange,
    units: &[(MeterId, i64)],
    tally: &mut Tally,
) -> Result<(), Code> {
    if route.public {
        return Ok(());
    }
    let admitted = account.admit(route, by(exchange), exchange.came).map_err(|no: Refusal| code_of(&no))?;
    let status = if exchange.status == 101 { 200 } else { exchange.status };
    if exchange.taken_back || !route.charge_on.contains(status) {
        account.release(&route.cost, admitted.by());
        return Ok(());
    }
    let measured = |(meter, _): &&(MeterId, i64)| route.measures.iter().any(|by| by.meter == *meter);
    let told =
        units.iter().filter(measured).map(|(meter, units)| (*meter, u64::try_from(*units).unwrap_or(0)));
    let charge = if route.measures.is_empty() {
        account.settle(&route.cost, admitted.by(), exchange.at)
    } else {
        account.settle_with(&route.cost, &TrueCost::new(&route.cost, told), admitted.by(), exchange.at)
    };
    tally.charged(&charge);
    Ok(())
}

/// What an exchange that is open goes on with.
fn slice(
    account: &mut Account,
    route: &Route,
    exchange: &Exchange,
    units: &[(MeterId, i64)],
    tally: &mut Tally,
) -> Result<(), Code> {
    let measured = |meter: MeterId| route.measures.iter().any(|by| by.meter == meter);
    let more = units.iter().filter(|(meter, _)| measured(*meter));
    let more = Cost::new(more.map(|(meter, units)| (*meter, u64::try_from(*units).unwrap_or(0))));
    let held: SmallVec<[MeterId; 2]> = more.iter().map(|(meter, _)| meter).collect();
    let truth = TrueCost::new(&more, []);
    let charge = match account.extend(&more, by(exchange).member, exchange.came) {
        Ok(admitted) => account.settle_with(&more, &truth, admitted.by(), exchange.at),
        Err(no) if route.on_limit(&held, exchange.status == 101) == OnLimit::Cut => return Err(code_of(&no)),
        Err(_) => account.settle_with(&Cost::default(), &truth, None, exchange.at),
    };
    tally.charged(&charge);
    Ok(())
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
            (exchange.customer, Some(exchange.tier), &exchange.units, exchange.slice_of.is_none())
        }
        Told::Late(late) => (late.customer, None, &late.units, false),
    };
    let of_customer = tallies.entry(customer).or_default();
    let Some(tier) = tier.or(of_customer.last_tier()) else { return Ok(()) };
    let tally = of_customer.of(tier, mapping.catalogue.meters.by_number().len());
    tally.requests += u64::from(is_request);
    for (meter, units) in units {
        if let Some(meter) = mapping.meter(*meter, books)? {
            tally.meter(meter).units += *units;
        }
    }
    Ok(())
}

impl Tally {
    fn charged(&mut self, charge: &Charge) {
        for draw in &charge.draws {
            let of_meter = self.meter(draw.meter);
            of_meter.units += signed(draw.units());
            of_meter.overage += signed(draw.overage);
        }
    }

    fn corrected(&mut self, correction: &Correction) {
        for change in &correction.draws {
            let of_meter = self.meter(change.meter);
            of_meter.units += change.units();
            of_meter.overage += change.overage;
        }
    }
}
