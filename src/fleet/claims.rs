//! What one node alone does: a webhook event applied, a keyed request charged, a notice sent.

use std::time::Duration;

use super::lease::{millis, strange};
use super::link::Lane;
use super::{Away, Fleet, keys, scripts, values};

/// What came of claiming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is this node's to do.
    Ours,
    /// Done, or another node's.
    Theirs { slot: u32, state: ClaimState },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimState {
    Doing,
    /// With what whoever did it noted.
    Done(String),
}

impl Fleet {
    /// `what` names it in the fleet: `event:evt_…`, `notice:…`, or a customer and the digest of a key. What a lost node
    /// was doing is ours; what has been done is nobody's, not even ours.
    pub async fn claim(&self, what: &str, kept: Duration) -> Result<Claim, Away> {
        let mut script = scripts::CLAIM.key(keys::claim(what));
        script.arg(&self.slot_text).arg(millis(kept)).arg(self.live.load().as_str());
        let answer = self.link.script(Lane::Whole, &script).await?;
        if answer == redis::Value::Nil {
            return Ok(Claim::Ours);
        }
        values::text(&answer).and_then(theirs).ok_or_else(|| strange("a claim"))
    }

    /// It is done.
    pub async fn done(&self, what: &str, note: &str, kept: Duration) -> Result<(), Away> {
        let mut set = redis::cmd("SET");
        set.arg(keys::claim(what)).arg(format!("{} done {note}", self.slot_text));
        set.arg("PX").arg(millis(kept));
        self.link.command(Lane::Whole, &set).await.map(|_| ())
    }

    /// It was not done: others may, if it is still ours.
    pub async fn unclaim(&self, what: &str) -> Result<(), Away> {
        let mut script = scripts::UNCLAIM.key(keys::claim(what));
        script.arg(&self.slot_text);
        self.link.script(Lane::Whole, &script).await.map(|_| ())
    }
}

/// `SLOT doing`, or `SLOT done NOTE`.
fn theirs(claim: &str) -> Option<Claim> {
    let (slot, state) = claim.split_once(' ')?;
    let slot = keys::number(slot)?;
    let state = match state.split_once(' ').unwrap_or((state, "")) {
        ("doing", _) => ClaimState::Doing,
        ("done", note) => ClaimState::Done(note.to_owned()),
        _ => return None,
    };
    Some(Claim::Theirs { slot, state })
}
