//! Random actions on the real parts, beside a model of ten lines.
//!
//! `TOLLGATE_TEST_SEED` repeats a run; `TOLLGATE_TEST_ROUNDS` sets how many there are.

use std::collections::BTreeMap;

use serde_json::json;
use tollgate::domain::period::Period;
use tollgate::ledger::{Record, Resume};

use super::disk::{FaultyDisk, Operation};
use super::machine::Machine;
use super::record;
use super::stripe::mixed;
use crate::harness::{Dice, PATIENCE, Stripe, setting, unix_now, until};

const CUSTOMERS: usize = 4;
const ACTIONS: usize = 150;

/// What is right: which charge stands for whom under which number. Nothing else is remembered.
#[derive(Default)]
struct Model {
    records: BTreeMap<u64, (u32, i64)>,
    /// Corrections that have to wait until the ledger can be written.
    owed: Vec<(u32, i64)>,
    corrected: BTreeMap<u32, i64>,
}

impl Model {
    fn charged(&self, customer: u32) -> i64 {
        self.records.values().filter(|(whose, _)| *whose == customer).map(|(_, units)| units).sum()
    }

    /// Takes in what a ledger holds: everything below `durable`, and beyond it what was accepted; nothing else.
    fn compare(&mut self, found: &BTreeMap<u64, (u32, i64)>, durable: u64) {
        for (number, record) in found {
            let owed = self.owed.iter().position(|owed| owed == record);
            match (self.records.get(number), owed) {
                (Some(known), _) => assert_eq!(known, record, "record {number}"),
                (None, Some(owed)) => drop(self.owed.swap_remove(owed)),
                (None, None) => panic!("nobody wrote record {number}: {record:?}"),
            }
        }
        let lost = self.records.range(..durable).find(|(number, _)| !found.contains_key(number));
        assert_eq!(lost, None, "a record was lost; everything below {durable} was safe");
        self.records.clone_from(found);
    }
}

/// The model, the machine, Stripe, and chance.
struct Play {
    dice: Dice,
    model: Model,
    machine: Machine,
    stripe: Stripe,
    /// Numbers, names and Stripe's names of the customers; the second half gets its links on the way.
    customers: Vec<(u32, String, String)>,
    log: Vec<&'static str>,
}

impl Play {
    async fn start(dice: Dice) -> Self {
        let stripe = Stripe::alone().await;
        let machine = Machine::start(stripe.url());
        let mut customers = Vec::new();
        for at in 0..CUSTOMERS {
            let (name, subscribed) = (format!("customer-{at}"), stripe.subscribe("pro", None));
            let claimed = (at < CUSTOMERS / 2).then(|| subscribed.customer.clone());
            customers.push((machine.customer(&name, claimed).await, name, subscribed.customer));
        }
        Self { dice, model: Model::default(), machine, stripe, customers, log: Vec::new() }
    }

    fn someone(&mut self) -> (u32, String, String) {
        self.customers[self.dice.below(CUSTOMERS)].clone()
    }

    async fn act(&mut self) {
        let action = self.dice.below(100);
        let name = match action {
            0..40 => self.charge(),
            40..48 => self.correct(),
            48..56 => (self.machine.sync(), "sync").1,
            56..66 => (self.machine.fold(), "fold").1,
            66..74 => (self.machine.report().await, "report").1,
            74..76 => self.report_and_die().await,
            76..80 => self.break_the_disk(),
            80..84 => (self.machine.disk.heal(), "heal the disk").1,
            84..88 => self.break_stripe().await,
            88..90 => (self.stripe.forget_faults().await, "heal Stripe").1,
            90..92 => (self.machine.let_pauses_pass(), "let pauses pass").1,
            92..94 => (self.machine.retry_dead(), "retry dead rows").1,
            94..96 => self.kill(),
            96..98 => self.lose_power(),
            _ => self.link().await,
        };
        self.log.push(name);
    }

