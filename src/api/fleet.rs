//! The other gateways, as lists ask them: what each has in its own store and ledger.
//!
//! Every list that counts usage shows all nodes, and says in `nodes_missing` who did not tell theirs: who is away, has
//! left, or took longer than a second. Alone a gateway asks nobody, and shows no such member.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::problem::{Code, Problem};
use crate::reporting::books::{self, Answers, OtherBooks};
use crate::store::{CustomerFilter, UsageBy};

/// Where nobody is known, since Redis has not answered yet.
const ALL_OTHERS: &str = "*";
/// A node that is there, and busy, is asked so often for what it has sent.
const TIMES: usize = 3;

/// What one node asks the others. A node that does not know a question does not answer it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Question {
    /// Whether somebody has this name.
    Known { customer: String },
    /// The store's rows of usage.
    Usage { customer: String, span: (i64, i64), by: UsageBy, limit: u32 },
    /// The latest charges, as shown.
    Charges { customer: String, limit: u32 },
    /// Customers behind a name.
    Customers { filter: CustomerFilter, after: String, limit: u32 },
    /// The receipt of a request: of whoever served it.
    Receipt { id: String },
    /// What Stripe has not accepted, as shown.
    Outbox { state: Option<String>, after: Option<Behind>, limit: u32 },
    /// Another try for a dead meter event: of whoever has it.
    Retry { identifier: String },
    /// Takings, and who used most.
    Stats { span: (i64, i64), top: u32 },
    /// What it has sent to Stripe.
    Books(books::Question),
}

/// A place in a list of all nodes' rows, which goes by nodes and by their own numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Behind {
    pub node: String,
    pub number: i64,
}

impl Behind {
    /// `NODE:NUMBER`.
    pub fn parse(cursor: &str) -> Option<Self> {
        let (node, number) = cursor.rsplit_once(':')?;
        Some(Self { node: node.to_owned(), number: number.parse().ok()? })
    }

    pub fn cursor(&self) -> String {
        format!("{}:{}", self.node, self.number)
    }

    /// Behind which of its own numbers a node's rows begin; none where all of them lie before.
    pub fn of(behind: Option<&Self>, node: &str) -> Option<i64> {
        match behind {
            Some(behind) if node < behind.node.as_str() => None,
            Some(behind) if node == behind.node => Some(behind.number),
            _ => Some(0),
        }
    }
}

/// The other nodes, if there are any.
#[derive(Clone, Default)]
pub struct Others(Option<Arc<Fleet>>);

/// What the others have answered.
#[derive(Debug)]
pub(super) struct Told<T> {
    /// By the nodes' names.
    pub answers: Vec<(String, T)>,
    /// Who has not, by name.
    pub missing: Vec<String>,
}

impl Others {
    pub fn new(fleet: Option<Arc<Fleet>>) -> Self {
        Self(fleet)
    }

    /// This node among them.
    pub fn fleet(&self) -> Option<&Arc<Fleet>> {
        self.0.as_ref()
    }

    /// This node's own name; none of one alone.
    pub(super) fn node(&self) -> Option<&str> {
        self.0.as_ref().map(|fleet| fleet.node())
    }

    /// Asks all others. None: there are none.
    pub(super) async fn ask<T: DeserializeOwned>(&self, question: Question) -> Option<Told<T>> {
        let fleet = self.0.as_ref()?;
        let answered = fleet.ask(&json!(question)).await.unwrap_or_default();
        let read = |body: Value| serde_json::from_value(body).ok();
        let answers = answered.into_iter().filter_map(|answer| Some((answer.node, read(answer.body)?)));
        let known = fleet.members().into_iter().map(|member| member.name);
        Some(Told::new(answers.collect(), known.collect(), fleet.node()))
    }

    /// Looks for what one of the others has: each answers with a list of one or none. `none`: why nobody may have it.
    pub(super) async fn find<T: DeserializeOwned>(
        &self,
        question: Question,
        none: &str,
    ) -> Result<T, Problem> {
        let not_found = |detail: String| Problem::new(Code::NotFound, detail);
        let Some(told) = self.ask::<Vec<T>>(question).await else { return Err(not_found(none.to_owned())) };
        let away = told.missing.join(", ");
        let found = told.into_answers().flatten().next();
        found.ok_or_else(|| match away.as_str() {
            "" => not_found(none.to_owned()),
            away => not_found(format!("{none}; these nodes have not answered: {away}")),
        })
    }

