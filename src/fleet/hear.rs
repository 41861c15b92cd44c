//! What is published: recalls, hints, questions, heartbeats. All of it may be missed: what it says is found by other
//! ways, only later. This node hears its own heartbeat; without that for two seconds it is deaf, and listens anew.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::PubSub;
use redis::{Msg, RedisResult};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{FactsKey, Fleet, Version, ask, keys};

const CHANNELS: [&str; 5] = ["tg:recall", "tg:facts", "tg:ask", "tg:beat", "tg:lost"];
/// Four heartbeats.
const DEAF: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(250);

impl Fleet {
    /// Listens for ever.
    pub(super) async fn hear(&self) {
        loop {
            if let Ok(connection) = self.link.listen().await
                && let Ok(Ok(connection)) = timeout(DEAF, subscribed(connection)).await
            {
                self.hear_from(connection).await;
            }
            self.signals.hears.store(false, Ordering::Relaxed);
            sleep(RETRY).await;
        }
    }

    /// Until the connection ends, or this node's own heartbeat is missing.
    async fn hear_from(&self, mut connection: PubSub) {
        let mut messages = pin!(connection.on_message());
        let mut deaf_at = Instant::now() + DEAF;
        while let Ok(Some(message)) = timeout_at(deaf_at, messages.next()).await {
            if message.get_channel_name() != "tg:beat" {
                self.heed(&message).await;
            } else if self.is_own_beat(message.get_payload_bytes()) {
                deaf_at = Instant::now() + DEAF;
                self.signals.hears.store(true, Ordering::Relaxed);
            }
        }
    }

    /// `SLOT PROCESS`. Of a node that has just come it is asked at once who is there.
    fn is_own_beat(&self, said: &[u8]) -> bool {
        let Some((slot, process)) = std::str::from_utf8(said).ok().and_then(|said| said.split_once(' '))
        else {
            return false;
        };
        if !self.live.load().split(',').any(|live| live == slot) {
            self.heart.early.notify_one();
        }
        process == self.process
    }

    /// What cannot be read is of another version, and dropped.
    async fn heed(&self, message: &Msg) {
        let said = message.get_payload_bytes();
        match message.get_channel_name() {
            "tg:recall" => {
                if let Some(customer) = self.recalled(said) {
                    self.signals.recall(customer);
                }
            }
            "tg:facts" => self.signals.hints.extend(hint(said)),
            "tg:ask" => self.signals.questions.extend(ask::question(said, &self.process)),
            "tg:lost" => {
                if let Some(bucket) = keys::bucket_of_marker(said) {
                    // Who is away finds out by the heartbeat.
                    let _ = self.touch(bucket, false).await;
                }
            }
            _ => {}
        }
    }

    /// `SLOT KEY`: not what this node itself is short of.
    fn recalled(&self, said: &[u8]) -> Option<smol_str::SmolStr> {
        let at = said.iter().position(|byte| *byte == b' ')?;
        let (slot, key) = (&said[..at], &said[at + 1..]);
        match keys::whose(key)? {
            FactsKey::Customer(customer) if slot != self.slot_text.as_bytes() => Some(customer),
            _ => None,
        }
    }
}

async fn subscribed(mut connection: PubSub) -> RedisResult<PubSub> {
    connection.subscribe(&CHANNELS).await?;
    Ok(connection)
}

/// `KEY VERSION`.
fn hint(said: &[u8]) -> Option<(FactsKey, Version)> {
    let at = said.iter().rposition(|byte| *byte == b' ')?;
    let version = std::str::from_utf8(&said[at + 1..]).ok()?;
    Some((keys::whose(&said[..at])?, Version::read(version)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_whose_facts_have_changed() {
        let hinted = hint(b"tg:{04s}:c:a name with spaces 0000abcd");
        let version = Version(*b"0000abcd");
        assert_eq!(hinted, Some((FactsKey::Customer("a name with spaces".into()), version)));
        for nonsense in ["", " ", "tg:{04s}:c:acme", "tg:{04s}:c:acme abc", "acme 0000abcd"] {
            assert_eq!(hint(nonsense.as_bytes()), None, "{nonsense}");
        }
    }
}
