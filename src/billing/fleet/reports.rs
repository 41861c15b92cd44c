//! Stripe's reports on meter events, told to every node: each makes its own rows dead. A report that has come twice
//! changes nothing.

use std::time::Duration;

use super::send::NotPut;
use super::{Facts, RETRY};
use crate::billing::kinds::METER_ERRORS;
use crate::clock;
use crate::fleet::Report;
use crate::store::NewEvent;

/// Reports come hours after what they are about.
const LOOK: Duration = Duration::from_secs(30);
/// Nodes that were away for longer find what Stripe rejected by reconciling.
const TOLD_FOR_SECONDS: i64 = 5 * 86_400;

impl Facts {
    pub(super) async fn keep_reporting(&self) {
        loop {
            let pause = match self.share_reports().await {
                Ok(()) => LOOK,
                Err(error) => {
                    if let NotPut::Store(error) = error {
                        tracing::error!(%error, "reports on meter events could not be shared; it is tried again");
                    }
                    LOOK.min(RETRY * 20)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// What one node has got, all get.
    pub(super) async fn share_reports(&self) -> Result<(), NotPut> {
        let now = clock::now().seconds();
        let since = now - TOLD_FOR_SECONDS;
        let kinds = METER_ERRORS.map(str::to_owned).to_vec();
        let here: Vec<Report> =
            self.store.events_of_kinds(kinds, since).await?.into_iter().map(named).collect();
        let there = self.meeting.reports().await?;
        let new: Vec<Report> = here.iter().filter(|report| !there.contains(report)).cloned().collect();
        let (told, old): (Vec<Report>, Vec<Report>) =
            there.into_iter().partition(|report| report.created >= since);
        for report in
            told.into_iter().filter(|told| METER_ERRORS.contains(&told.kind.as_str()) && !here.contains(told))
        {
            let Report { event, kind, created } = report;
            let event = NewEvent { id: event, kind, created, means_something: true, ..NewEvent::default() };
            self.store.receive(event, now).await?;
        }
        Ok(self.meeting.name_reports(&new, &old).await?)
    }
}

fn named((event, kind, created): (String, String, i64)) -> Report {
    Report { event, kind, created }
}