    fn is_live(&self, node: &str) -> bool {
        let known = self.0.iter().flat_map(|fleet| fleet.members());
        known.into_iter().any(|member| member.is_live && member.name == node)
    }

    /// Whether another node knows a customer of this name.
    pub(super) async fn know(&self, customer: &str) -> bool {
        let told = self.ask::<bool>(Question::Known { customer: customer.to_owned() }).await;
        told.is_some_and(|told| told.answers.iter().any(|(_, knows)| *knows))
    }
}

impl OtherBooks for Others {
    fn node(&self) -> &str {
        self.node().unwrap_or_default()
    }

    fn ask(&self, question: books::Question) -> BoxFuture<'_, Answers> {
        // A repair is asked for once: it may be its answer that is lost.
        let times = if matches!(question, books::Question::Repair { .. }) { 1 } else { TIMES };
        Box::pin(async move {
            let mut answers = Answers::default();
            for _ in 0..times {
                let question = Question::Books(question.clone());
                let Some(told) = self.ask::<books::Answer>(question).await else { break };
                answers = Answers { answers: told.answers, missing: told.missing };
                if !answers.missing.iter().any(|node| self.is_live(node)) {
                    break;
                }
            }
            answers
        })
    }
}

impl<T> Told<T> {
    fn new(mut answers: Vec<(String, T)>, mut known: Vec<String>, own: &str) -> Self {
        answers.sort_by(|(one, _), (other, _)| one.cmp(other));
        // Whoever has been there once knows at least itself.
        if known.is_empty() {
            return Self { answers, missing: vec![ALL_OTHERS.to_owned()] };
        }
        known.retain(|name| name != own && answers.iter().all(|(node, _)| node != name));
        known.sort();
        Self { answers, missing: known }
    }

    /// All that was answered.
    pub fn into_answers(self) -> impl Iterator<Item = T> {
        self.answers.into_iter().map(|(_, answer)| answer)
    }
}

/// Says who is missing; nothing of a gateway alone.
pub(super) fn with_missing(mut list: Value, missing: Option<&[String]>) -> Value {
    if let (Some(missing), Value::Object(list)) = (missing, &mut list) {
        list.insert("nodes_missing".to_owned(), json!(missing));
    }
    list
}

/// The same row with the node that it is from.
pub(super) fn of_node(mut row: Value, node: Option<&str>) -> Value {
    if let (Some(node), Value::Object(row)) = (node, &mut row) {
        row.insert("node".to_owned(), json!(node));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answers: &[&str], known: &[&str]) -> Vec<String> {
        let answers = answers.iter().map(|node| ((*node).to_owned(), ())).collect();
        Told::new(answers, known.iter().map(|node| (*node).to_owned()).collect(), "a").missing
    }

    #[test]
    fn who_has_not_told_is_missing() {
        assert_eq!(told(&["c", "b"], &["a", "b", "c"]), [""; 0]);
        assert_eq!(told(&["b"], &["d", "a", "b", "c"]), ["c", "d"]);
    }

    #[test]
    fn a_node_that_knows_nobody_does_not_say_that_all_have_told() {
        assert_eq!(told(&[], &[]), ["*"]);
        assert_eq!(told(&[], &["a", "b"]), ["b"]);
        assert_eq!(told(&[], &["a"]), [""; 0], "the only one of its fleet");
    }

    #[test]
    fn a_place_in_a_list_goes_by_nodes_and_by_their_numbers() {
        let behind = Behind::parse("gateway-2:17").expect("a cursor");
        assert_eq!(behind.cursor(), "gateway-2:17");
        let of = |node| Behind::of(Some(&behind), node);
        assert_eq!((of("gateway-1"), of("gateway-2"), of("gateway-3")), (None, Some(17), Some(0)));
        assert_eq!(Behind::of(None, "gateway-1"), Some(0));
        for no_cursor in ["", "17", "gateway-2:", "gateway-2:x"] {
            assert_eq!(Behind::parse(no_cursor), None, "{no_cursor}");
        }
    }
}
