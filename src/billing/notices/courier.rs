//! One target's messages: signed, sent, and tried again until it takes them.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use http::header;
use reqwest::redirect;
use tokio::sync::Notify;

use crate::clock;
use crate::metrics::METRICS;
use crate::store::{Delivery, Store, Tried};
use crate::stripe::sign;

use super::{LOOK, Target};

/// Of one message.
const TRIES: u32 = 8;
const LONGEST_PAUSE_SECONDS: i64 = 3_600;
/// Messages on their way to one target at once.
const AT_ONCE: usize = 4;
/// A target's time to connect, and to answer.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

const SIGNATURE: &str = "tollgate-signature";

pub(super) struct Courier {
    target: Target,
    id_prefix: String,
    client: reqwest::Client,
}

impl Courier {
    pub fn new(target: Target, id_prefix: String) -> Result<Self, reqwest::Error> {
        // An error says that another part of the process installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECTS_WITHIN)
            .timeout(ANSWERS_WITHIN);
        if target.url.starts_with("http://") {
            builder = builder.no_proxy(); // it is loopback, where no proxy gets
        }
        Ok(Self { client: builder.build()?, target, id_prefix })
    }

    /// Delivers what becomes due, for ever. `arrived` tells that there may be more.
    pub async fn run(&self, store: &Store, arrived: &Notify) {
        loop {
            let most = u32::try_from(AT_ONCE).unwrap_or(1);
            let due = store.due_deliveries(self.target.name.clone(), clock::now().seconds(), most).await;
            match due {
                Ok(due) if !due.is_empty() => {
                    let each = |delivery| self.deliver(store, delivery);
                    stream::iter(due).for_each_concurrent(AT_ONCE, each).await;
                }
                Ok(_) => {
                    tokio::select! {
                        () = arrived.notified() => {}
                        () = tokio::time::sleep(LOOK) => {}
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "due messages could not be read; it is tried again");
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    async fn deliver(&self, store: &Store, delivery: Delivery) {
        let (kind, notice, target) = (&delivery.kind, delivery.notice, &self.target.name);
        let (outcome, tried) = match self.send(&delivery).await {
            Ok(answer) => ("delivered", Tried::Delivered { answer }),
            Err(answer) if delivery.tries + 1 >= TRIES => {
                tracing::warn!(notice, kind, to = target, answer, "a message was not taken for good");
                ("failed", Tried::Failed { answer })
            }
            Err(answer) => {
                tracing::info!(notice, kind, to = target, answer, "a message was not taken yet");
                let at = clock::now().seconds() + pause_seconds(delivery.tries + 1);
                ("retried", Tried::Again { at, answer })
            }
        };
        METRICS.notices.with_label_values(&[kind.as_str(), outcome]).inc();
        let settled = store.settle_delivery(notice, target.clone(), tried, clock::now().seconds()).await;
        if let Err(error) = settled {
            // It is sent again, under the same id.
            tracing::error!(%error, notice, to = target, "what became of a message could not be stored");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// One try: the target's answer, if it took the message; else why it did not.
    async fn send(&self, delivery: &Delivery) -> Result<String, String> {
        let body = message(&self.id_prefix, delivery);
        let signature = sign(body.as_bytes(), &self.target.secret, clock::now().seconds());
        let request = self.client.post(&self.target.url).header(header::CONTENT_TYPE, "application/json");
        match request.header(SIGNATURE, signature).body(body).send().await {
            Ok(answer) if answer.status().is_success() => Ok(answered(&answer)),
            Ok(answer) => Err(answered(&answer)),
            Err(error) if error.is_timeout() => Err("no answer in time".to_owned()),
            Err(error) if error.is_connect() => Err("cannot be reached".to_owned()),
            Err(_) => Err("the connection broke off".to_owned()),
        }
    }
}

/// Nothing of the body: it may say anything.
fn answered(answer: &reqwest::Response) -> String {
    format!("answered {}", answer.status().as_u16())
}

/// The body, the same with every try.
fn message(id_prefix: &str, delivery: &Delivery) -> String {
    let Delivery { notice, kind, at, data, .. } = delivery;
    format!(r#"{{"id":"{id_prefix}-n{notice}","type":"{kind}","created":{at},"data":{data}}}"#)
}

/// After so many tries: 1 s, then four times as long each time, up to an hour. All tries take an hour and a half.
fn pause_seconds(tries: u32) -> i64 {
    4_i64.saturating_pow(tries.saturating_sub(1)).min(LONGEST_PAUSE_SECONDS)
}

/// A counter is there before anything happened.
pub(super) fn preset_metrics(kind: &str) {
    for outcome in ["delivered", "retried", "failed"] {
        METRICS.notices.with_label_values(&[kind, outcome]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_tried_eight_times_with_pauses_from_a_second_to_an_hour() {
        let pauses: Vec<_> = (1..TRIES).map(pause_seconds).collect();
        assert_eq!(pauses, [1, 4, 16, 64, 256, 1_024, 3_600]);
        assert_eq!(pause_seconds(u32::MAX), 3_600);
    }

    #[test]
    fn a_message_is_one_object_with_the_data_as_it_was_written() {
        let data = r#"{"customer":"a\"b","units":18446744073709551615}"#.to_owned();
        let delivery = Delivery { notice: 7, kind: "quota.reached".to_owned(), data, at: 5, tries: 3 };
        let text = message("tg-x", &delivery);
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            (&read["id"], &read["type"], &read["created"]),
            (&"tg-x-n7".into(), &"quota.reached".into(), &5.into())
        );
        assert_eq!((&read["data"]["customer"], &read["data"]["units"]), (&"a\"b".into(), &u64::MAX.into()));
    }
}
