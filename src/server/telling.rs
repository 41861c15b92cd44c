//! From the configuration to who is told of requests that are over: the access log, and a collector of traces.

use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};

use crate::config::{self, Config};
use crate::gateway::{Access, Traces};
use crate::telemetry::{Lines, Spans};

use super::ServerError;

/// Who is told, as one configuration says.
#[derive(Clone, Default)]
pub(super) struct Told {
    lines: Option<Lines>,
    spans: Option<Spans>,
}

impl Told {
    /// Whoever is told `before`, and is to be told in the same place, goes on.
    pub fn new(
        config: &Config,
        before: Option<(&Config, &Self)>,
        work: &Handle,
    ) -> Result<Self, ServerError> {
        let path = |config: &Config| config.access_log.as_ref().map(|log| log.path.clone());
        let known = before.filter(|(before, _)| path(before) == path(config));
        let lines = match (known, path(config)) {
            (Some((_, told)), _) => told.lines.clone(),
            (None, path) => path.map(open).transpose()?,
        };
        let place = |config: &Config| {
            let tracing = config.tracing.as_ref();
            tracing.map(|tracing| (tracing.otlp_endpoint.clone(), tracing.headers.clone()))
        };
        let known = before.filter(|(before, _)| place(before) == place(config));
        let spans = match (known, &config.tracing) {
            (Some((_, told)), _) => told.spans.clone(),
            (None, tracing) => tracing.as_ref().map(|tracing| send(tracing, work)).transpose()?,
        };
        Ok(Self { lines, spans })
    }

    /// None where requests leave no line.
    pub fn access(&self, config: &Config) -> Option<Access> {
        Some(Access::new(config.access_log.as_ref()?, self.lines.clone()?))
    }

    /// None where nothing is traced.
    pub fn traces(&self, config: &Config) -> Option<Traces> {
        Some(Traces::new(self.spans.clone()?, config.tracing.as_ref()?.sample))
    }

    /// The access log's file may have been moved away.
    pub fn reopen(&self) {
        self.lines.iter().for_each(Lines::reopen);
    }

    /// Tells what waits, for at most as long each.
    pub fn end(&self, work: &Runtime, within: Duration) {
        self.lines.iter().for_each(|lines| lines.end(within));
        if let Some(spans) = &self.spans {
            work.block_on(spans.end(within));
        }
    }
}

fn open(path: Option<PathBuf>) -> Result<Lines, ServerError> {
    let shown = path.clone().unwrap_or_else(|| "stderr".into());
    Lines::open(path).map_err(|error| ServerError::AccessLog { path: shown, error })
}

fn send(tracing: &config::Tracing, work: &Handle) -> Result<Spans, ServerError> {
    let headers = tracing.headers.iter().map(|(name, value)| (name.as_str(), value.expose()));
    Ok(Spans::start(&tracing.otlp_endpoint, headers, work)?)
}
