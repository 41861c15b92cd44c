//! The process's log: one line per event on stderr, and how much is told there.
//!
//! # What it promises
//!
//! - A level that stands alone, such as `debug`, is Tollgate's. What it is built of tells no more than `info`, unless
//!   a directive names it: their own lines could quote headers and bodies, which no line of ours does.
//! - A level that is set for a while ends by itself; what is usual is in force again then.
//! - What is not told costs a comparison with one number, wherever it would be told.

use std::convert::Infallible;
use std::env;
use std::str::FromStr as _;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::reload;

/// The log of this process: there is one.
pub static LOG: LazyLock<Log> = LazyLock::new(Log::default);

/// What a signal switches on.
const SWITCHED_ON: &str = "debug";
/// Its directives go before the configured ones.
const ENVIRONMENT: &str = "RUST_LOG";

/// How much is told, and until when.
#[derive(Default)]
pub struct Log {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    usual: String,
    /// `RUST_LOG` says what is usual, whatever the configuration says.
    by_environment: bool,
    passing: Option<Passing>,
    /// Puts a filter in force; none before the log has started.
    put: Option<Box<dyn Fn(EnvFilter) + Send>>,
}

struct Passing {
    directives: String,
    ends: Instant,
    by_signal: bool,
}

/// What is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// As it was written.
    pub directives: String,
    /// Who says so.
    pub by: &'static str,
    /// What is left of it, where it passes.
    pub left: Option<Duration>,
    /// What is in force when nothing passes.
    pub usual: String,
}

/// Where lines go to, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Json,
}

impl Log {
    /// Starts it. The directives have been checked; `RUST_LOG` goes before them.
    pub fn start(&self, form: Form, directives: &str) {
        let environment = env::var(ENVIRONMENT).ok().filter(|given| parsed(given).is_ok());
        let usual = environment.as_deref().unwrap_or(directives);
        let filter = parsed(usual).unwrap_or_else(|_| EnvFilter::new("info"));
        // A line that cannot be written, on a full disk for one, is lost: telling stderr of it would panic.
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .log_internal_errors(false);
        let mut state = self.state();
        match form {
            Form::Text => {
                let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
                let lines = lines.with_ansi(is_terminal).with_filter_reloading();
                state.put = Some(putting(lines.reload_handle()));
                lines.init();
            }
            Form::Json => {
                let lines = lines.json().flatten_event(true).with_filter_reloading();
                state.put = Some(putting(lines.reload_handle()));
                lines.init();
            }
        }
        usual.clone_into(&mut state.usual);
        state.by_environment = environment.is_some();
    }

    /// Another configuration, whose directives have been checked. What passes goes on.
    pub fn configure(&self, directives: &str) {
        let mut state = self.state();
        if !state.by_environment && state.usual != directives {
            directives.clone_into(&mut state.usual);
            state.put();
        }
    }

    /// Tells as much for a while.
    ///
    /// # Errors
    /// When these are no directives: nothing has changed then.
    pub fn set(&self, directives: &str, lasts: Duration) -> Result<(), ParseError> {
        parsed(directives)?;
        self.pass(Passing {
            directives: directives.to_owned(),
            ends: Instant::now() + lasts,
            by_signal: false,
        });
        Ok(())
    }

