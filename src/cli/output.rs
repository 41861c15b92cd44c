//! What commands that read state print: lines on stdout, instants, tables, progress.

use std::io::{BufWriter, ErrorKind, Stdout, Write};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

/// Stdout, buffered. A reader that has gone (`| head`) ends the output and is no failure.
pub(super) struct Output {
    stdout: BufWriter<Stdout>,
    gone: bool,
}

impl Output {
    pub fn new() -> Self {
        Self { stdout: BufWriter::new(std::io::stdout()), gone: false }
    }

    /// Answers whether anybody still reads.
    pub fn write(&mut self, text: &str) -> std::io::Result<bool> {
        let written = self.stdout.write_all(text.as_bytes());
        self.note(written)
    }

    pub fn finish(mut self) -> std::io::Result<()> {
        let flushed = self.stdout.flush();
        self.note(flushed).map(drop)
    }

    fn note(&mut self, outcome: std::io::Result<()>) -> std::io::Result<bool> {
        match outcome {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.gone = true,
            outcome => outcome?,
        }
        Ok(!self.gone)
    }
}

/// An instant as RFC 3339 in UTC, to the microsecond.
pub(super) fn instant(micros: i64) -> String {
    let at = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// The name of a segment's file.
pub(super) fn segment_file(segment: u64) -> String {
    format!("{segment:016}.seg")
}

/// A bar on stderr, counting bytes; nothing where stderr is no terminal.
pub(super) fn progress(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {eta}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A label and what it says, one a line, aligned.
pub(super) fn facts(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |text, (label, value)| text + &format!("{label:width$}  {value}\n"))
}
