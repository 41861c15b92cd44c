//! Folding what an account spent leaves the store with the account's credits, whatever the order of the records.

use proptest::prelude::*;
use smallvec::smallvec;
use tokio::runtime::Runtime;

use super::*;
use crate::domain::account::{Account, Terms, Window};
use crate::domain::credits::Lot;
use crate::domain::measure::TrueCost;
use crate::domain::period::Period;
use crate::domain::route::{Methods, Route, RouteId, StatusSet, UpstreamId};
use crate::domain::subscription::{Entitlement, Standing, Windows};
use crate::domain::tier::{Allowance, FeatureSet, Mode, Overage, Price, Tier, TierId};
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{Change, Charge, Correction, Now, Unbilled};
use crate::ledger::RecordLot;
use crate::store::{CreditAct, CreditGrant, Total};

const PERIOD: Period = Period { start: 1_798_761_600, end: 1_801_440_000 };
const CUSTOMER: u32 = 1;

fn at(second: i64) -> Now {
    Now::from_seconds(PERIOD.start + second)
}

fn account() -> Account {
    let tier = Tier {
        id: TierId(0),
        name: "t".into(),
        price: Price::default(),
        stripe_prices: Vec::new(),
        included: vec![Allowance::Units(3)],
        overage: Overage::Deny,
        rate: None,
        features: FeatureSet::default(),
        limits: Vec::new(),
        trial_days: None,
        credits_per_cycle: 0,
        credits_expire: None,
        degraded_allowance: 100,
        mode: Mode::Enforce,
        member: None,
    };
    let entitlement = Entitlement {
        standing: Standing::Admitted,
        tier: Some(Arc::new(tier)),
        windows: Windows::CalendarMonth,
        overridden: None,
    };
    Account::new(entitlement, Window::new(PERIOD, smallvec![0]))
}

fn route(cost: u64) -> Route {
    Route {
        id: RouteId(0),
        pattern: "/r".into(),
        methods: Methods::All,
        upstream: UpstreamId(0),
        cost: Cost::new([(MeterId(0), cost)]),
        measures: [].into(),
        requires: FeatureSet::default(),
        charge_on: StatusSet::default(),
        rate: None,
        public: false,
        extras: None,
    }
}

fn record(number: u64, charge: &Charge) -> Record {
    let units = |units: u64| i64::try_from(units).expect("small");
    let draw = charge.draws[0];
    Record {
        number,
        at_micros: charge.at.micros(),
        request: [7; 16],
        customer: CUSTOMER,
        member: 0,
        counts_for_member: false,
        in_shadow: false,
        route: 1,
        tier: 1,
        configuration: 1,
        period: charge.period,
        kind: Kind::Charge,
        status: 200,
        method: 1,
        draws: smallvec![RecordDraw {
            meter: 1,
            included: units(draw.included),
            extra: units(draw.extra),
            credits: units(draw.credits),
            overage: units(draw.overage),
            uncovered: units(draw.uncovered),
        }],
        lots: charge.lots.iter().map(|lot| RecordLot { grant: lot.grant, units: units(lot.units) }).collect(),
        key: None,
        foreign_request: None,
    }
}

fn truth(units: u64) -> TrueCost {
    TrueCost::new(&Cost::default(), [(MeterId(0), units)])
}

fn corrected(number: u64, charge: &Charge, correction: &Correction) -> Record {
    let change = |change: &Change| RecordDraw {
        meter: 1,
        included: change.included,
        extra: change.extra,
        credits: change.credits,
        overage: change.overage,
        uncovered: change.uncovered,
    };
    let lots = correction.lots.iter().map(|(grant, units)| RecordLot { grant: *grant, units: *units });
    let draws = correction.draws.iter().map(change).collect();
    record(number, charge).correcting(draws, lots.collect(), correction.at.micros(), correction.period)
}

#[derive(Clone, Debug)]
enum Action {
    Spend(u64),
    UndoLast,
    /// Is charged a hold.
    Begin(u64),
    /// Which one ends, and what it cost.
    End(usize, u64),
    Grant(u64, Option<i64>),
    Take(u64),
    Wait(i64),
    /// Folds so many of the records that wait, from some place among them.
    Fold(usize, usize),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (1u64..6).prop_map(Action::Spend),
        2 => Just(Action::UndoLast),
        3 => (0u64..6).prop_map(Action::Begin),
        3 => (any::<usize>(), 0u64..9).prop_map(|(which, truth)| Action::End(which, truth)),
        2 => (1u64..15, prop::option::of(1i64..60)).prop_map(|(units, span)| Action::Grant(units, span)),
        1 => (1u64..6).prop_map(Action::Take),
        2 => (1i64..20).prop_map(Action::Wait),
        2 => (any::<usize>(), 1usize..6).prop_map(|(place, many)| Action::Fold(place, many)),
    ]
}

