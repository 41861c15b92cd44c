//! `GET /dashboard/live`: the overview's parts as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), each when it has changed.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Dashboard;
use super::door::Operator;
use super::overview::{Parts, Revenue};
use crate::pages::parts::layout::bare_problem;
use crate::problem::{Code, Problem};

const EVERY: Duration = Duration::from_secs(2);
/// The store is asked once in so many looks.
const REVENUE_EVERY: u32 = 15;

/// Until the watcher leaves, their session ends, or the gateway stops.
pub async fn stream(State(dashboard): State<Dashboard>, operator: Operator) -> Response {
    let Ok(place) = dashboard.watchers.clone().try_acquire_owned() else {
        let problem =
            Problem::new(Code::RateLimited, "too many overviews are kept live; load the page again");
        return bare_problem(&Problem { retry_after: Some(60), ..problem });
    };
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = Watch {
        dashboard,
        operator,
        every,
        looks: 0,
        revenue: None,
        shown: Default::default(),
        due: Vec::new(),
        _place: place,
    };
    let events = stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok::<_, Infallible>(event), watch))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

struct Watch {
    dashboard: Dashboard,
    operator: Operator,
    every: Interval,
    looks: u32,
    revenue: Option<Revenue>,
    /// As it was last sent.
    shown: [String; 2],
    due: Vec<Event>,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.due.pop() {
                return Some(event);
            }
            tokio::select! {
                _ = self.every.tick() => {}
                _ = self.dashboard.stopping.wait_for(|stop| *stop) => return None,
            }
            if !self.dashboard.door.still_opens(&self.operator) {
                return None;
            }
            self.look().await?;
        }
    }

    /// What cannot be read ends the stream: the script asks again.
    async fn look(&mut self) -> Option<()> {
        let api = &self.dashboard.api;
        if self.looks.is_multiple_of(REVENUE_EVERY) {
            self.revenue = Some(Revenue::read(api).await.ok()?);
        }
        self.looks = self.looks.wrapping_add(1);
        let parts = Parts::read(api, self.revenue.as_ref()?).await.ok()?;
        for (shown, (name, part)) in self.shown.iter_mut().zip(parts.each()) {
            if *shown != part.0 {
                shown.clone_from(&part.0);
                self.due.push(Event::default().event(name).data(&part.0));
            }
        }
        Some(())
    }
}
