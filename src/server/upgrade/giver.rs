//! The old process.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::config::{Config, Mode};
use crate::customers::Customers;
use crate::customers::handover::Names;
use crate::domain::catalogue::Catalogue;
use crate::gateway::{Flow, Heir};
use crate::handover::{Channel, Listener, MOST_FILES};
use crate::ledger::Ledger;
use crate::live::Live;
use crate::reporting::{Folded, Reporter};
use crate::store::{Paused, Store};

use super::super::build::{Rooms, State};
use super::super::lock::Lock;
use super::super::ports::Ports;
use super::{HELD_UP, Hello, Opened, PROTOCOL, Ready, Reply, Rests, Serve, socket};

/// For what each side says at once.
const SAYS_WITHIN: Duration = Duration::from_secs(5);
/// The new process reads its configuration and finds its upstreams within this time.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// What is being sent, and our own endpoints, end within this time; requests go on meanwhile.
const RESTS_WITHIN: Duration = Duration::from_secs(30);
/// After SIGQUIT a new process is waited for so long.
const COMES_WITHIN: Duration = Duration::from_mins(1);

/// Why this process goes on.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Refused(&'static str),
    #[error("the new process has ended: {0}")]
    Gone(#[from] io::Error),
    #[error("{0} did not end in time")]
    Late(&'static str),
}

/// All that is handed over.
pub(in super::super) struct Giver {
    data_dir: PathBuf,
    pub ports: Arc<Ports>,
    /// None once another process has it.
    lock: std::sync::Mutex<Option<Lock>>,
    flow: Arc<Flow>,
    catalogue: Arc<Live<Catalogue>>,
    customers: Arc<Customers>,
    ledger: Arc<Ledger>,
    store: Arc<Store>,
    reporter: Arc<Reporter>,
    folded: watch::Receiver<Folded>,
    hurry: Arc<Notify>,
    /// Ends the work beside the requests.
    stop: watch::Sender<bool>,
    /// Why this gateway cannot be handed over, if it cannot.
    stays: Option<&'static str>,
    /// Held while it is handed over, and when it is to stop.
    giving: Mutex<()>,
    given: watch::Sender<Option<Heir>>,
}

impl Giver {
    pub fn new(
        config: &Config,
        state: &State,
        rooms: &Rooms,
        flow: &Arc<Flow>,
        (ports, lock): (Arc<Ports>, Lock),
        stop: watch::Sender<bool>,
    ) -> Self {
        let stays = if config.fleet.is_some() {
            Some("a node of a fleet is restarted: stop it and start the new one, node by node")
        } else if matches!(config.stripe.mode, Mode::Sandbox { .. }) {
            Some("the local Stripe lives in the process that runs; stop that, then start the new one")
        } else {
            None
        };
        Self {
            data_dir: config.server.data_dir.clone(),
            ports,
            lock: std::sync::Mutex::new(Some(lock)),
            flow: flow.clone(),
            catalogue: state.catalogue.clone(),
            customers: rooms.customers.clone(),
            ledger: state.ledger.clone(),
            store: state.store.clone(),
            reporter: rooms.reporter.clone(),
            folded: state.folder.folded(),
            hurry: state.folder.hurry(),
            stop,
            stays,
            giving: Mutex::default(),
            given: watch::Sender::new(None),
        }
    }

    /// Returns when another process has taken over.
    pub async fn given(&self) -> Heir {
        let mut given = self.given.subscribe();
        match given.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(heir)) => heir.clone(),
            _ => std::future::pending().await,
        }
    }

    /// From now on nothing is handed over; answers who has taken over, if somebody has.
    pub async fn stop(&self) -> Option<Heir> {
        std::mem::forget(self.giving.lock().await);
        self.given.borrow().clone()
    }

    /// Waits for a new process, until one has taken over. From when this returns one that asks is heard.
    pub fn spawn(self, runtime: &Runtime) -> Arc<Self> {
        let giver = Arc::new(self);
        let _entered = runtime.enter();
        let listener = giver.listen();
        runtime.spawn(giver.clone().run(listener));
        giver
    }

    fn listen(&self) -> io::Result<Listener> {
        Listener::bind(&socket(&self.data_dir))
    }

    async fn run(self: Arc<Self>, first: io::Result<Listener>) {
        let mut first = Some(first);
        loop {
            let asked = match first.take().unwrap_or_else(|| self.listen()) {
                Ok(listener) => next(&listener).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(channel) => {
                    let _giving = self.giving.lock().await;
                    match self.hand_over(channel).await {
                        Ok(heir) => {
                            self.given.send_replace(Some(heir));
                            return;
                        }
                        Err(why) => tracing::warn!(%why, "no upgrade: this process goes on"),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    tracing::warn!("data_dir has too long a path: this process cannot be upgraded in place");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "an upgrade cannot be waited for; it is tried again");
                    sleep(SAYS_WITHIN).await;
                }
            }
        }
    }

    async fn hand_over(&self, mut channel: Channel) -> Result<Heir, Failed> {
        let hello: Hello = said(&mut channel, SAYS_WITHIN).await?;
        if let Some(why) = self.refuses(&hello) {
            channel.send(&Reply::No(why.to_owned())).await?;
            return Err(Failed::Refused(why));
        }
        tracing::info!(version = hello.version, "a new process asks for the place of this one");
        let ports = self.ports.all()?;
        let names = Names::of(&self.catalogue.now());
        let addresses = ports.iter().map(|(address, _)| *address).collect();
        channel.send(&Reply::Come { ports: addresses, names }).await?;
        let lock = self.lock().clone().ok_or(Failed::Refused("it has been replaced"))?;
        let sockets = ports.iter().map(|(_, socket)| socket.as_fd());
        let files: Vec<_> = std::iter::once(lock.as_fd()).chain(sockets).collect();
        channel.send_files(&files).await?;
        drop(lock);
        said::<Ready>(&mut channel, READY_WITHIN).await?;
        let rests = timeout(RESTS_WITHIN, self.reporter.rest()).await;
        let rests = rests.map_err(|_| Failed::Late("what is sent to Stripe"))?;
        let handed = self.hand_over_books(channel).await;
        match &handed {
            // Nothing is ever sent here again.
            Ok(_) => std::mem::forget(rests),
            Err(_) => self.flow.books.reopen(),
        }
        handed
    }

    /// The books are there when this succeeds; else they are to be opened again.
    async fn hand_over_books(&self, mut channel: Channel) -> Result<Heir, Failed> {
        if !self.flow.books.close_own(RESTS_WITHIN).await {
            return Err(Failed::Late("a request to our own endpoints"));
        }
        self.flow.books.close().await;
        let mut paused = None;
        let begun = Instant::now();
        let given = timeout(HELD_UP, self.give(&mut channel, &mut paused)).await;
        if let Err(why) = given.unwrap_or(Err(Failed::Late("the hand-over"))) {
            drop(paused);
            // A disk that fails meanwhile is told to those who ask.
            let _ = timeout(HELD_UP, self.ledger.take_back()).await;
            return Err(why);
        }
        self.ports.close();
        // If the other one ends, whoever comes then finds neither lock nor ports taken.
        self.lock().take();
        self.stop.send_replace(true);
        paused.into_iter().for_each(Paused::for_good);
        let heir = Heir::new(channel);
        self.flow.books.hand_over(heir.clone());
        tracing::info!(held_up_millis = begun.elapsed().as_millis(), "the books are with another process");
        Ok(heir)
    }

    async fn give(&self, channel: &mut Channel, paused: &mut Option<Paused>) -> Result<(), Failed> {
        self.ledger.lend().await;
        let last = self.ledger.synced().borrow().next_record;
        self.hurry.notify_one();
        // The folder ends with the gateway.
        let _ = self.folded.clone().wait_for(|folded| folded.next_record >= last).await;
        *paused = Some(self.store.pause().await);
        let estate = self.customers.estate(clock::now());
        channel.send(&Rests { estate }).await?;
        channel.receive::<Opened>().await?;
        Ok(channel.send(&Serve).await?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Lock>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuses(&self, hello: &Hello) -> Option<&'static str> {
        let ours = Hello::ours();
        if self.ports.all().is_ok_and(|ports| ports.len() >= MOST_FILES) {
            return Some("it listens on too many ports; restart it");
        }
        if hello.protocol != PROTOCOL || hello.schema != ours.schema {
            return Some(
                "the two versions keep their data differently; stop the old one, then start the new one",
            );
        }
        self.stays
    }
}

/// The next process that asks.
async fn next(listener: &Listener) -> io::Result<Channel> {
    let mut quit = signal(SignalKind::quit())?;
    let mut asked = false;
    loop {
        tokio::select! {
            channel = listener.accept() => return channel,
            _ = quit.recv() => {
                tracing::info!("SIGQUIT: waiting for a new process (tollgate run --upgrade)");
                asked = true;
            }
            () = sleep(COMES_WITHIN), if asked => {
                tracing::warn!("no new process has come: this one goes on");
                asked = false;
            }
        }
    }
}

async fn said<T: serde::de::DeserializeOwned>(channel: &mut Channel, within: Duration) -> Result<T, Failed> {
    timeout(within, channel.receive())
        .await
        .map_err(|_| Failed::Late("what the new process does"))?
        .map_err(Into::into)
}
