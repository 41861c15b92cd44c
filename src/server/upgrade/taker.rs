//! The new process.

use std::fs::File;
use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::config::Config;
use crate::customers::handover::{Estate, Names};
use crate::gateway::{Desk, Flow, Parts, Tls};
use crate::handover::Channel;
use crate::live::Live;
use crate::reporting::Reporter;
use crate::store::Store;

use super::super::ServerError;
use super::super::build::{Rooms, State};
use super::super::lock::Lock;
use super::super::ports::Ports;
use super::{Hello, Opened, Ready, Reply, Rests, Serve, socket};

/// The process that runs, and waits for us.
pub(in super::super) struct Before {
    channel: Channel,
    names: Names,
    lock: File,
}

impl Before {
    /// Asks for the place of the process that runs on a `data_dir`. None: there is none.
    pub async fn find(config: &Config) -> Result<Option<(Self, Ports)>, ServerError> {
        let Some(mut channel) = Channel::connect(&socket(&config.server.data_dir)).await? else {
            return Ok(None);
        };
        channel.send(&Hello::ours()).await.map_err(ServerError::Gone)?;
        let (ports, names) = match channel.receive().await.map_err(ServerError::Gone)? {
            Reply::Come { ports, names } => (ports, names),
            Reply::No(why) => return Err(ServerError::Upgrade(why)),
        };
        let mut files = channel.receive_files().await.map_err(ServerError::Gone)?.into_iter();
        let lock = files.next().ok_or_else(|| ServerError::Upgrade("it sent no lock".to_owned()))?;
        let ports = Ports::inherited(ports.into_iter().zip(files));
        Ok(Some((Self { channel, names, lock: lock.into() }, ports)))
    }

    /// Finds out whether this configuration can be put in force, as far as that can be known while the other process
    /// works. Then that rests, until we begin or fail.
    pub fn let_it_rest(mut self, config: &Config, runtime: &Runtime) -> Result<(Lock, Estates), ServerError> {
        if let Some(meter) = self.names.meter_missing_in(&config.catalogue) {
            let why =
                format!("requests that are under way may cost units of the meter {meter}, which is gone");
            return Err(ServerError::Upgrade(why));
        }
        let doors = &config.server.doors;
        doors.tls.as_ref().map(|tls| Tls::new(tls, doors.http2)).transpose()?;
        let rests = runtime.block_on(async {
            self.channel.send(&Ready).await?;
            self.channel.receive().await
        });
        let Rests { estate } = rests.map_err(ServerError::Gone)?;
        Ok((Lock::inherited(self.lock), Estates { channel: self.channel, estate }))
    }
}

/// What the process before has in flight, while it waits for us to begin.
pub(in super::super) struct Estates {
    channel: Channel,
    estate: Estate,
}

impl Estates {
    /// Holds it, and takes the other's place: from when this returns the books are ours. An error: the other goes on.
    pub fn take(
        self,
        state: &State,
        rooms: &Rooms,
        parts: &Arc<Live<Parts>>,
        runtime: &Runtime,
    ) -> Result<Taken, ServerError> {
        let Self { mut channel, estate } = self;
        tracing::info!(customers = estate.customers(), "what is in flight is taken over");
        let desk = Desk::new(parts.clone(), rooms.customers.inherit(estate));
        let begins = runtime.block_on(async {
            channel.send(&Opened).await?;
            channel.receive::<Serve>().await
        });
        begins.map_err(ServerError::Gone)?;
        Ok(Taken {
            desk,
            channel,
            first_record: state.ledger.synced().borrow().next_record,
            reporter: rooms.reporter.clone(),
            store: state.store.clone(),
        })
    }
}

/// What is still under way with the process before.
pub(in super::super) struct Taken {
    desk: Desk,
    channel: Channel,
    /// The first of ours.
    first_record: u64,
    reporter: Arc<Reporter>,
    store: Arc<Store>,
}

impl Taken {
    /// Answers the process before until it has ended. Estimates whose truth it has not told then stand as charges.
    pub async fn see_off(self, flow: Arc<Flow>) {
        let untold = self.desk.serve(self.channel).await;
        if !flow.books.are_here() {
            // Whoever has them sees to all that is open here.
            return;
        }
        // What is not folded yet would only be found open later.
        self.reporter.fold_soon().await;
        match self.store.let_estimates_of_others_stand(self.first_record, untold).await {
            Ok(0) => {}
            Ok(standing) => {
                tracing::warn!(
                    standing,
                    "estimates were open when the process before ended: they stand as charges"
                );
            }
            Err(error) => tracing::error!(%error, "estimates of the process before are still open"),
        }
    }
}
