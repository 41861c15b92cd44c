//! What a body tells of its exchange's cost: the numbers in the places that a route's measures name.
//!
//! # What it promises
//!
//! - However the body is cut into pieces, and however long it is, the same numbers are found; nothing of it is kept.
//! - A document counts as a whole or not at all. Of a stream's documents the last that tells a number counts, and what
//!   was told stands when the stream is cut.
//! - No body, whatever is in it, stops it.

use std::ops::Range;

use super::places::Places;
use super::sse::{Events, Part};
use super::{Measure, Measured};

/// A reader of one answer's body.
#[derive(Debug)]
pub struct Telling {
    form: Form,
    places: Places,
    /// By measure: which places are its own.
    sums: Box<[Range<usize>]>,
}

/// How documents stand in a body.
#[derive(Debug)]
enum Form {
    /// The body is one.
    Whole,
    /// Each event's data is one.
    Events(Events),
    /// Each line is one.
    Lines,
}

impl Telling {
    /// None where no measure looks into bodies, or where one of this content type has no places.
    pub fn of(measures: &[Measured], content_type: &str) -> Option<Self> {
        let mut places = Vec::new();
        let sum = |measured: &Measured| {
            let first = places.len();
            if let Measure::Json(pointers) = &measured.by {
                places.extend(pointers.iter().cloned());
            }
            first..places.len()
        };
        let sums: Box<[Range<usize>]> = measures.iter().map(sum).collect();
        if places.is_empty() {
            return None;
        }
        let form = Form::of(content_type)?;
        let wrapped = !matches!(form, Form::Whole);
        Some(Self { form, places: Places::new(places.iter(), wrapped), sums })
    }

    pub fn read(&mut self, piece: &[u8]) {
        let places = &mut self.places;
        match &mut self.form {
            Form::Whole => places.read(piece),
            Form::Events(events) => events.read(piece, &mut |part| take(part, places)),
            Form::Lines => {
                let mut lines = piece.split(|byte| *byte == b'\n');
                lines.next().into_iter().for_each(|rest| places.read(rest));
                for line in lines {
                    places.end_document();
                    places.read(line);
                }
            }
        }
    }

    /// The body has ended, or nothing more of it will come.
    pub fn end(&mut self) {
        let places = &mut self.places;
        match &mut self.form {
            Form::Whole | Form::Lines => places.end_document(),
            Form::Events(events) => events.end(&mut |part| take(part, places)),
        }
    }

    /// What was told of the measure in this position: the sum of those of its places that were found, none where no one
    /// was.
    pub fn told(&self, measure: usize) -> Option<u64> {
        let places = self.sums.get(measure).and_then(|places| self.places.seen().get(places.clone()))?;
        places.iter().flatten().copied().reduce(u64::saturating_add)
    }
}

fn take(part: Part<'_>, places: &mut Places) {
    match part {
        Part::Data(data) => places.read(data),
        Part::End => places.end_document(),
    }
}

impl Form {
    fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" | "text/json" => Some(Self::Whole),
            "text/event-stream" => Some(Self::Events(Events::new())),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/jsonlines" => Some(Self::Lines),
            other => other.ends_with("+json").then_some(Self::Whole),
        }
    }
}

#[cfg(test)]
#[path = "telling_tests.rs"]
mod tests;
