//! Questions to all nodes: what each has in its own store, for lists over the whole fleet.
//!
//! The question is published; each node puts its answer into a list that the one who asks looks at until all live nodes
//! are in it, or a second has passed.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::lease::strange;
use super::link::Lane;
use super::{Away, Fleet, keys, scripts, values};

const WITHIN: Duration = Duration::from_secs(1);
const KEPT_MILLIS: u64 = 10_000;
/// Between two looks: twice as long each time, up to the second.
const LOOKS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(64));
/// Answers that are taken at a look.
const TAKEN: usize = 16;

/// A question from another node.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub id: String,
    pub body: Value,
}

/// A node's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub node: String,
    pub body: Value,
}

impl Fleet {
    /// Asks all other live nodes; those who do not answer within a second are missing in what comes back.
    pub async fn ask(&self, body: &Value) -> Result<Vec<Answer>, Away> {
        let mut missing: Vec<_> = self.members().into_iter().filter(|member| member.is_live).collect();
        missing.retain(|member| member.slot != self.slot());
        let id = uuid::Uuid::new_v4().simple().to_string();
        let question = json!({ "id": id, "from": self.process, "body": body }).to_string();
        let mut publish = redis::cmd("PUBLISH");
        publish.arg("tg:ask").arg(question);
        self.link.command(Lane::Whole, &publish).await?;
        let (mut answers, deadline, mut pause) = (Vec::new(), Instant::now() + WITHIN, LOOKS.0);
        while !missing.is_empty() && Instant::now() < deadline {
            sleep(pause).await;
            pause = (pause * 2).min(LOOKS.1);
            for answer in self.take_answers(&id).await? {
                missing.retain(|member| member.name != answer.node);
                // A node's first: its answer may have come twice.
                if answers.iter().all(|known: &Answer| known.node != answer.node) {
                    answers.push(answer);
                }
            }
        }
        Ok(answers)
    }

    async fn take_answers(&self, id: &str) -> Result<Vec<Answer>, Away> {
        let mut pop = redis::cmd("LPOP");
        pop.arg(keys::answers(id)).arg(TAKEN);
        let taken = self.link.command(Lane::Whole, &pop).await?;
        let taken = values::array(&taken).unwrap_or_default();
        taken.iter().map(|text| answer(text).ok_or_else(|| strange("an answer"))).collect()
    }

    /// This node's own name.
    pub fn node(&self) -> &str {
        &self.name
    }

    /// The next question to this node.
    pub async fn next_question(&self) -> Question {
        self.signals.questions.next().await
    }

    pub async fn answer(&self, question: &Question, body: &Value) -> Result<(), Away> {
        let mut script = scripts::ANSWER.key(keys::answers(&question.id));
        script.arg(json!({ "node": self.name, "body": body }).to_string()).arg(KEPT_MILLIS);
        self.link.script(Lane::Whole, &script).await.map(drop)
    }
}

fn answer(value: &redis::Value) -> Option<Answer> {
    let mut answer: Value = serde_json::from_slice(values::bytes(value)?).ok()?;
    let node = answer.get("node")?.as_str()?.to_owned();
    Some(Answer { node, body: answer.get_mut("body")?.take() })
}

/// A question as published; not one's own.
pub(super) fn question(said: &[u8], own: &str) -> Option<Question> {
    let mut question: Value = serde_json::from_slice(said).ok()?;
    let id = question.get("id")?.as_str()?.to_owned();
    let is_own = question.get("from")?.as_str()? == own;
    (!is_own).then_some(Question { id, body: question.get_mut("body")?.take() })
}
