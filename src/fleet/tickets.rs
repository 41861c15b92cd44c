//! What may be used once in the whole fleet, and soon: it lies in Redis until somebody takes it. What Redis loses of
//! them is lost: nobody can use it, and none is used twice.

use std::time::Duration;

use super::lease::{millis, strange};
use super::link::Lane;
use super::{Away, Fleet, keys};

impl Fleet {
    /// Lays a ticket down for whoever takes it first.
    pub async fn lay_ticket(&self, id: &str, kept: Duration) -> Result<(), Away> {
        let mut set = redis::cmd("SET");
        set.arg(keys::ticket(id)).arg("").arg("PX").arg(millis(kept));
        self.link.command(Lane::Whole, &set).await.map(|_| ())
    }

    /// Whether the ticket was there: nobody else can take it. Where no answer comes it may have been taken.
    pub async fn take_ticket(&self, id: &str) -> Result<bool, Away> {
        let mut take = redis::cmd("DEL");
        take.arg(keys::ticket(id));
        match self.link.command(Lane::Whole, &take).await? {
            redis::Value::Int(taken) => Ok(taken == 1),
            _ => Err(strange("a ticket")),
        }
    }
}