    /// Back to what is usual.
    pub fn reset(&self) {
        let mut state = self.state();
        if state.passing.take().is_some() {
            state.put();
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Tells more for a while; or, where something passes, no longer.
    pub fn switch(&self, lasts: Duration) {
        if self.state().passing.is_some() {
            return self.reset();
        }
        let directives = SWITCHED_ON.to_owned();
        self.pass(Passing { directives, ends: Instant::now() + lasts, by_signal: true });
    }

    /// What is in force now.
    pub fn told(&self) -> Told {
        let state = self.state();
        let usual = state.usual.clone();
        match &state.passing {
            Some(Passing { directives, ends, by_signal }) => Told {
                directives: directives.clone(),
                by: if *by_signal { "signal" } else { "operator" },
                left: Some(ends.saturating_duration_since(Instant::now())),
                usual,
            },
            None => Told {
                directives: usual.clone(),
                by: if state.by_environment { ENVIRONMENT } else { "configuration" },
                left: None,
                usual,
            },
        }
    }

    /// Ends what passes in its time, for as long as this is polled.
    pub async fn keep_time(&self) -> Infallible {
        loop {
            let left = self.told().left;
            let over = async {
                match left {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => self.end_in_time(),
                () = self.changed.notified() => {}
            }
        }
    }

    fn end_in_time(&self) {
        let is_over = |passing: &mut Passing| passing.ends <= Instant::now();
        let mut state = self.state();
        if state.passing.take_if(is_over).is_some() {
            state.put();
            drop(state);
            tracing::info!("the log tells as much as usual again");
        }
    }

    fn pass(&self, passing: Passing) {
        let mut state = self.state();
        state.passing = Some(passing);
        state.put();
        drop(state);
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&self) {
        let directives = self.passing.as_ref().map_or(&self.usual, |passing| &passing.directives);
        if let (Some(put), Ok(filter)) = (&self.put, parsed(directives)) {
            put(filter);
        }
    }
}

/// The error of putting a filter is that the log is gone: there is nobody to tell then.
fn putting<S>(handle: reload::Handle<EnvFilter, S>) -> Box<dyn Fn(EnvFilter) + Send>
where
    S: 'static,
{
    Box::new(move |filter| {
        // What comes by way of `log`, as pingora's does, is measured by a number of its own.
        let most = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
        if handle.reload(filter).is_ok() {
            log::set_max_level(facade(most));
        }
    })
}

fn facade(level: LevelFilter) -> log::LevelFilter {
    match level {
        LevelFilter::OFF => log::LevelFilter::Off,
        LevelFilter::ERROR => log::LevelFilter::Error,
        LevelFilter::WARN => log::LevelFilter::Warn,
        LevelFilter::INFO => log::LevelFilter::Info,
        LevelFilter::DEBUG => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    }
}

fn parsed(directives: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(narrowed(directives))
}

/// A level beyond `info` that names nobody becomes Tollgate's; what is named stands as it was written.
fn narrowed(directives: &str) -> String {
    let (mut wide, mut named) = (None, Vec::new());
    for directive in directives.split(',').filter(|directive| !directive.trim().is_empty()) {
        match LevelFilter::from_str(directive.trim()) {
            Ok(level) => wide = Some(level),
            Err(_) => named.push(directive),
        }
    }
    let wide = match wide {
        Some(level) if level > LevelFilter::INFO => vec!["info".to_owned(), format!("tollgate={level}")],
        Some(level) => vec![level.to_string()],
        None => Vec::new(),
    };
    let all: Vec<&str> = wide.iter().map(String::as_str).chain(named).collect();
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_names_nobody_is_tollgates() {
        for (written, read) in [
            ("info", "info"),
            ("warn", "warn"),
            ("off", "off"),
            ("debug", "info,tollgate=debug"),
            ("TRACE", "info,tollgate=trace"),
            ("5", "info,tollgate=trace"),
            ("warn,tollgate=debug", "warn,tollgate=debug"),
            ("debug,tollgate=warn", "info,tollgate=debug,tollgate=warn"),
            ("h2=trace,debug", "info,tollgate=debug,h2=trace"),
            ("warn, debug", "info,tollgate=debug"),
            ("tollgate::stripe=debug", "tollgate::stripe=debug"),
        ] {
            assert_eq!(narrowed(written), read, "{written}");
            parsed(written).expect(written);
        }
        assert!(parsed("tollgate=loud").is_err() && parsed("a=b=c").is_err());
    }

    #[test]
    fn what_others_tell_is_at_most_news_unless_they_are_named() {
        let most = |directives: &str| parsed(directives).expect("directives").to_string();
        assert!(most("trace").contains("tollgate=trace") && most("trace").contains("info"));
    }

    #[tokio::test]
    async fn what_passes_ends_by_itself_or_when_it_is_told_to() {
        let log = Log::default();
        log.configure("warn");
        let told = |log: &Log| (log.told().directives, log.told().by, log.told().left.is_some());
        assert_eq!(told(&log), ("warn".to_owned(), "configuration", false));

        log.set("tollgate=debug", Duration::from_hours(1)).expect("directives");
        assert_eq!(told(&log), ("tollgate=debug".to_owned(), "operator", true));
        log.set("tollgate=loud", Duration::from_hours(1)).expect_err("no level");
        assert_eq!(told(&log).0, "tollgate=debug", "a mistake changes nothing");
        log.configure("error");
        assert_eq!(told(&log).0, "tollgate=debug", "a reload does not end it");
        log.switch(Duration::from_hours(1));
        assert_eq!(told(&log), ("error".to_owned(), "configuration", false));

        log.switch(Duration::from_millis(1));
        assert_eq!(told(&log), ("debug".to_owned(), "signal", true));
        let ended = async {
            while log.told().left.is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            never = log.keep_time() => match never {},
            () = ended => {}
        }
        assert_eq!(told(&log), ("error".to_owned(), "configuration", false));
    }
}
