//! How a gateway ends: told to stop, or replaced by another process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::gateway::Heir;

use super::{Ended, Server, ServerError, fleet, supervisor};

/// What requests get to end that are cut off.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(2);
/// What the background work gets to end.
const WORK_ENDS_WITHIN: Duration = Duration::from_secs(2);
const A_MOMENT: Duration = Duration::from_millis(2);

impl Server {
    /// Returns at SIGTERM or SIGINT, or when another process has taken over. An error says why it must stop without.
    pub fn wait_for_the_end(&mut self) -> Result<Ended, ServerError> {
        let Some(runtime) = &self.runtime else { return Ok(Ended::Told) };
        let mut stops = self.member.as_mut().map(|(_, stops)| stops);
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                heir = self.giver.given() => return Ok(Ended::Replaced(heir)),
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                why = fleet::must_stop(stops.as_deref_mut()) => return Err(why.into()),
            }
            // A hand-over that has begun comes to its end.
            Ok(self.giver.stop().await.map_or(Ended::Told, Ended::Replaced))
        })
    }

    /// Lets requests end, then writes everything down.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        tracing::info!("draining");
        supervisor::stopping();
        self.flow.draining.store(true, Ordering::Relaxed);
        let hurry = Hurry::at_signal(&runtime);
        hurry.wait(self.drain_delay, || false);
        let mut proxy = self.proxy.take();
        self.giver.ports.close();
        if let Some(proxy) = &proxy {
            proxy.close.send_replace(true);
        }
        let deadline = Instant::now() + self.drain_timeout;
        hurry.wait_until(deadline, || self.flow.in_flight.count() == 0);
        // Whoever comes now is told so; whoever has come meanwhile is waited for.
        self.flow.closed.store(true, Ordering::SeqCst);
        hurry.wait_until(deadline, || self.flow.in_flight.count() == 0);
        if self.are_cut_off() {
            // While the ledger is open: what they cost so far is recorded when they are cut off.
            if let Some(proxy) = proxy.take() {
                proxy.runtime.shutdown_timeout(CUT_OFF_WITHIN);
            }
        }
        let member = self.member.take().map(|(member, _)| member);
        if let Some(member) = &member {
            member.give_all_back(&runtime);
        }
        // The last sync comes before the last fold.
        self.ledger.close();
        self.stop.send_replace(true);
        self.end_folding();
        if !hurry.is_told() {
            runtime.block_on(self.reporter.flush_last());
        }
        if let Some(member) = &member {
            member.leave(&runtime);
        }
        if let Some(sandbox) = self.sandbox.take() {
            runtime.block_on(sandbox.stop());
        }
        if let Some(proxy) = proxy {
            hurry.wait_until(deadline, || self.flow.http2.count() == 0);
            // Whoever came too late has been told so until now.
            proxy.runtime.shutdown_background();
            self.told.now().end(&runtime, WORK_ENDS_WITHIN);
        }
        runtime.shutdown_timeout(WORK_ENDS_WITHIN);
        tracing::info!("stopped");
    }

    /// Lets requests end on the connections that are still here; what they cost the other process records.
    pub fn leave(mut self, heir: &Heir) {
        let (Some(runtime), Some(proxy)) = (self.runtime.take(), self.proxy.take()) else { return };
        tracing::info!("another process has taken over: this one ends with its last connection");
        supervisor::stopping();
        self.flow.draining.store(true, Ordering::Relaxed);
        let hurry = Hurry::at_signal(&runtime);
        proxy.close.send_replace(true);
        hurry.wait(self.drain_timeout, || {
            self.flow.in_flight.count() == 0 && self.flow.connections.count() == 0
        });
        self.are_cut_off();
        proxy.runtime.shutdown_timeout(CUT_OFF_WITHIN);
        hurry.wait(CUT_OFF_WITHIN, || heir.has_heard_all());
        self.ledger.close();
        self.end_folding();
        self.told.now().end(&runtime, WORK_ENDS_WITHIN);
        runtime.shutdown_timeout(WORK_ENDS_WITHIN);
        tracing::info!("ended");
    }

    /// Whether requests are still running, which are not waited for any more.
    fn are_cut_off(&self) -> bool {
        let cut_off = self.flow.in_flight.count();
        if cut_off > 0 {
            tracing::warn!(cut_off, "requests were still running at the end of drain_timeout");
        }
        cut_off > 0
    }

    fn end_folding(&mut self) {
        if self.fold.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the folding thread panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Told by a second signal, which ends all waiting.
struct Hurry(Arc<AtomicBool>);

impl Hurry {
    fn at_signal(runtime: &Runtime) -> Self {
        let told = Arc::new(AtomicBool::new(false));
        let tell = told.clone();
        runtime.spawn(async move {
            if let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                tell.store(true, Ordering::Relaxed);
            }
        });
        Self(told)
    }

    fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn wait(&self, at_most: Duration, ended: impl Fn() -> bool) {
        self.wait_until(Instant::now() + at_most, ended);
    }

    fn wait_until(&self, deadline: Instant, ended: impl Fn() -> bool) {
        while !ended() && Instant::now() < deadline && !self.is_told() {
            std::thread::sleep(A_MOMENT);
        }
    }
}