struct World {
    runtime: Runtime,
    store: Store,
    account: Account,
    waiting: Vec<Record>,
    charges: Vec<(Charge, u64)>,
    /// Estimates whose truth is still to come, with their terms.
    open: Vec<(Charge, u64, Arc<Terms>)>,
    records: u64,
    causes: u32,
    second: i64,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
            store: Store::open(folder.path()).expect("opens"),
            account: account(),
            waiting: Vec::new(),
            charges: Vec::new(),
            open: Vec::new(),
            records: 0,
            causes: 0,
            second: 0,
            _folder: folder,
        }
    }

    fn act(&mut self) -> CreditAct {
        self.causes += 1;
        CreditAct { cause: format!("cause {}", self.causes), reason: String::new(), actor: "operator" }
    }

    fn run(&mut self, action: &Action) {
        let now = at(self.second);
        match *action {
            Action::Spend(cost) => {
                if self.account.admit(&route(cost), None, now).is_ok() {
                    let charge = self.account.settle(&route(cost).cost, None, now);
                    self.records += 1;
                    self.waiting.push(record(self.records, &charge));
                    self.charges.push((charge, self.records));
                }
            }
            Action::UndoLast => {
                if let Some((charge, number)) = self.charges.pop() {
                    let period = self.account.undo(&charge, now);
                    self.records += 1;
                    let undone = record(number, &charge).correction(now.micros(), period);
                    self.waiting.push(Record { number: self.records, ..undone });
                }
            }
            Action::Begin(held) => {
                if self.account.admit(&route(held), None, now).is_ok() {
                    let charge = self.account.settle_with(&route(held).cost, &truth(held), None, now);
                    self.records += 1;
                    self.waiting.push(Record { kind: Kind::Estimate, ..record(self.records, &charge) });
                    self.open.push((charge, self.records, self.account.terms().clone()));
                }
            }
            Action::End(which, units) if !self.open.is_empty() => {
                let (charge, number, terms) = self.open.swap_remove(which % self.open.len());
                let correction = self.account.correct(&charge, &truth(units), &terms, now);
                self.records += 1;
                self.waiting.push(Record { number: self.records, ..corrected(number, &charge, &correction) });
            }
            Action::End(..) => {}
            Action::Grant(units, span) => {
                let expires_at = span.map(|span| at(self.second + span).seconds());
                let grant = CreditGrant { customer: CUSTOMER, units, expires_at, act: self.act() };
                let granted = self.runtime.block_on(self.store.grant_credits(grant, now.seconds()));
                assert!(self.account.put_credits(granted.expect("grants").expect("new")));
            }
            Action::Take(units) => {
                if let Ok(lots) = self.account.take_credits(units, now) {
                    let act = self.act();
                    let taken = self.store.take_credits(CUSTOMER, lots, act, now.seconds());
                    self.runtime.block_on(taken).expect("takes");
                }
            }
            Action::Wait(seconds) => self.second += seconds,
            Action::Fold(place, many) => self.fold(place, many),
        }
    }

    /// As if the ledger held the records in another order than they were settled in.
    fn fold(&mut self, place: usize, many: usize) {
        let from = self.store.folded().expect("reads");
        let mut batch = Batch { from: (from.0, from.1), ..Batch::default() };
        for _ in 0..many.min(self.waiting.len()) {
            let record = self.waiting.remove(place % self.waiting.len());
            add(&mut batch, &record, Report::All);
        }
        (batch.segment, batch.offset, batch.next_record) = (1, from.1 + 1, from.2 + 1);
        self.store.fold(batch).expect("folds");
    }

    /// Sum and balance of the history; the balance is that after each row.
    fn history(&self) -> (i64, u64) {
        let rows = self.runtime.block_on(self.store.credit_history(CUSTOMER, None, 10_000)).expect("reads");
        let sum: i64 = rows.iter().map(|row| row.units).sum();
        (sum, rows.first().map_or(0, |row| row.balance))
    }

    /// As an account that is loaded finds them.
    fn totals(&self) -> (Period, u64, Unbilled) {
        let totals = self.runtime.block_on(self.store.totals(CUSTOMER, PERIOD.start)).expect("reads");
        totals.first().map_or((PERIOD, 0, Unbilled::default()), |total| {
            let Total { used, extra, credits, uncovered, .. } = *total;
            (PERIOD, used, Unbilled { extra, credits, uncovered })
        })
    }

    fn stored(&self) -> Vec<Lot> {
        let wanted = crate::store::Wanted {
            name: "acme".into(),
            claimed: None,
            keys_after: 0,
            most_members: 0,
            most_keys: 0,
            with_grants: false,
        };
        let loaded = self.runtime.block_on(self.store.load(wanted, 0, |_, _| ((), PERIOD)));
        let loaded = loaded.expect("loads");
        assert_eq!(loaded.customer.number, CUSTOMER);
        loaded.lots
    }
}

fn in_order(lots: &[Lot]) -> Vec<Lot> {
    let mut lots = lots.to_vec();
    lots.sort_by_key(|lot| lot.grant);
    lots
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn folded_in_any_order_the_grants_are_what_the_account_left_of_them(
        actions in prop::collection::vec(action(), 1..60),
    ) {
        let mut world = World::new();
        assert_eq!(world.stored(), []);
        for action in &actions {
            world.run(action);
            let (sum, balance) = world.history();
            prop_assert_eq!(sum, balance.cast_signed());
        }
        let all = world.waiting.len();
        world.fold(0, all);
        prop_assert_eq!(world.stored(), in_order(world.account.credit_lots()));
        let window = world.account.window(at(world.second));
        prop_assert_eq!(world.totals(), (window.period, window.used[0], window.unbilled(MeterId(0))));
        let closed = world.store.expire_credits(at(world.second + 1).seconds(), 0, at(world.second).seconds());
        world.runtime.block_on(closed).expect("closes");
        let (sum, balance) = world.history();
        prop_assert_eq!((sum, balance), (balance.cast_signed(), world.account.credits(at(world.second))));
    }
}
