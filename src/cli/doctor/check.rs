//! What came of a check, and how it is shown.

use serde_json::{Value, json};

/// From well to not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    Warning,
    Failed,
    /// There is nothing to look at.
    Skipped,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub name: String,
    pub outcome: Outcome,
    /// What was seen.
    pub said: String,
    /// What to do; none where all is well.
    pub advice: Option<String>,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl Check {
    pub fn ok(name: &str, said: impl Into<String>) -> Self {
        Self::new(name, Outcome::Ok, said, None)
    }

    pub fn skipped(name: &str, why: impl Into<String>) -> Self {
        Self::new(name, Outcome::Skipped, why, None)
    }

    pub fn warning(name: &str, said: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(name, Outcome::Warning, said, Some(advice.into()))
    }

    pub fn failed(name: &str, said: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(name, Outcome::Failed, said, Some(advice.into()))
    }

    fn new(name: &str, outcome: Outcome, said: impl Into<String>, advice: Option<String>) -> Self {
        Self { name: name.to_owned(), outcome, said: said.into(), advice }
    }

    fn json(&self) -> Value {
        let Self { name, outcome, said, advice } = self;
        json!({ "name": name, "outcome": outcome.as_str(), "said": said, "advice": advice })
    }
}

/// One object: the worst outcome, and all checks.
pub(super) fn as_json(checks: &[Check]) -> String {
    let worst = [Outcome::Failed, Outcome::Warning].into_iter().find(|outcome| count(checks, *outcome) > 0);
    let worst = worst.unwrap_or(Outcome::Ok).as_str();
    let checks: Vec<Value> = checks.iter().map(Check::json).collect();
    format!("{}\n", json!({ "outcome": worst, "checks": checks }))
}

/// A line for each, what to do below it, and how many there are of each kind.
pub(super) fn as_text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let lines = checks.iter().flat_map(|Check { name, outcome, said, advice }| {
        let advice = advice.iter().flat_map(|advice| advice.lines());
        let advice = advice.map(move |line| format!("{:7}  {:width$}  -> {line}\n", "", ""));
        [format!("{:7}  {name:width$}  {said}\n", outcome.as_str())].into_iter().chain(advice)
    });
    let text: String = lines.collect();
    let all = [Outcome::Ok, Outcome::Warning, Outcome::Failed, Outcome::Skipped];
    let counts = all.map(|outcome| format!("{} {}", count(checks, outcome), outcome.as_str()));
    format!("{text}\n{}\n", counts.join(", "))
}

fn count(checks: &[Check], outcome: Outcome) -> usize {
    checks.iter().filter(|check| check.outcome == outcome).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_stands_below_what_was_seen() {
        let checks = [Check::ok("disk", "12 GiB free"), Check::failed("redis", "no answer", "start it")];
        let expected = "ok       disk   12 GiB free\nfailed   redis  no answer\n                -> start it\n\n\
                        1 ok, 0 warning, 1 failed, 0 skipped\n";
        assert_eq!(as_text(&checks), expected);
        let shown: Value = serde_json::from_str(&as_json(&checks)).expect("JSON");
        assert_eq!(shown["outcome"], "failed");
        assert_eq!(shown["checks"][1]["advice"], "start it");
        let warned = [Check::warning("clock", "slow", "set it"), Check::skipped("redis", "there is none")];
        let shown: Value = serde_json::from_str(&as_json(&warned)).expect("JSON");
        assert_eq!(shown["outcome"], "warning");
    }
}
