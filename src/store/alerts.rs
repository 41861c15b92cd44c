//! Alerts: what operators should look at, told and noted once.

use super::audit::{self, Act};
use super::notices::{self, NewNotice};
use super::{Result, Store};

impl Store {
    /// Tells, and notes in the trail, what has not been told yet. Answers whether it is new.
    pub async fn alert(&self, notice: NewNotice, act: Act, now: i64) -> Result<bool> {
        self.write(move |db| {
            let is_new = notices::add(db, &notice, now)?;
            if is_new {
                audit::add_act(db, now, &act)?;
            }
            Ok(is_new)
        })
        .await
    }
}
