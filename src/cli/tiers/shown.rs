//! A plan, for people and for programs.

use serde_json::{Value, json};

use crate::billing::offer::{Entry, Plan, State, Subject};
use crate::domain::offer::Terms;

/// One line for each that there is or should be; below it what is to be done by hand.
pub(super) fn text(plan: &Plan) -> String {
    let cells = |entry: &Entry| [entry.subject.kind().to_owned(), entry.subject.name().to_owned()];
    let width = |column: usize| {
        plan.entries.iter().map(|entry| cells(entry)[column].chars().count()).max().unwrap_or(0)
    };
    let (kinds, names) = (width(0), width(1));
    let mut text = String::new();
    for entry in &plan.entries {
        let [kind, name] = cells(entry);
        let (mark, id, _) = state(&entry.state);
        let about = about(&entry.subject);
        let line = format!("{mark} {kind:kinds$}  {name:names$}  {about}  {}", id.unwrap_or_default());
        text.push_str(line.trim_end());
        text.push('\n');
        for why in says(&entry.state) {
            text.extend(["      ", why, "\n"]);
        }
    }
    let as_offered = plan.entries.len() - plan.to_make() - plan.by_hand();
    if plan.is_settled() {
        return format!("{text}\nnothing to do: all {as_offered} are as configured\n");
    }
    let (make, hand) = (plan.to_make(), plan.by_hand());
    format!("{text}\n{make} to make (+, ~), {hand} to change by hand (!), {as_offered} as configured (=)\n")
}

pub(super) fn json(plan: &Plan, mode: &str) -> Value {
    let entry = |entry: &Entry| {
        let (_, id, state) = state(&entry.state);
        let (tier, terms) = match &entry.subject {
            Subject::Meter { .. } => (None, None),
            Subject::Product { tier, .. } => (Some(tier), None),
            Subject::Price { tier, terms, .. } => (Some(tier), terms.as_ref().map(Terms::told)),
        };
        json!({
            "kind": entry.subject.kind(),
            "name": entry.subject.name(),
            "tier": tier.map(|tier| &**tier),
            "terms": terms,
            "state": state,
            "id": id,
            "says": says(&entry.state),
        })
    };
    json!({
        "mode": mode,
        "to_make": plan.to_make(),
        "by_hand": plan.by_hand(),
        "entries": plan.entries.iter().map(entry).collect::<Vec<_>>(),
    })
}

fn state(state: &State) -> (char, Option<&str>, &'static str) {
    match state {
        State::AsOffered { id } => ('=', Some(id), "as_configured"),
        State::Missing => ('+', None, "missing"),
        State::Replaced(old) => ('~', Some(&old.id), "replaced"),
        State::ByHand { id, .. } => ('!', id.as_deref(), "by_hand"),
    }
}

fn says(state: &State) -> &[String] {
    match state {
        State::Replaced(old) => &old.why,
        State::ByHand { why, .. } => why,
        State::AsOffered { .. } | State::Missing => &[],
    }
}

fn about(subject: &Subject) -> String {
    match subject {
        Subject::Meter { name, .. } => format!("sums up the meter {name}"),
        Subject::Product { tier, .. } => format!("the tier {tier}"),
        Subject::Price { terms, .. } => {
            terms.as_ref().map_or_else(|| "not configured".to_owned(), Terms::told)
        }
    }
}
