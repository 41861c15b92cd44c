//! When everything is read again: at the start, and every day at a time; where that fails, again and again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::clock;
use crate::domain::notice::NoticeKind;
use crate::store::NewNotice;
use crate::stripe::{Backoff, random};

use super::{Sync, SyncError, Synced};

/// Between runs that fail.
const PAUSES: Backoff = Backoff { first: Duration::from_mins(1), longest: Duration::from_hours(1) };
/// The clock is looked at so often: it may be set meanwhile.
const LOOK_EVERY: Duration = Duration::from_mins(1);
const DAY_SECONDS: i64 = 86_400;

impl Sync {
    /// Reads everything now, and then every day, `at` seconds after midnight, UTC.
    pub async fn keep_up(self: Arc<Self>, at: u32) {
        loop {
            let due = clock::now().seconds();
            let next = next_at(at, due);
            self.until_it_succeeds(due, next).await;
            sleep_until(next).await;
        }
    }

    /// Tries until there is another run due.
    async fn until_it_succeeds(self: &Arc<Self>, due: i64, next: i64) {
        for tries in 1.. {
            let outcome = self.run().await;
            if !matches!(outcome, Ok(Synced { failed: 0, .. })) {
                self.tell(due, &outcome).await;
            }
            let pause = PAUSES.pause(tries, random());
            let again_at = clock::now().seconds().saturating_add_unsigned(pause.as_secs());
            if outcome.is_ok() || again_at >= next {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Once for each run that was due, however often it is tried.
    async fn tell(&self, due: i64, outcome: &Result<Synced, SyncError>) {
        let done = self.progress.borrow().done;
        let error = outcome.as_ref().err().map(ToString::to_string);
        let notice = NewNotice {
            kind: NoticeKind::SyncFailed,
            customer: None,
            cause: format!("sync:{due}"),
            data: json!({ "synced": done.synced, "failed": done.failed, "error": error }),
        };
        if let Err(error) = self.applier.store.notify(notice, clock::now().seconds()).await {
            tracing::error!(%error, "nobody is told that a sync has failed");
        }
    }
}

/// The next instant behind `now` that is so many seconds behind a midnight.
fn next_at(at: u32, now: i64) -> i64 {
    let today = now - now.rem_euclid(DAY_SECONDS) + i64::from(at);
    if today > now { today } else { today + DAY_SECONDS }
}

async fn sleep_until(instant: i64) {
    loop {
        let left = u64::try_from(instant - clock::now().seconds()).unwrap_or(0);
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_secs(left).min(LOOK_EVERY)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_follows_each_run_within_a_day() {
        let (midnight, three) = (20_000 * DAY_SECONDS, 3 * 3_600);
        let next = |now| next_at(three, midnight + now) - midnight;
        let three = i64::from(three);
        assert_eq!([next(0), next(three - 1)], [three, three]);
        assert_eq!([next(three), next(DAY_SECONDS - 1)], [three + DAY_SECONDS, three + DAY_SECONDS]);
        assert_eq!(next_at(0, midnight), midnight + DAY_SECONDS);
    }
}
