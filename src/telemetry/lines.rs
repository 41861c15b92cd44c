//! Lines of text for a file or for standard error, written by a thread of their own.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::metrics::METRICS;

/// As many lines wait at most.
const MOST_WAITING: usize = 8192;
/// As much is written at once.
const WRITTEN_AT_ONCE: usize = 64 * 1024;

/// Takes lines. Clones write to the same place.
#[derive(Clone, Debug)]
pub struct Lines {
    sender: SyncSender<Message>,
    reopen: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    /// Everything before it is to be written.
    End(SyncSender<()>),
}

impl Lines {
    /// Opens a file to append to; standard error without one.
    pub fn open(path: Option<PathBuf>) -> io::Result<Self> {
        let sink = match path {
            None => Sink::Stderr,
            Some(path) => Sink::File(append_to(&path)?, path),
        };
        let (sender, receiver) = sync_channel(MOST_WAITING);
        let reopen = Arc::<AtomicBool>::default();
        let writer = Writer { sink, reopen: reopen.clone(), batch: Vec::new(), lines: 0, failing: false };
        thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run(&receiver))?;
        Ok(Self { sender, reopen })
    }

    /// Takes a line, with its end; drops it rather than wait.
    pub fn write(&self, line: String) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(Message::Line(line)) {
            METRICS.access_log_dropped.inc();
        }
    }

    /// The next line goes to the file that has the name then: the present one may have been moved away.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    /// Writes what waits, for at most as long.
    pub fn end(&self, within: Duration) {
        let (done, ended) = sync_channel(1);
        if self.sender.try_send(Message::End(done)).is_ok() {
            // What cannot be written in time is given up.
            let _ = ended.recv_timeout(within);
        }
    }
}

enum Sink {
    Stderr,
    File(File, PathBuf),
}

struct Writer {
    sink: Sink,
    reopen: Arc<AtomicBool>,
    batch: Vec<u8>,
    /// In the batch.
    lines: u64,
    failing: bool,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Message>) {
        while let Ok(first) = receiver.recv() {
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Line(line) => self.take(&line),
                    Message::End(done) => {
                        self.write();
                        // Nobody may wait any more.
                        let _ = done.send(());
                    }
                }
                next = receiver.try_recv().ok();
            }
            self.write();
        }
    }

    fn take(&mut self, line: &str) {
        if self.reopen.swap(false, Ordering::Relaxed) {
            self.write();
            self.open_again();
        }
        self.batch.extend_from_slice(line.as_bytes());
        self.lines += 1;
        if self.batch.len() >= WRITTEN_AT_ONCE {
            self.write();
        }
    }

    fn open_again(&mut self) {
        let Sink::File(file, path) = &mut self.sink else { return };
        match append_to(path) {
            Ok(opened) => *file = opened,
            Err(error) => {
                tracing::error!(%error, path = %path.display(), "the access log stays where it was");
            }
        }
    }

    fn write(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let written = match &mut self.sink {
            Sink::Stderr => io::stderr().write_all(&self.batch),
            Sink::File(file, _) => file.write_all(&self.batch),
        };
        self.batch.clear();
        let lines = std::mem::take(&mut self.lines);
        if let Err(error) = &written {
            METRICS.access_log_dropped.inc_by(lines);
            // What was written of the batch may end inside a line.
            self.batch.push(b'\n');
            if !self.failing {
                tracing::error!(%error, "lines of the access log are lost");
            }
        }
        self.failing = written.is_err();
    }
}

fn append_to(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is full, and a pipe that nobody reads.
    #[test]
    fn nobody_waits_and_what_is_lost_is_counted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        let reader = OpenOptions::new().read(true).write(true).open(&pipe).expect("a pipe");
        let before = METRICS.access_log_dropped.get();
        let stuck = Lines::open(Some(pipe)).expect("a pipe");
        let line = format!("{}\n", "x".repeat(1023));
        for _ in 0..MOST_WAITING + 1_000 {
            stuck.write(line.clone());
        }
        stuck.end(Duration::from_millis(1));
        assert!(METRICS.access_log_dropped.get() > before, "nothing was dropped");

        let before = METRICS.access_log_dropped.get();
        let full = Lines::open(Some("/dev/full".into())).expect("a device");
        full.write(line);
        full.end(Duration::from_secs(10));
        assert!(METRICS.access_log_dropped.get() > before, "nothing was lost");
        drop(reader);
    }

    #[test]
    fn lines_follow_the_name_of_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        let lines = Lines::open(Some(path.clone())).expect("a file");
        lines.write("one\n".to_owned());
        lines.end(Duration::from_secs(10));
        std::fs::rename(&path, &moved).expect("renames");
        lines.write("two\n".to_owned());
        lines.end(Duration::from_secs(10));
        lines.reopen();
        lines.write("three\n".to_owned());
        lines.end(Duration::from_secs(10));
        let read = |path| std::fs::read_to_string(path).expect("a log");
        assert_eq!((read(&moved), read(&path)), ("one\ntwo\n".to_owned(), "three\n".to_owned()));
    }
}
