//! An account on the only node of a fleet beside one on none: whatever happens, both decide and draw alike.

use proptest::prelude::*;
use smallvec::smallvec;

use super::super::credits_tests::{drawn, lot, overridden};
use super::super::tests::{API, MONTH, at, entitlement, priced, route, tier};
use super::super::{Account, Window};
use super::{Purpose, is_told};
use crate::domain::credits::{Lot, sum};
use crate::domain::lease::book::{Book, Caller};
use crate::domain::lease::{Call, Settled};
use crate::domain::subscription::Entitlement;
use crate::domain::tier::Overage;
use crate::domain::usage::{Charge, Now};

#[derive(Clone, Debug)]
enum Action {
    Admit(u64),
    Settle(usize),
    Release(usize),
    Undo(usize),
    Grant(u64),
    Take(u64),
    Override(Option<u64>),
    Tier(u64),
    Wait(i64),
    Publish,
    Return,
    Reload,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (1u64..9).prop_map(Action::Admit),
        6 => any::<usize>().prop_map(Action::Settle),
        1 => any::<usize>().prop_map(Action::Release),
        1 => any::<usize>().prop_map(Action::Undo),
        1 => (1u64..20).prop_map(Action::Grant),
        1 => (1u64..8).prop_map(Action::Take),
        1 => prop::option::of(1u64..30).prop_map(Action::Override),
        1 => (0u64..30).prop_map(Action::Tier),
        2 => (1i64..25).prop_map(Action::Wait),
        2 => Just(Action::Publish),
        2 => Just(Action::Return),
        1 => Just(Action::Reload),
    ]
}

/// Lends to one node alone.
pub(super) struct Lender {
    pub(super) book: Book,
    seen: Option<(u64, u64)>,
}

impl Lender {
    pub(super) fn new() -> Self {
        Self { book: Book::default(), seen: None }
    }

    pub(super) fn settle(&mut self, call: &Call, now: Now) -> Settled {
        let at_millis = now.nanos() / 1_000_000;
        let caller =
            Caller { slot: 1, live: &[1], seen: self.seen, rest_millis: 0, rebuild_millis: 0, at_millis };
        let answer = self.book.settle(&caller, "acme", *b"00000000", call, &[]);
        self.seen = Some(answer.marker);
        answer.settled
    }

    /// Calls for a purpose, and takes the answer in.
    pub(super) fn call(&mut self, account: &mut Account, purpose: Purpose<'_>, now: Now) -> Call {
        let call = account.call(purpose, now).expect("none is under way");
        assert!(account.call(Purpose::Publish, now).is_none(), "one at a time");
        let settled = self.settle(&call, now);
        assert!(account.take(&call, &settled, now));
        call
    }

    /// Asks until the account decides.
    pub(super) fn refill(&mut self, account: &mut Account, cost: u64, now: Now) -> usize {
        let lacking = (0..6).take_while(|_| {
            let lacks = account.lacks(&route(cost), None, now);
            if lacks {
                self.call(account, Purpose::Request(&route(cost)), now);
            }
            lacks
        });
        lacking.count()
    }
}

struct Beside {
    shared: Account,
    alone: Account,
    lender: Lender,
    base: Entitlement,
    overage: Overage,
    flying: Vec<u64>,
    charges: Vec<(Charge, Charge)>,
    granted: Vec<Lot>,
    /// What is left of each.
    left: Vec<Lot>,
    second: i64,
}

impl Beside {
    fn new(own: u64, overage: Overage) -> Self {
        let base = entitlement(tier(own, overage.clone(), None));
        let alone = Account::new(base.clone(), Window::new(MONTH, smallvec![0]));
        let shared = alone.clone().with_share(&[]);
        Self {
            shared,
            alone,
            lender: Lender::new(),
            base,
            overage,
            flying: Vec::new(),
            charges: Vec::new(),
            granted: Vec::new(),
            left: Vec::new(),
            second: 1,
        }
    }

