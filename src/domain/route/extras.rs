//! What few routes ask for beyond a path and a price. A route without any of it has none of this.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::cors::Cors;
use crate::domain::header_rules::HeaderRules;
use crate::domain::rewrite::Rewrite;
use crate::domain::tier::{FeatureSet, Mode};

/// All of it; the default is what holds for a route that says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    pub authentication: Authentication,
    pub mode: Mode,
    /// What a key or token that is bound to scopes must hold; the names of the bits are in
    /// [`crate::domain::catalogue::Catalogue::scopes`].
    pub scopes: FeatureSet,
    pub free_when: Option<FreeWhen>,
    pub on_limit: Option<OnLimit>,
    /// From the path that was priced to the one that servers see.
    pub rewrite: Rewrite,
    /// Instead of the upstream's choice.
    pub host: Option<Host>,
    pub timeouts: Timeouts,
    /// Bytes, instead of `server.max_body`; 0: no limit.
    pub max_body: Option<u64>,
    /// `%2F` stays what it is, instead of being refused.
    pub encoded_slashes: bool,
    pub keep_method_override: bool,
    /// `None`: preflights go to the upstream.
    pub cors: Option<Arc<Cors>>,
    /// In the order in which they apply: those of all routes, then its own.
    pub headers: Vec<Arc<HeaderRules>>,
}

/// Who may call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    #[default]
    Required,
    /// Who shows nothing is anonymous; what is shown must be good.
    Optional,
}

/// Answers that cost nothing: those with a header whose value contains a text, in any case of letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeWhen {
    /// Both in lower case.
    pub header: Arc<str>,
    pub contains: Arc<str>,
}

/// What happens to an exchange that goes on when nothing is left to pay for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLimit {
    /// It ends.
    Cut,
    /// It goes on, and is charged.
    Finish,
}

/// The `Host` that servers see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// The client's.
    #[default]
    Keep,
    /// The server's own, as configured.
    Server,
    Name(Arc<str>),
}

/// Instead of the upstream's, where there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    pub read: Option<Duration>,
    pub total: Option<Duration>,
    /// Of an upgraded or streaming exchange in which neither side says anything.
    pub idle: Option<Duration>,
}

impl Host {
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        match text {
            "keep" => Some(Self::Keep),
            "server" => Some(Self::Server),
            name if (1..=253).contains(&name.len()) && name.bytes().all(plain) => {
                Some(Self::Name(name.into()))
            }
            _ => None,
        }
    }
}
