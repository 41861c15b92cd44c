//! Idempotency keys that have been charged: of all nodes the first to say so charges a key, and the others are told.
//!
//! A key is said to be charged before its charge is recorded, and taken back where it is not. What Redis loses of them is
//! not put back: each node then knows its own.

use std::time::Duration;

use super::lease::{millis, strange};
use super::link::Lane;
use super::{Away, Fleet, keys, scripts, values};
use crate::domain::idempotency::Digest;

impl Fleet {
    /// When another node charged the key, in microseconds since the epoch. `None`: none has that is known.
    pub async fn charged_elsewhere(&self, customer: &str, key: Digest) -> Result<Option<i64>, Away> {
        let (bucket, name) = keys::charged(customer, key);
        let mut get = redis::cmd("GET");
        get.arg(name);
        let said = self.link.command(Lane::Bucket(bucket), &get).await?;
        self.elsewhere(&said)
    }

    /// Says that this node charges the key at an instant, unless another has done so: then when. Whether this node itself
    /// has charged it before is its own to know.
    pub async fn charge_key(
        &self,
        customer: &str,
        key: Digest,
        micros: i64,
        kept: Duration,
    ) -> Result<Option<i64>, Away> {
        let (bucket, name) = keys::charged(customer, key);
        let mut set = redis::cmd("SET");
        set.arg(name).arg(self.charge(micros)).arg("NX").arg("GET").arg("PX").arg(millis(kept));
        let said = self.link.command(Lane::Bucket(bucket), &set).await?;
        self.elsewhere(&said)
    }

    /// The charge of that instant does not stand.
    pub async fn uncharge_key(&self, customer: &str, key: Digest, micros: i64) -> Result<(), Away> {
        let (bucket, name) = keys::charged(customer, key);
        let mut script = scripts::UNCHARGE.key(name);
        script.arg(self.charge(micros));
        self.link.script(Lane::Bucket(bucket), &script).await.map(|_| ())
    }

    fn charge(&self, micros: i64) -> String {
        format!("{} {micros}", self.slot_text)
    }

    fn elsewhere(&self, said: &redis::Value) -> Result<Option<i64>, Away> {
        if *said == redis::Value::Nil {
            return Ok(None);
        }
        let charge = values::text(said).and_then(|charge| charge.split_once(' '));
        let (slot, micros) = charge.ok_or_else(|| strange("a charged key"))?;
        if slot == self.slot_text {
            return Ok(None);
        }
        micros.parse().map(Some).map_err(|_| strange("a charged key"))
    }
}
