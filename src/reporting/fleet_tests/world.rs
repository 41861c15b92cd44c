//! Some machines, a Redis and a Stripe, under one clock.

use std::sync::{Arc, Mutex};

use hashbrown::HashMap as Sums;

use crate::store::{Batch, TotalKey, TotalUnits};
use crate::stripe::Transport;

use super::machine::Line;
use super::machine::{LOST_AFTER, Machine, START, Stripe, Work, drive, wait};
use super::redis::{Fate, State, Stops};

pub struct World {
    pub now: Arc<Mutex<i64>>,
    pub redis: Arc<Mutex<State>>,
    pub stripe: Arc<Mutex<Stripe>>,
    pub machines: Vec<Machine>,
}

impl World {
    pub fn new(machines: u32, transport: &Arc<Transport>) -> Self {
        let redis = Arc::new(Mutex::new(State { now: START, ..State::default() }));
        let machines = (0..machines).map(|slot| Machine::new(slot, &redis, transport)).collect();
        Self { now: Arc::new(Mutex::new(START)), redis, stripe: Arc::default(), machines }
    }

    pub fn time(&self) -> i64 {
        *self.now.lock().expect("now")
    }

    /// Time passes; who is there is seen.
    pub fn pass_time(&mut self, seconds: i64) {
        let now = self.time() + seconds;
        *self.now.lock().expect("now") = now;
        self.look();
    }

    /// Who has been silent for too long.
    fn look(&mut self) {
        let now = self.time();
        for machine in self.machines.iter_mut().filter(|machine| machine.is_seen()) {
            machine.seen = now;
        }
        let lost = self.machines.iter().filter(|machine| now - machine.seen > LOST_AFTER);
        let lost = lost.map(|machine| machine.connection.slot).collect();
        let mut redis = self.redis.lock().expect("redis");
        (redis.now, redis.lost) = (now, lost);
    }

    /// Usage comes to a machine, and is folded.
    pub fn use_units(&mut self, node: usize, customer: u32, units: i64) {
        let now = self.time();
        let machine = &mut self.machines[node];
        if !machine.is_up() {
            return;
        }
        let from = (u64::from(machine.next_record > 0), machine.next_record * 100);
        machine.next_record += 1;
        let (segment, offset, next_record) = (1, machine.next_record * 100, machine.next_record);
        let units_of = TotalUnits {
            period_end: START + 30 * 86_400,
            included: units,
            reportable: units,
            first_at_micros: now * 1_000_000,
            last_at_micros: now * 1_000_000,
            ..TotalUnits::default()
        };
        let key = TotalKey { customer, meter: 1, period_start: START };
        let totals = Sums::from([(key, units_of)]);
        let batch = Batch { totals, from, segment, offset, next_record, ..Batch::default() };
        machine.store.fold(batch).expect("folds");
        machine.used += units;
    }

    /// A machine works until it is done, or stops behind so many points. Answers whether it was done.
    pub fn work(&mut self, node: usize, work: Work, stop_after: Option<u32>) -> bool {
        self.look();
        let (now, stripe, clock) = (self.time(), self.stripe.clone(), self.now.clone());
        let machine = &mut self.machines[node];
        if !machine.is_up() {
            return true;
        }
        machine.stops.lock().expect("stops").left = stop_after;
        let Some(mut doing) = machine.work(work, now, &stripe, &clock) else { return true };
        let is_done = drive(&mut doing, &machine.stops);
        machine.stops.lock().expect("stops").left = None;
        if !is_done {
            machine.doing = Some(doing);
        }
        is_done
    }

    /// It goes on where it stood still.
    pub fn go_on(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        if let Some(mut doing) = machine.doing.take() {
            *machine.stops.lock().expect("stops") = Stops::default();
            assert!(drive(&mut doing, &machine.stops), "it does not stop again");
        }
        self.look();
    }

    pub fn kill(&mut self, node: usize) {
        self.machines[node].doing = None;
        self.machines[node].copier = None;
    }

    pub fn start(&mut self, node: usize) {
        if self.machines[node].copier.is_none() {
            self.machines[node].start();
        }
        self.look();
    }

    pub fn set_fate(&mut self, node: usize, fate: Fate) {
        self.look();
        *self.machines[node].connection.fate.lock().expect("fate") = fate;
    }

    pub fn flush(&mut self) {
        self.redis.lock().expect("redis").slots.clear();
    }

    /// Late writes come at last.
    pub fn come_late(&mut self) {
        let mut redis = self.redis.lock().expect("redis");
        for (slot, changes) in std::mem::take(&mut redis.late) {
            redis.write(slot, &changes);
        }
    }

    /// Everything works, and everybody named does all that is to be done.
    pub fn settle(&mut self, nodes: &[usize]) {
        self.come_late();
        for node in nodes {
            self.set_fate(*node, Fate::Fine);
            *self.machines[*node].line.lock().expect("line") = Line::Fine;
            self.go_on(*node);
            self.start(*node);
        }
        for _ in 0..12 {
            for work in [Work::TakeOver, Work::Copy, Work::Seal, Work::Send] {
                for node in nodes {
                    assert!(self.work(*node, work, None));
                }
            }
            self.pass_time(11);
            if self.is_settled(nodes) {
                return;
            }
        }
    }

    fn is_settled(&self, nodes: &[usize]) -> bool {
        let is_clear = !self.redis.lock().expect("redis").has_open_fence();
        is_clear && nodes.iter().all(|node| self.left(*node) == (0, 0, 0) && self.fences(*node) == 0)
    }

    /// Rows, and unsealed units, that a machine has not brought to an end.
    pub fn left(&self, node: usize) -> (u64, u64, u64) {
        let store = self.machines[node].store.clone();
        wait(async move {
            let counts = store.outbox_counts().await.expect("counts");
            let unsealed = store.unsealed_units().await.expect("sums").0;
            (counts.pending, counts.dead, unsealed.iter().map(|(_, units)| units).sum())
        })
    }

    pub fn fences(&self, node: usize) -> usize {
        let store = self.machines[node].store.clone();
        wait(async move { store.fences().await.expect("reads").len() })
    }
}