    fn charge(&mut self) -> &'static str {
        let (customer, ..) = self.someone();
        let units = 1 + i64::try_from(self.dice.below(9)).expect("small");
        if let Ok(appended) = self.machine.ledger().append(&charge(customer, units)) {
            let before = self.model.records.insert(appended.0, (customer, units));
            assert_eq!(before, None, "number {} was given twice", appended.0);
        }
        "charge"
    }

    /// Takes back a charge, each at most once.
    fn correct(&mut self) -> &'static str {
        let charges = self.model.records.iter().filter(|(_, (_, units))| *units > 0);
        let charges: Vec<_> = charges.map(|(number, charge)| (*number, *charge)).collect();
        let Some((number, (customer, units))) =
            (!charges.is_empty()).then(|| charges[self.dice.below(charges.len())])
        else {
            return "nothing to correct";
        };
        let (open, taken_back) = (self.model.charged(customer), self.owed_by(customer));
        if open - taken_back < units {
            return "nothing left to correct";
        }
        let undone = Record { number, ..charge(customer, units) };
        let correction = undone.correction(unix_now() * 1_000_000, period());
        match self.machine.ledger().correct(correction) {
            Some(appended) => drop(self.model.records.insert(appended.0, (customer, -units))),
            None => self.model.owed.push((customer, -units)),
        }
        *self.model.corrected.entry(customer).or_default() += units;
        "correct"
    }

    fn owed_by(&self, customer: u32) -> i64 {
        let owed = self.model.owed.iter().filter(|(whose, _)| *whose == customer);
        owed.map(|(_, units)| -units).sum()
    }

    fn break_the_disk(&mut self) -> &'static str {
        use Operation::{Create, Read, Sync, SyncFolder, Write};
        let operation = [Write, Sync, Create, SyncFolder, Read][self.dice.below(5)];
        match self.dice.below(3) {
            0 => self.machine.disk.fill(self.dice.below(2_000)),
            1 if operation != Read => self.machine.disk.fail_all(operation),
            _ => self.machine.disk.fail_nth(operation, 1 + self.dice.roll() % 4),
        }
        "break the disk"
    }

    /// Each call fails with some chance, some of them for good.
    async fn break_stripe(&mut self) -> &'static str {
        let mut faults = mixed();
        faults.push(json!({ "status": 400 }));
        let seed = self.dice.roll();
        self.stripe.break_at_random(&faults, 3, seed).await;
        "break Stripe"
    }

    /// The process ends somewhere between marking a row as tried and noting its answer.
    async fn report_and_die(&mut self) -> &'static str {
        self.stripe.break_meter_events(json!({ "delay_ms": 20, "drop": true, "when": "after" })).await;
        let soon = std::time::Duration::from_millis(self.dice.roll() % 40);
        // Whether it got its answer does not matter.
        let _ = tokio::time::timeout(soon, self.machine.report()).await;
        self.kill();
        "report and die"
    }

    fn kill(&mut self) -> &'static str {
        self.machine.restart(FaultyDisk::after_kill);
        self.compare_with_ledger(u64::MAX);
        "kill"
    }

    fn lose_power(&mut self) -> &'static str {
        let durable = self.machine.ledger().synced().borrow().next_record;
        let dice = &mut self.dice;
        self.machine.restart(|disk| disk.after_power_loss(dice));
        self.compare_with_ledger(durable);
        "lose power"
    }

    async fn link(&mut self) -> &'static str {
        let (_, name, stripe_customer) = self.someone();
        self.machine.customer(&name, Some(stripe_customer)).await;
        "link"
    }

    /// After a restart: corrections that were owed and not written are lost with the process.
    fn compare_with_ledger(&mut self, durable: u64) {
        self.model.compare(&self.found(), durable);
        self.model.owed.clear();
    }

    /// What the ledger holds as far as it is durable.
    fn found(&self) -> BTreeMap<u64, (u32, i64)> {
        let end = self.machine.ledger().synced().borrow().position;
        let mut reader = self.machine.ledger().reader(Resume::default());
        let mut found = BTreeMap::new();
        let mut reached = false;
        while !reached {
            let read = reader.read(end, |record| {
                let units = record.draws.iter().map(|draw| draw.included).sum();
                let before = found.insert(record.number, (record.customer, units));
                assert_eq!(before, None, "record {} is there twice", record.number);
            });
            reached = read.expect("a sound disk can be read");
        }
        found
    }

    /// Everything is sound again, and has time to come to an end.
    async fn calm(&mut self) {
        self.machine.disk.heal();
        self.stripe.forget_faults().await;
        if self.machine.gave_up_on_stripe() || self.dice.percent(20) {
            self.kill();
        }
        let available = async || self.machine.ledger().is_available().then_some(());
        until("the ledger recovers", PATIENCE, available).await;
        self.machine.sync();
        assert!(self.machine.fold(), "a sound disk can be folded");
        self.model.compare(&self.found(), u64::MAX);
        assert_eq!(self.model.owed, [], "what was owed is written");
        until("everything is sealed and sent", PATIENCE, async || {
            self.machine.retry_dead();
            self.machine.let_pauses_pass();
            // Each turn of a new reporter seals.
            self.machine.report().await;
            (self.machine.unfinished() == 0).then_some(())
        })
        .await;
    }

    /// Charged = totals; sealed = outbox = delivered = at Stripe; at most what was taken back is still to be used up.
    async fn check(&self) {
        let (sums, metered) = (self.machine.sums(), self.stripe.metered().await);
        for (customer, name, stripe_customer) in &self.customers {
            let kept = sums.get(customer).copied().unwrap_or_default();
            let charged = self.model.charged(*customer);
            assert_eq!(kept.units, charged, "{name}: totals (left), charged (right)");
            assert_eq!((kept.sealed, kept.outbox), (kept.outbox, kept.delivered), "{name}");
            let account = (stripe_customer.clone(), "api_calls".to_owned());
            let at_stripe = metered.get(&account).copied().unwrap_or(0).cast_signed();
            assert_eq!(at_stripe, kept.delivered, "{name}: at Stripe (left), delivered (right)");
            let taken_back = self.model.corrected.get(customer).copied().unwrap_or(0);
            let ahead = at_stripe - charged;
            assert!(at_stripe == 0 || (0..=taken_back).contains(&ahead), "{name}: Stripe is {ahead} ahead");
        }
    }

    /// Everybody is linked, and uses up what Stripe is ahead: now all sums are one.
    async fn finish(&mut self) {
        for (_, name, stripe_customer) in self.customers.clone() {
            self.machine.customer(&name, Some(stripe_customer)).await;
        }
        self.calm().await;
        let sums = self.machine.sums();
        for (customer, ..) in self.customers.clone() {
            let kept = sums.get(&customer).copied().unwrap_or_default();
            let units = kept.sealed - kept.units + 1;
            let appended = self.machine.ledger().append(&charge(customer, units)).expect("a sound disk");
            self.model.records.insert(appended.0, (customer, units));
        }
        self.calm().await;
        self.check().await;
        for (customer, kept) in self.machine.sums() {
            assert_eq!(kept.delivered, self.model.charged(customer), "customer {customer}");
        }
    }
}

fn period() -> Period {
    const DAY: i64 = 86_400;
    let today = unix_now().div_euclid(DAY) * DAY;
    Period { start: today - 10 * DAY, end: today + 20 * DAY }
}

fn charge(customer: u32, units: i64) -> Record {
    Record { at_micros: unix_now() * 1_000_000, period: period(), ..record(customer, units) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_charged_is_sealed_is_delivered_is_what_stripe_holds_and_nothing_twice() {
    let mut dice = Dice::new("model");
    for round in 0..setting("TOLLGATE_TEST_ROUNDS", 4) {
        let seed = dice.roll();
        let mut play = Play::start(Dice::seeded(seed)).await;
        for action in 1..=ACTIONS {
            play.act().await;
            if action % 50 == 0 {
                play.calm().await;
                play.check().await;
            }
        }
        play.finish().await;
        let (events, duplicates) = play.stripe.events_and_duplicates().await;
        let did = |name| play.log.iter().filter(|done| **done == name).count();
        eprintln!(
            "round {round}: {} records, {events} events at Stripe, {duplicates} rejected as duplicates, {} kills, \
             {} losses of power",
            play.model.records.len(),
            did("kill") + did("report and die"),
            did("lose power")
        );
    }
}
