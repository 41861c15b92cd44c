//! A load that does not wait for its answers: every request has its time, and late answers delay no measurement.
//!
//! Connection `k` of `n` sends at `start + (k + i n) / rate`. Latency counts from that time, not from when the request
//! could be sent, so what a stall holds up counts as held up. One thread and one kept connection each. Prints one line
//! of JSON per interval, in microseconds; `sent_late` is the generator's own part in the latency, and that of a
//! connection whose answer before was late.

#![allow(clippy::print_stdout, reason = "its result")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{fs, mem, thread};

use clap::Parser;

const PATHS: [&str; 4] = ["/v1/items", "/v1/search", "/v1/chat", "/v1/images"];
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends requests at fixed times.
#[derive(Parser)]
struct Options {
    address: SocketAddr,
    /// One token per line, used in rotation
    #[arg(long)]
    tokens: PathBuf,
    /// Requests per second
    #[arg(long)]
    rate: u32,
    #[arg(long)]
    seconds: u64,
    /// Seconds between two lines
    #[arg(long)]
    every: u64,
    #[arg(long, default_value_t = 64)]
    connections: u32,
}

/// What came back in one interval.
#[derive(Default)]
struct Tally {
    latency: Histogram,
    sent_late: Histogram,
    errors: u64,
}

/// Counts of durations in microseconds: exact below 128, then within 1.6 %.
struct Histogram {
    counts: Vec<u64>,
}

fn main() {
    let options = Options::parse();
    // Sleeps otherwise end up to 50 µs late; threads inherit it.
    let _ = fs::write("/proc/self/timerslack_ns", "1");
    let requests = requests(&options);
    let tally = Mutex::default();
    let start = Instant::now() + Duration::from_millis(100);
    let end = start + Duration::from_secs(options.seconds);
    thread::scope(|scope| {
        for connection in 0..options.connections {
            let (options, requests, tally) = (&options, &requests, &tally);
            scope.spawn(move || send_on_time(options, connection, (start, end), requests, tally));
        }
        let mut line_due = start;
        while line_due < end {
            line_due = (line_due + Duration::from_secs(options.every)).min(end);
            sleep_until(line_due);
            let tally = mem::take(&mut *tally.lock().expect("nobody panics with it"));
            println!("{}", tally.line());
        }
    });
}

fn requests(options: &Options) -> Vec<Vec<u8>> {
    let tokens = fs::read_to_string(&options.tokens).expect("the file of tokens can be read");
    let request = |(token, path)| {
        let host = options.address;
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes()
    };
    tokens.lines().zip(PATHS.iter().cycle()).map(request).collect()
}

fn send_on_time(
    options: &Options,
    connection: u32,
    (start, end): (Instant, Instant),
    requests: &[Vec<u8>],
    tally: &Mutex<Tally>,
) {
    let mut wire = None;
    for number in (u64::from(connection)..).step_by(options.connections as usize) {
        let due = start + Duration::from_nanos(number * 1_000_000_000 / u64::from(options.rate));
        if due >= end {
            return;
        }
        sleep_until(due);
        let sent = Instant::now();
        let at = usize::try_from(number % requests.len() as u64).expect("an index");
        let status = exchange(&mut wire, options.address, &requests[at]);
        let answered = Instant::now();
        let mut tally = tally.lock().expect("nobody panics with it");
        tally.sent_late.add(sent - due);
        tally.latency.add(answered - due);
        tally.errors += u64::from(!matches!(status, Ok(200)));
        if status.is_err() {
            wire = None;
        }
    }
}

fn exchange(wire: &mut Option<BufReader<TcpStream>>, address: SocketAddr, request: &[u8]) -> io::Result<u16> {
    if wire.is_none() {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        *wire = Some(BufReader::new(stream));
    }
    let wire = wire.as_mut().expect("just connected");
    wire.get_mut().write_all(request)?;
    read_answer(wire)
}

/// Reads one answer to its end, which its content-length tells.
fn read_answer(wire: &mut BufReader<TcpStream>) -> io::Result<u16> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let (mut line, mut length) = (String::new(), 0);
    wire.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
    loop {
        line.clear();
        wire.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(|_| malformed())?;
            }
            Some(_) => {}
            None => break,
        }
    }
    io::copy(&mut wire.take(length), &mut io::sink())?;
    Ok(status)
}

fn sleep_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()));
}

impl Tally {
    fn line(&self) -> serde_json::Value {
        serde_json::json!({
            "requests": self.latency.counts.iter().sum::<u64>(),
            "errors": self.errors,
            "p50": self.latency.quantile(50),
            "p99": self.latency.quantile(99),
            "most": self.latency.quantile(100),
            "sent_late_p50": self.sent_late.quantile(50),
            "sent_late_p99": self.sent_late.quantile(99),
        })
    }
}

impl Histogram {
    /// Slots per power of two.
    const FINE: usize = 64;

    fn add(&mut self, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let shift = micros.checked_ilog2().unwrap_or(0).saturating_sub(Self::FINE.ilog2());
        self.counts[shift as usize * Self::FINE + (micros >> shift) as usize] += 1;
    }

    /// The duration that so many in a hundred do not exceed.
    fn quantile(&self, percent: u64) -> usize {
        let mut left = (self.counts.iter().sum::<u64>() * percent).div_ceil(100);
        let slot = self.counts.iter().position(|count| {
            left = left.saturating_sub(*count);
            left == 0
        });
        let slot = slot.unwrap_or(0);
        let shift = (slot / Self::FINE).saturating_sub(1);
        (slot - shift * Self::FINE) << shift
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; Self::FINE * 28] }
    }
}
