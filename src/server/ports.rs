//! The listening sockets: bound here, or by the process before, whose queues of clients they still hold.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ServerError;

/// Listening sockets by the addresses that configurations name.
#[derive(Debug, Default)]
pub(super) struct Ports(Mutex<Vec<(SocketAddr, TcpListener)>>);

impl Ports {
    /// Those of the process before.
    pub fn inherited(ports: impl IntoIterator<Item = (SocketAddr, OwnedFd)>) -> Self {
        let ports = ports.into_iter().map(|(address, socket)| (address, TcpListener::from(socket)));
        Self(Mutex::new(ports.collect()))
    }

    /// Whether one can listen on an address.
    pub fn check(&self, address: SocketAddr) -> Result<(), ServerError> {
        let known = self.ports().iter().any(|(known, _)| *known == address);
        if known { Ok(()) } else { TcpListener::bind(address).map(drop).map_err(failed(address)) }
    }

    /// The socket that listens on an address, made by `bind` where there is none.
    pub fn open(
        &self,
        address: SocketAddr,
        bind: impl FnOnce(SocketAddr) -> std::io::Result<TcpListener>,
    ) -> Result<TcpListener, ServerError> {
        let mut ports = self.ports();
        let known = ports.iter().find(|(known, _)| *known == address);
        if let Some((_, listener)) = known {
            return listener.try_clone().map_err(failed(address));
        }
        let listener = bind(address).map_err(failed(address))?;
        ports.push((address, listener.try_clone().map_err(failed(address))?));
        Ok(listener)
    }

    /// All of them, for another process.
    pub fn all(&self) -> std::io::Result<Vec<(SocketAddr, OwnedFd)>> {
        let clone =
            |(address, listener): &(SocketAddr, TcpListener)| Ok((*address, listener.try_clone()?.into()));
        self.ports().iter().map(clone).collect()
    }

    /// Nothing is listened to here any more, once those who accept have ended.
    pub fn close(&self) {
        self.ports().clear();
    }

    fn ports(&self) -> MutexGuard<'_, Vec<(SocketAddr, TcpListener)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(address: SocketAddr) -> impl Fn(std::io::Error) -> ServerError {
    move |error| ServerError::Listen { address, error }
}
