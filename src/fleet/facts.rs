//! What is not usage: a customer's facts, and the news that they have changed.
//!
//! Facts lie beside the claims of their customer, in pieces that keep the hash small, under a version that Redis gives
//! out. That they have changed is published, and put into a stream that can be read on from where one was.

use futures_util::future::join_all;
use redis::Value;
use smol_str::SmolStr;

use super::lease::strange;
use super::link::Lane;
use super::{Away, Fleet, Version, keys, scripts, values};

/// Longer values would make Redis keep the hash in a larger form.
const PIECE: usize = 60;
/// Changes that are remembered, about.
const REMEMBERED: u32 = 100_000;
/// Changes read at a time.
const READ: u32 = 1_000;
/// Facts asked for at once.
const READ_AT_ONCE: usize = 32;
/// Keys that a scan looks at in one go: half a millisecond.
const LOOKED_AT: u32 = 500;
/// Behind nothing: the position in a stream that is empty.
const BEGIN: &str = "0-0";

/// Whose facts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FactsKey {
    /// One of our customers, by name.
    Customer(SmolStr),
    /// A customer at Stripe whom none of ours is linked to.
    Stripe(SmolStr),
}

/// What came of putting facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// They are in force for all, under this version.
    Done(Version),
    /// Others were put since: these. Merge, and put again.
    Other(Version, Box<[u8]>),
}

/// What has changed since a position.
#[derive(Clone, Debug, Default)]
pub struct News {
    pub changed: Vec<(FactsKey, Version)>,
    /// To go on from.
    pub position: String,
    /// Some of what has changed is not in the list any more: read everything.
    pub has_gap: bool,
}

impl Fleet {
    /// Puts facts that were made from those of version `known`; their own is above `least`, whatever Redis's clock says.
    /// `expires_millis`: Redis may forget them then.
    pub async fn put_facts(
        &self,
        key: &FactsKey,
        (known, least): (Version, Version),
        expires_millis: i64,
        facts: &[u8],
    ) -> Result<Put, Away> {
        let (bucket, name) = keys::facts(key);
        let mut script = scripts::PUT.key(&name);
        script.arg(known.to_string()).arg(least.to_string()).arg(expires_millis.max(0));
        for piece in facts.chunks(PIECE) {
            script.arg(piece);
        }
        let answer = self.link.script(Lane::Bucket(bucket), &script).await?;
        let put = read_put(&answer).ok_or_else(|| strange("facts"))?;
        if let Put::Done(version) = &put {
            self.tell(&name, *version).await?;
        }
        Ok(put)
    }

    /// Behind the facts themselves: who does not come so far puts them again.
    async fn tell(&self, name: &str, version: Version) -> Result<(), Away> {
        let mut add = redis::cmd("XADD");
        add.arg(keys::NEWS).arg("MAXLEN").arg("~").arg(REMEMBERED).arg("*");
        add.arg("k").arg(name).arg("v").arg(version.to_string());
        self.link.command(Lane::Whole, &add).await.map(|_| ())
    }

    /// In the order of the keys.
    pub async fn read_facts(&self, keys: &[FactsKey]) -> Result<Vec<Option<(Version, Box<[u8]>)>>, Away> {
        let mut read = Vec::with_capacity(keys.len());
        for some in keys.chunks(READ_AT_ONCE) {
            for facts in join_all(some.iter().map(|key| self.read_one(key))).await {
                read.push(facts?);
            }
        }
        Ok(read)
    }

    async fn read_one(&self, key: &FactsKey) -> Result<Option<(Version, Box<[u8]>)>, Away> {
        let (bucket, name) = keys::facts(key);
        let mut script = scripts::FACTS.key(name);
        let answer = self.link.script(Lane::Bucket(bucket), script.arg("")).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let read = || match values::array(&answer)? {
            [version, facts] => Some((Version::read(values::text(version)?)?, values::bytes(facts)?.into())),
            _ => None,
        };
        read().map(Some).ok_or_else(|| strange("facts"))
    }

    /// `position` is empty at first.
    pub async fn news_since(&self, position: &str) -> Result<News, Away> {
        let mut script = scripts::NEWS.key(keys::NEWS);
        script.arg(position).arg(READ);
        let answer = self.link.script(Lane::Whole, &script).await?;
        read_news(position, &answer).ok_or_else(|| strange("news"))
    }

