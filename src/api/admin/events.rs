//! `GET /admin/events`: what happens now, as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>): `tier.changed`, `refusal` and `flush`. Whoever
//! is too slow gets `missed` with how many.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use futures_util::stream;
use serde_json::json;
use tokio::sync::watch;

use crate::news::{self, Listener};

use super::AdminState;

/// Until the listener leaves or the gateway stops.
pub(super) async fn events(
    State(state): State<AdminState>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = stream::unfold((news::listen(), state.stopping), next);
    Sse::new(events).keep_alive(KeepAlive::default())
}

type Watch = (Listener, watch::Receiver<bool>);

async fn next((mut listener, mut stopping): Watch) -> Option<(Result<Event, Infallible>, Watch)> {
    let (kind, data) = tokio::select! {
        heard = listener.next() => match heard {
            Ok(news) => (news.kind, news.data),
            Err(missed) => ("missed", json!({ "events": missed })),
        },
        _ = stopping.wait_for(|stop| *stop) => return None,
    };
    Some((Ok(Event::default().event(kind).data(data.to_string())), (listener, stopping)))
}
