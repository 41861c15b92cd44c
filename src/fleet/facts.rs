//! What is not usage: a customer's facts, and the news that they have changed.

use smol_str::SmolStr;

use super::{Away, Fleet, Version};

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
    /// Puts facts that were made from those of version `known`. `expires_millis`: Redis may forget them then.
    pub async fn put_facts(
        &self,
        _key: &FactsKey,
        _known: Version,
        _expires_millis: i64,
        _facts: &[u8],
    ) -> Result<Put, Away> {
        Err(Away)
    }

    /// In the order of the keys.
    pub async fn read_facts(&self, _keys: &[FactsKey]) -> Result<Vec<Option<(Version, Box<[u8]>)>>, Away> {
        Err(Away)
    }

    /// `position` is empty at first.
    pub async fn news_since(&self, _position: &str) -> Result<News, Away> {
        Err(Away)
    }

    /// The versions of all facts, some at a time: `cursor` is empty at first, and in the answer at the end.
    pub async fn all_facts(&self, _cursor: &str) -> Result<(Vec<(FactsKey, Version)>, String), Away> {
        Err(Away)
    }

    /// Heard on the channel: the facts of these have changed. It may miss some: [`Fleet::news_since`] does not.
    pub async fn next_hint(&self) -> (FactsKey, Version) {
        std::future::pending().await
    }
}
