//! What goes with the calls that are made for an account, beside its claims. Nothing here decides.

use smallvec::SmallVec;

use super::Account;
use crate::domain::usage::Now;

/// Kept by whoever makes the calls.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Of the facts that the terms follow from, in the fleet's eight digits.
    pub version: [u8; 8],
    /// What the other nodes were last seen to hold, as it came.
    pub others: Box<str>,
    /// Grants by their number here, and what the fleet calls them.
    pub lots: SmallVec<[(i64, u32); 1]>,
    /// When the last call was answered.
    pub heard_at: Now,
    /// Before this there is no use in asking for more.
    pub ask_at: Now,
    /// How long nobody was to ask after the last answer that fell short.
    pub patience_millis: u16,
    /// How many nodes there were when the last call was answered.
    pub nodes: u32,
    /// Whether the account is looked at from time to time.
    pub is_awake: bool,
}

impl Account {
    /// The same account with room for notes.
    #[must_use]
    pub fn with_notes(mut self, notes: Notes) -> Self {
        self.rare().notes = Some(Box::new(notes));
        self
    }

    /// None where nothing is shared.
    pub fn notes(&self) -> Option<&Notes> {
        self.rare.as_ref()?.notes.as_deref()
    }

    pub fn notes_mut(&mut self) -> Option<&mut Notes> {
        self.rare.as_mut()?.notes.as_deref_mut()
    }

    /// Whether requests are under way.
    pub fn has_in_flight(&self) -> bool {
        self.counts.iter().any(|count| count.reserved > 0)
    }
}