    fn run(&mut self, action: &Action) -> Result<(), TestCaseError> {
        let now = at(self.second);
        match *action {
            Action::Admit(cost) => {
                let rounds = self.lender.refill(&mut self.shared, cost, now);
                prop_assert!(rounds < 6, "it decides in the end");
                let [shared, alone] =
                    [&mut self.shared, &mut self.alone].map(|account| account.admit(&route(cost), None, now));
                prop_assert_eq!(&shared, &alone);
                self.flying.extend(shared.is_ok().then_some(cost));
            }
            Action::Settle(which) if !self.flying.is_empty() => {
                let cost = self.flying.remove(which % self.flying.len());
                let [shared, alone] = [&mut self.shared, &mut self.alone]
                    .map(|account| account.settle(&route(cost).cost, None, now));
                prop_assert_eq!(drawn(&shared), drawn(&alone));
                // Which grant is a matter of which has been lent.
                prop_assert_eq!(sum(&shared.lots), sum(&alone.lots));
                self.spent(&shared.lots, -1);
                prop_assert_eq!(shared.draws[0].reached, alone.draws[0].reached);
                self.charges.push((shared, alone));
            }
            Action::Release(which) if !self.flying.is_empty() => {
                let cost = self.flying.remove(which % self.flying.len());
                self.shared.release(&route(cost).cost, None);
                self.alone.release(&route(cost).cost, None);
            }
            // Where overage is priced, what comes back of the included units is included again; on one node it is not.
            Action::Undo(which) if !self.charges.is_empty() && self.overage == Overage::Deny => {
                let (shared, alone) = self.charges.swap_remove(which % self.charges.len());
                prop_assert_eq!(self.shared.undo(&shared, now), self.alone.undo(&alone, now));
                self.spent(&shared.lots, 1);
            }
            // What is in flight as overage is not asked for anew: on one node it would get the new units.
            Action::Grant(units) if self.flying.is_empty() || self.overage == Overage::Deny => {
                let grant = i64::try_from(self.granted.len()).expect("few") + 1;
                let lot = lot(grant, units, None);
                self.granted.push(lot);
                self.left.push(lot);
                prop_assert!(self.shared.put_credits(lot) && self.alone.put_credits(lot));
            }
            Action::Take(units) => {
                if self.shared.free_credits(now) < units {
                    self.lender.call(&mut self.shared, Purpose::Credits(units), now);
                }
                let taken = self.shared.take_credits(units, now);
                let of_alone = self.alone.take_credits(units, now);
                prop_assert_eq!(taken.as_deref().map(sum), of_alone.as_deref().map(sum));
                self.spent(&taken.unwrap_or_default(), -1);
            }
            Action::Override(units) if self.flying.is_empty() => {
                let set = units.map_or_else(|| self.base.clone(), |n| overridden(self.base.clone(), n, None));
                self.entitle(&set, now);
            }
            Action::Tier(own) if self.flying.is_empty() => {
                self.base = entitlement(tier(own, self.overage.clone(), None));
                self.entitle(&self.base.clone(), now);
            }
            Action::Wait(seconds) => self.second += seconds,
            Action::Publish => drop(self.lender.call(&mut self.shared, Purpose::Publish, now)),
            Action::Return => drop(self.lender.call(&mut self.shared, Purpose::Return, now)),
            Action::Reload if self.flying.is_empty() => {
                self.reload(now);
                self.second += 1;
            }
            _ => {}
        }
        self.compare(now)
    }

    fn entitle(&mut self, set: &Entitlement, now: Now) {
        self.shared.entitle(set.clone(), None, now);
        self.alone.entitle(set.clone(), None, now);
    }

    fn spent(&mut self, lots: &[Lot], sign: i64) {
        for lot in lots {
            let left = &mut self.left[usize::try_from(lot.grant - 1).expect("a grant")].units;
            *left = left
                .checked_add_signed(sign * i64::try_from(lot.units).expect("few"))
                .expect("within the grant");
        }
    }

    /// From the store.
    fn reload(&mut self, now: Now) {
        let window = self.alone.window(now);
        let lots = self.left.iter().filter(|lot| lot.units > 0).copied().collect();
        let terms = self.alone.terms().clone();
        let granted: Vec<_> = self.granted.iter().map(|lot| (lot.grant, lot.units)).collect();
        let shared = Account::new(terms, window).with_credits(lots).with_share(&granted);
        self.shared = shared.with_spent(self.granted.iter().copied());
    }

    fn compare(&mut self, now: Now) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.shared.window(now), self.alone.window(now));
        prop_assert_eq!(self.shared.credits(now), self.alone.credits(now));
        prop_assert_eq!(self.shared.overage_units(API), self.alone.overage_units(API));
        prop_assert_eq!(self.shared.marks(now), self.alone.marks(now));
        let share = self.shared.share().expect("there");
        let holds = self.shared.holds(now);
        for (claim, held) in share.claims.iter().zip(&holds).filter(|(claim, _)| !is_told(claim.pool)) {
            let used = self.shared.used_here(share, claim);
            prop_assert!(used + held <= claim.lent, "{claim:?}: {used} used and {held} in flight");
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_only_node_of_a_fleet_decides_as_one_on_none(
        own in 0u64..20, kind in 0u8..3, actions in prop::collection::vec(action(), 1..150),
    ) {
        let overage = match kind { 0 => Overage::Deny, 1 => priced(3, None), _ => priced(3, Some(60)) };
        let mut beside = Beside::new(own, overage);
        for action in &actions {
            beside.run(action)?;
        }
    }
}
