//! `tollgate explain`: the receipt of one request.

mod text;

use std::path::PathBuf;

use std::cell::RefCell;

use anyhow::anyhow;
use indicatif::ProgressBar;

use crate::reporting::{Reading, ReceiptBooks, receipt_json};

use super::books::Books;
use super::continuity::Continuity;
use super::output::progress;
use super::{Failure, print};

#[derive(clap::Args)]
pub(super) struct Explain {
    /// The request's id, as its answer's x-request-id says
    #[arg(value_name = "REQUEST_ID", value_parser = parse_id)]
    request_id: String,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What can be an id in a header.
fn parse_id(text: &str) -> Result<String, String> {
    let valid = (1..=255).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    valid
        .then(|| text.to_owned())
        .ok_or_else(|| "a request id is 1 to 255 visible ASCII characters".to_owned())
}

impl Explain {
    pub fn run(&self) -> Result<(), Failure> {
        let books = Books::open(&self.config)?;
        let survey = books.survey()?;
        let bar = RefCell::new(None);
        let found = ReceiptBooks {
            store: &books.store,
            survey: &survey,
            report: books.config.catalogue.report,
            node: books.config.fleet.as_ref().map(|fleet| fleet.node.as_str()),
            most_bytes: None,
            foreign: true,
            progress: &|reading| show(&bar, reading),
        };
        let Some(receipt) = found.receipt(&self.request_id)? else {
            // What is damaged may have held it.
            let mut continuity = Continuity::new(&books, survey.segments().first())?;
            let mut next = 0;
            for segment in survey.segments() {
                next = survey.records(segment, next, |record| continuity.see(record.number))?;
            }
            continuity.finish()?;
            return Err(anyhow!(
                "there is no record of the request {}: it was refused, failed upstream, cost nothing, or is older \
                 than ledger.retention",
                self.request_id
            )
            .into());
        };
        let text = if self.json { format!("{}\n", receipt_json(&receipt)) } else { text::render(&receipt) };
        print(&text)
    }
}

/// As a progress bar.
fn show(bar: &RefCell<Option<ProgressBar>>, reading: Reading) {
    match reading {
        Reading::Begins { bytes } => drop(bar.replace(Some(progress(bytes)))),
        Reading::Went { bytes } => bar.borrow().iter().for_each(|bar| bar.inc(bytes)),
        Reading::Ends => bar.take().iter().for_each(ProgressBar::finish_and_clear),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_id_is_refused() {
        assert!(parse_id("a-b:c d").is_ok());
        for wrong in ["", "tab\t", "Ä", &"x".repeat(256)] {
            assert!(parse_id(wrong).is_err(), "{wrong:?}");
        }
    }
}
