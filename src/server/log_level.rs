//! How much the log tells, while everything runs: SIGUSR1 has it tell more for a while, and again as much as usual.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::telemetry::LOG;

/// What a signal switches on ends by itself: nobody has to remember it.
const LASTS: Duration = Duration::from_mins(15);

/// Hears the signal from now on, and keeps the time of what passes.
pub(super) fn follow(runtime: &Runtime) -> std::io::Result<()> {
    let _entered = runtime.enter();
    let mut switch = signal(SignalKind::user_defined1())?;
    runtime.spawn(async move {
        let mut time = std::pin::pin!(LOG.keep_time());
        loop {
            tokio::select! {
                Some(()) = switch.recv() => {
                    LOG.switch(LASTS);
                    let level = LOG.told().directives;
                    tracing::warn!(level, "SIGUSR1: what the log tells has changed");
                }
                never = &mut time => match never {},
            }
        }
    });
    Ok(())
}
