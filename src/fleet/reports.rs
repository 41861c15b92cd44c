//! Stripe's reports on meter events that it found wrong. A webhook brings one to one node, and each node looks in it
//! for its own rows: so they are named here, for some days, until all have read them.

use std::time::Duration;

use super::lease::{millis, strange};
use super::link::Lane;
use super::{Away, Fleet, keys, values};

/// With each that comes anew.
const KEPT: Duration = Duration::from_hours(40 * 24);

/// A report, as its event names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Report {
    pub event: String,
    pub kind: String,
    /// In seconds, by Stripe's clock.
    pub created: i64,
}

impl Fleet {
    /// All that are named; what cannot be read is of another version.
    pub async fn reports(&self) -> Result<Vec<Report>, Away> {
        let mut read = redis::cmd("HGETALL");
        read.arg(keys::REPORTS);
        let answer = self.link.command(Lane::Whole, &read).await?;
        let named = values::fields(&answer).ok_or_else(|| strange("reports"))?;
        Ok(named.into_iter().filter_map(|(event, text)| report(event, &text)).collect())
    }

    /// Names some, and no more those that all must have read by now.
    pub async fn name_reports(&self, new: &[Report], old: &[Report]) -> Result<(), Away> {
        for report in new {
            let mut set = redis::cmd("HSET");
            set.arg(keys::REPORTS).arg(&report.event).arg(format!("{} {}", report.created, report.kind));
            self.link.command(Lane::Whole, &set).await?;
            let mut expire = redis::cmd("PEXPIRE");
            expire.arg(keys::REPORTS).arg(millis(KEPT));
            self.link.command(Lane::Whole, &expire).await?;
        }
        for report in old {
            let mut delete = redis::cmd("HDEL");
            delete.arg(keys::REPORTS).arg(&report.event);
            self.link.command(Lane::Whole, &delete).await?;
        }
        Ok(())
    }
}

/// `CREATED KIND`.
fn report(event: String, text: &str) -> Option<Report> {
    let (created, kind) = text.split_once(' ')?;
    Some(Report { event, kind: kind.to_owned(), created: created.parse().ok()? })
}
