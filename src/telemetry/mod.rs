//! What is told: by the log, and of requests that are over to files and collectors.
//!
//! # What it promises
//!
//! - Nobody waits for it: what cannot be taken at once is dropped and counted.
//! - What waits is bounded, whatever a disk, a pipe or a collector does.
//! - It knows nothing of requests: whoever tells decides what is told.

mod lines;
mod log;
mod otlp;
mod spans;

pub use self::log::{Form, LOG, Told};
pub use lines::Lines;
pub use spans::{Kind, Span, Spans, SpansError, Value};
