//! A member of the fleet as the adapter's tests use it, without a gateway around it.

use std::sync::Arc;
use std::time::Duration;

use smallvec::smallvec;
use smol_str::SmolStr;
use tokio::task::JoinHandle;
use tollgate::clock;
use tollgate::domain::lease::{Ask, Call, Lent, Pool, Settled};
use tollgate::domain::route::Methods;
use tollgate::domain::units::MeterId;
use tollgate::fleet::{
    Address, Answered, Fleet, JoinError, Lender, LinkState, Named, Options, Unsettled, Version, Words,
};

use super::redis::TIMEOUT;
use crate::harness::{PATIENCE, until};

pub const METER: MeterId = MeterId(0);

/// What the tests' nodes are told; each test changes what it is about.
pub fn options(address: Address, node: &str) -> Options {
    Options {
        address,
        timeout: TIMEOUT,
        publish_interval: Duration::from_millis(20),
        take_over_after: Duration::from_mins(10),
        node: node.to_owned(),
        ledger: uuid::Uuid::new_v4().simple().to_string(),
    }
}

/// A member whose heart beats, and who has nothing to put back.
pub struct Node {
    pub fleet: Arc<Fleet>,
    work: Vec<JoinHandle<()>>,
}

impl Node {
    pub async fn join(address: Address, name: &str) -> Self {
        Self::with(&options(address, name)).await.expect("a member")
    }

    pub async fn with(options: &Options) -> Result<Self, JoinError> {
        let node = Self::quiet(options).await?;
        node.is(LinkState::Here).await;
        Ok(node)
    }

    /// Whose losses and returns nobody answers, but the test.
    pub async fn alone(options: &Options) -> Result<Self, JoinError> {
        let fleet = Arc::new(Fleet::new(options).expect("an address"));
        fleet.join().await?;
        let run = fleet.clone();
        let work = vec![tokio::spawn(async move {
            run.run().await;
        })];
        Ok(Self { fleet, work })
    }

    async fn quiet(options: &Options) -> Result<Self, JoinError> {
        let mut node = Self::alone(options).await?;
        let fleet = node.fleet.clone();
        node.work.push(tokio::spawn(async move {
            loop {
                let generation = fleet.next_loss().await;
                let _ = fleet.put_back(&generation).await;
            }
        }));
        let fleet = node.fleet.clone();
        node.work.push(tokio::spawn(async move {
            loop {
                let rejoin = fleet.next_rejoin().await;
                fleet.rejoined(rejoin);
            }
        }));
        Ok(node)
    }

    pub async fn is(&self, state: LinkState) {
        let mut states = self.fleet.states();
        let reached = tokio::time::timeout(PATIENCE, states.wait_for(|now| *now == state));
        reached.await.unwrap_or_else(|_| panic!("not {state:?}")).expect("the link lives");
    }

    /// It stops without a word.
    pub fn crash(self) {
        drop(self);
    }

    /// One pool's call: used, keep, least and want of a limit.
    pub async fn call(&self, customer: &str, seq: u64, asks: [u64; 5]) -> Result<Answered, Unsettled> {
        self.settle(named(customer, seq, asks)).await
    }

    pub async fn settle(&self, call: Named) -> Result<Answered, Unsettled> {
        self.fleet.settle(vec![call]).await.remove(0)
    }

    /// The same again and again, until something is lent.
    pub async fn lent(&self, customer: &str, asks: [u64; 5]) -> Lent {
        let ask = async || {
            let answer = self.call(customer, seq(), asks).await.ok()?;
            match answer.settled {
                Settled::Lent { asks, lends: true, .. } => Some(asks[0]),
                _ => None,
            }
        };
        until("the fleet lends", PATIENCE, ask).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for work in &self.work {
            work.abort();
        }
    }
}

/// Greater each time.
pub fn seq() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = clock::now().0 / 1_000_000;
    LAST.fetch_max(now, Ordering::Relaxed);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// A call for the included units of one meter, in this minute's window.
pub fn named(customer: &str, seq: u64, [used, keep, least, want, limit]: [u64; 5]) -> Named {
    let ask =
        Ask { pool: Pool::Included(METER), window: 28_000_020, used, keep, least, want, limit, price: 0 };
    let expires = i64::try_from(clock::now().0 / 1_000_000_000).expect("seconds") + 86_400;
    let call = Call {
        seq,
        asks: smallvec![ask],
        rates: smallvec![],
        ended: Vec::new(),
        expires,
        wants_others: true,
        sent: clock::now(),
    };
    Named {
        customer: SmolStr::new(customer),
        version: Version::NONE,
        call,
        words: Arc::new(Words::new(["calls"], [("/a", &Methods::All)])),
        lots: smallvec![],
        others: Box::default(),
    }
}
