//! What this node answers when another one makes a list of the whole fleet.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{AdminState, charges, outbox, receipts, stats};
use crate::api::Failed;
use crate::api::fleet::Question;
use crate::fleet::Fleet;
use crate::reporting::books;

/// Answers under way at once. Whoever asks beyond them lists this node as missing.
const AT_ONCE: usize = 8;
/// A larger answer would keep Redis from others.
const LARGEST_ANSWER: usize = 4 << 20;

/// Answers the other nodes, for ever.
pub async fn answer_others(state: AdminState, fleet: Arc<Fleet>) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let question = fleet.next_question().await;
        let Ok(turn) = turns.clone().try_acquire_owned() else { continue };
        let (state, fleet) = (state.clone(), fleet.clone());
        tokio::spawn(async move {
            let body = match serde_json::from_value(question.body.clone()) {
                Ok(question) => answer(&state, question, fleet.node()).await.unwrap_or_default(),
                // A later version's.
                Err(_) => Value::Null,
            };
            let fits = body.to_string().len() <= LARGEST_ANSWER;
            // Who asks finds this node missing.
            let _ = fleet.answer(&question, if fits { &body } else { &Value::Null }).await;
            drop(turn);
        });
    }
}

async fn answer(state: &AdminState, question: Question, node: &str) -> Result<Value, Failed> {
    let store = &state.store;
    Ok(match question {
        Question::Known { customer } => json!(store.find_listing(customer).await?.is_some()),
        Question::Usage { customer, span, by, limit } => match store.find_listing(customer).await? {
            Some(customer) => json!(store.usage(customer.number, span, by, limit).await?),
            None => json!([]),
        },
        Question::Charges { customer, limit } => match store.find_listing(customer).await? {
            Some(customer) => json!(charges::latest(state, customer.number, limit, Some(node)).await?),
            None => json!(charges::Shown::default()),
        },
        Question::Receipt { id } => json!(receipts::here(state, id).await?.as_slice()),
        Question::Customers { filter, after, limit } => {
            json!(store.list_customers_by_name(filter, after, limit).await?)
        }
        Question::Outbox { state: which, after, limit } => {
            json!(outbox::rows(store, which.as_deref(), after.as_ref(), limit, Some(node)).await?)
        }
        Question::Retry { identifier } => json!(outbox::retried(store, identifier).await?.as_slice()),
        Question::Stats { span, top } => json!(stats::part(state, span, top).await?),
        Question::Books(question) => {
            let answer = state.reconciler.answer(question).await?;
            if matches!(answer, books::Answer::Made(Some(_))) {
                state.reporter.due().notify_one();
            }
            json!(answer)
        }
    })
}
