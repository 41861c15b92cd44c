//! What few routes ask for beyond a path and a price.

use std::sync::Arc;

use super::edges;
use crate::config::findings::{At, Findings, suggestion};
use crate::config::read::Given;
use crate::config::values::path::without_parameters;
use crate::config::values::text::Text;
use crate::config::written::{self, RouteCors};
use crate::domain::cors::Cors;
use crate::domain::header_rules::HeaderRules;
use crate::domain::rewrite::{Rewrite, TemplateError};
use crate::domain::route::{Authentication, Extras, FreeWhen, Host, Timeouts};
use crate::domain::tier::FeatureSet;

/// What routes share.
pub(super) struct Shared {
    /// The names of scopes, by bit.
    pub scopes: Vec<String>,
    pub cors: Option<Arc<Cors>>,
    pub headers: Option<Arc<HeaderRules>>,
    /// Whether `[auth.anonymous]` is there.
    pub anonymous: bool,
}

/// One route's, being checked.
pub(super) struct Checker<'a> {
    pub written: &'a written::Extras,
    pub shared: &'a Shared,
    /// None of `[routes_default]`.
    pub pattern: Option<&'a str>,
    pub public: bool,
}

impl Checker<'_> {
    /// `None` where the route asks for nothing.
    pub fn check(&self, found: &mut Findings) -> Option<Arc<Extras>> {
        let written = self.written;
        self.check_authentication(found);
        let extras = Extras {
            authentication: written.authentication.value,
            mode: written.mode.value,
            scopes: self.scopes(),
            free_when: written.free_when.get().and_then(free_when),
            on_limit: written.on_limit.get().copied(),
            rewrite: self.rewrite(found),
            host: host(written.host.at(), found),
            timeouts: timeouts(&written.timeout.value),
            max_body: written.max_body.get().map(|size| size.0),
            encoded_slashes: written.encoded_slashes.value,
            keep_method_override: written.keep_method_override.value,
            cors: match &written.cors {
                Given::LeftOut | Given::Wrong => self.shared.cors.clone(),
                Given::Value(At { value: RouteCors::Off, .. }) => None,
                Given::Value(At { value: RouteCors::Own(cors), .. }) => edges::cors(cors, found),
            },
            headers: self.headers(found),
        };
        (extras != Extras::default()).then(|| Arc::new(extras))
    }

    fn check_authentication(&self, found: &mut Findings) {
        let authentication = &self.written.authentication;
        let optional = authentication.value == Authentication::Optional;
        if optional && !self.shared.anonymous {
            let help = "add [auth.anonymous] with a tier";
            found.error(&authentication.place, "it is not said what who shows no token may do", help);
        }
        if self.public {
            let scopes = Some(&self.written.scopes).filter(|list| !list.value.is_empty());
            let places = [optional.then_some(&authentication.place), scopes.map(|list| &list.place)];
            for place in places.into_iter().flatten() {
                let what = "a public route asks nobody who they are, so this cannot hold";
                found.error(place, what, "leave it out, or leave `public` out");
            }
        }
    }

    fn scopes(&self) -> FeatureSet {
        let names = self.written.scopes.value.iter();
        let bit = |name: &str| self.shared.scopes.iter().position(|known| known == name);
        FeatureSet::from_indices(names.filter_map(|name| bit(&name.value.0)))
    }

    fn headers(&self, found: &mut Findings) -> Vec<Arc<HeaderRules>> {
        let own = self.written.headers.get().map(|headers| edges::headers(headers, found));
        self.shared.headers.iter().cloned().chain(own).collect()
    }

    fn rewrite(&self, found: &mut Findings) -> Rewrite {
        let pattern = self.pattern.unwrap_or_default();
        let prefix = self.written.strip_prefix.at();
        if let Some(At { value: prefix, place }) = prefix {
            let rest = pattern.strip_prefix(prefix.0.as_str());
            if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                let what = "the route's path does not begin with it";
                found.error(place, what, "write the whole first segments of `path`");
            }
        }
        let Some(At { value: template, place }) = self.written.rewrite.at() else {
            return prefix.map_or(Rewrite::None, |prefix| Rewrite::Strip(prefix.value.0.as_str().into()));
        };
        if let Some(prefix) = prefix {
            found.error(&prefix.place, "`rewrite` says the whole path already", "keep one of the two");
        }
        Rewrite::to(pattern, &template.0).unwrap_or_else(|error| {
            let help = match &error {
                TemplateError::Unknown(name) => {
                    let known = parameters(pattern);
                    suggestion(name, &known.iter().map(String::as_str).collect::<Vec<_>>())
                }
                TemplateError::InPart(_) => "put slashes around it".to_owned(),
            };
            found.error(place, error.to_string(), help);
            Rewrite::None
        })
    }
}

/// With the star of a catch-all.
fn parameters(pattern: &str) -> Vec<String> {
    let parameters = without_parameters(pattern).map(|(_, parameters)| parameters).unwrap_or_default();
    parameters.into_iter().map(|(_, braced)| braced.trim_matches(['{', '}']).to_owned()).collect()
}

fn free_when(written: &written::FreeWhen) -> Option<FreeWhen> {
    let contains = written.contains.get()?.0.to_ascii_lowercase().into();
    Some(FreeWhen { header: written.header.get()?.0.clone(), contains })
}

pub(super) fn host(written: Option<&At<Text>>, found: &mut Findings) -> Option<Host> {
    let At { value, place } = written?;
    let host = Host::parse(&value.0);
    if host.is_none() {
        let help = "write \"keep\", \"server\", or a name such as \"api.internal\"";
        found.error(place, "this is not a host", help);
    }
    host
}

fn timeouts(written: &written::RouteTimeouts) -> Timeouts {
    Timeouts {
        read: written.read.get().map(|span| span.0),
        total: written.total.get().map(|span| span.0),
        idle: written.idle.get().map(|span| span.0),
    }
}