    /// The versions of all facts, some at a time: `cursor` is empty at first, and in the answer at the end. What
    /// changes meanwhile may be missing: it is in the news since the position before.
    pub async fn all_facts(&self, cursor: &str) -> Result<(Vec<(FactsKey, Version)>, String), Away> {
        // Of a Cluster each bucket's server is asked for that bucket; one server for all at once.
        let last = if self.link.is_cluster() { 15 } else { 0 };
        let (bucket, at) = cursor.split_once(':').unwrap_or(("0", "0"));
        let bucket = bucket.parse::<u8>().unwrap_or(0).min(last);
        let mut script = scripts::SCAN.key(keys::marker(bucket));
        script.arg(at).arg(keys::pattern(self.link.is_cluster().then_some(bucket))).arg(LOOKED_AT);
        let answer = self.link.script(Lane::Bucket(bucket), &script).await?;
        let read = || match values::array(&answer)? {
            [at, found] => Some((values::text(at)?, changed(values::array(found)?))),
            _ => None,
        };
        let (at, found) = read().ok_or_else(|| strange("facts"))?;
        let next = match at {
            "0" if bucket == last => String::new(),
            "0" => format!("{}:0", bucket + 1),
            at => format!("{bucket}:{at}"),
        };
        Ok((found, next))
    }

    /// Heard on the channel: the facts of these have changed. It may miss some: [`Fleet::news_since`] does not.
    pub async fn next_hint(&self) -> (FactsKey, Version) {
        self.signals.hints.next().await
    }
}

fn read_put(answer: &Value) -> Option<Put> {
    match values::array(answer)? {
        [what, version] if values::text(what)? == "put" => {
            Some(Put::Done(Version::read(values::text(version)?)?))
        }
        [what, version, facts] if values::text(what)? == "other" => {
            Some(Put::Other(Version::read(values::text(version)?)?, values::bytes(facts)?.into()))
        }
        _ => None,
    }
}

fn read_news(position: &str, answer: &Value) -> Option<News> {
    let [first, found, next] = values::array(answer)? else { return None };
    let (first, next) = (values::text(first)?, values::text(next)?);
    if first.is_empty() {
        // Empty: new, or lost.
        let has_gap = position != BEGIN;
        return Some(News { changed: Vec::new(), position: BEGIN.to_owned(), has_gap });
    }
    let has_gap = position != BEGIN && number(position) < number(first);
    Some(News { changed: changed(values::array(found)?), position: next.to_owned(), has_gap })
}

/// Of `MILLIS-NUMBER`; nothing is before the first.
fn number(id: &str) -> (u64, u64) {
    let (millis, number) = id.split_once('-').unwrap_or((id, "0"));
    (millis.parse().unwrap_or(0), number.parse().unwrap_or(0))
}

/// Keys and versions; what is not of this version of the program is left out.
fn changed(found: &[Value]) -> Vec<(FactsKey, Version)> {
    let read = |(key, version): (&Value, &Value)| {
        Some((keys::whose(values::bytes(key)?)?, Version::read(values::text(version)?)?))
    };
    values::pairs(found).filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(position: &str, first: &str, next: &str) -> News {
        let text = |text: &str| Value::BulkString(text.into());
        let changes = [text("tg:{04s}:c:acme"), text("0000000a"), text("of another version"), text("1")];
        let answer = Value::Array(vec![text(first), Value::Array(changes.into()), text(next)]);
        read_news(position, &answer).expect("news")
    }

    #[test]
    fn a_position_that_the_stream_has_forgotten_is_a_gap() {
        assert!(!news("7-1", "7-1", "9-0").has_gap, "the last one read is still there");
        assert!(!news("7-1", "5-0", "9-0").has_gap);
        assert!(news("7-1", "7-2", "9-0").has_gap);
        assert!(news("", "7-2", "9-0").has_gap, "nothing has been read yet");
        assert!(!news(BEGIN, "7-2", "9-0").has_gap, "there was nothing before it");
        assert!(news("7-1", "", "7-1").has_gap, "the stream is lost");
        assert!(!news(BEGIN, "", BEGIN).has_gap, "it is still empty");
    }

    #[test]
    fn news_that_cannot_be_read_are_left_out() {
        let read = news("7-1", "7-1", "9-0");
        assert_eq!(read.changed, [(FactsKey::Customer("acme".into()), Version(*b"0000000a"))]);
        assert_eq!(read.position, "9-0");
    }
}
