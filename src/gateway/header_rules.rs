//! Header rules at work: made ready once, applied to each request and answer of a route.

use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};

use crate::domain::header_rules::{Changes, Part, Template, Variable};

use super::Parts;
use super::context::{Charge, Context};
use super::headers::{Headers, lasting};

/// What happens to the headers of one direction, step by step.
#[derive(Default)]
pub(super) struct Steps(Vec<Step>);

enum Step {
    Remove(HeaderName),
    Set(HeaderName, Value),
    Default(HeaderName, Value),
}

enum Value {
    Fixed(HeaderValue),
    Filled(Template),
}

impl Steps {
    /// Of several rules, one after the other.
    pub fn of<'a>(rules: impl Iterator<Item = &'a Changes>) -> Self {
        let mut steps = Vec::new();
        for changes in rules {
            steps.extend(changes.remove.iter().filter_map(|text| name(text)).map(Step::Remove));
            steps.extend(named(&changes.set).map(|(name, value)| Step::Set(name, value)));
            steps.extend(named(&changes.default).map(|(name, value)| Step::Default(name, value)));
        }
        Self(steps)
    }

    pub fn apply(&self, headers: &mut impl Headers, parts: &Parts, context: &Context) -> pingora::Result<()> {
        for step in &self.0 {
            match step {
                Step::Remove(name) => headers.delete(name),
                Step::Set(name, value) => match value.fill(parts, context) {
                    Some(value) => headers.put(name.clone(), value)?,
                    None => headers.delete(name),
                },
                Step::Default(name, _) if headers.all().contains_key(name) => {}
                Step::Default(name, value) => {
                    if let Some(value) = value.fill(parts, context) {
                        headers.put(name.clone(), value)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn of(template: &Template) -> Self {
        let texts = template.0.iter().map(|part| match part {
            Part::Text(text) => Some(&**text),
            Part::Variable(_) => None,
        });
        match texts.collect::<Option<String>>() {
            Some(text) => Self::Fixed(lasting(text)),
            None => Self::Filled(template.clone()),
        }
    }

    /// None where nothing is known of all that the value tells.
    fn fill(&self, parts: &Parts, context: &Context) -> Option<HeaderValue> {
        let template = match self {
            Self::Fixed(value) => return Some(value.clone()),
            Self::Filled(template) => template,
        };
        let mut text = String::new();
        for part in &template.0 {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Variable(variable) => known(*variable, parts, context, &mut text),
            }
        }
        let text = text.trim();
        HeaderValue::from_str(text).ok().filter(|_| !text.is_empty())
    }
}

/// Appends what is known of this request.
fn known(variable: Variable, parts: &Parts, context: &Context, text: &mut String) {
    let of_header = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    match variable {
        Variable::Client => text.push_str(&of_header(&context.connection.client_text)),
        Variable::Customer => {
            text.push_str(context.identity.as_ref().map_or("", |identity| &identity.customer));
        }
        Variable::Tier => {
            if let Charge::Held(reservation) = &context.charge {
                parts.of_tier(reservation.tier(), |tier| text.push_str(&tier.name));
            }
        }
        Variable::RequestId => text.push_str(&of_header(&context.shown_request_id())),
        Variable::Route => text.push_str(parts.pattern(context)),
    }
}

fn named(values: &[(Arc<str>, Template)]) -> impl Iterator<Item = (HeaderName, Value)> {
    values.iter().filter_map(|(text, template)| Some((name(text)?, Value::of(template))))
}

fn name(text: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(text.as_bytes()).ok()
}
