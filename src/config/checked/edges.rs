//! `[cors]` and `[headers]`, for all routes or one of them.

use std::sync::Arc;

use crate::config::containers::ByName;
use crate::config::findings::{At, Findings, Place};
use crate::config::read::Given;
use crate::config::values::header::{self, Header};
use crate::config::written;
use crate::domain::cors::{AllowedOrigin, Cors};
use crate::domain::header_rules::{Changes, HeaderRules, Template};

pub(super) fn cors(written: &written::Cors, found: &mut Findings) -> Option<Arc<Cors>> {
    let origins = written.origins.get()?;
    let any = origins.0.iter().find(|origin| origin.value == AllowedOrigin::Any);
    if let (true, Some(any)) = (written.credentials.value, any) {
        let help = "name the origins whose pages may use their visitors' cookies";
        found.error(&any.place, "with credentials every page of the world could act as its visitors", help);
    }
    let names = |list: &At<Vec<At<Header>>>| list.value.iter().map(|name| name.value.0.clone()).collect();
    Some(Arc::new(Cors {
        origins: origins.0.iter().map(|origin| origin.value.clone()).collect(),
        methods: written.methods.value.iter().map(|method| method.value.clone()).collect(),
        headers: names(&written.headers),
        expose: names(&written.expose),
        credentials: written.credentials.value,
        max_age_seconds: written.max_age.value.0.as_secs(),
    }))
}

pub(super) fn headers(written: &written::Headers, found: &mut Findings) -> Arc<HeaderRules> {
    Arc::new(HeaderRules {
        request: changes(&written.request.value, found),
        response: changes(&written.response.value, found),
    })
}

fn changes(written: &written::Changes, found: &mut Findings) -> Changes {
    let remove = written.remove.value.iter();
    let remove = remove.filter(|name| may_change(&name.value, &name.place, found));
    Changes {
        remove: remove.map(|name| name.value.0.clone()).collect(),
        set: templates(&written.set, found),
        default: templates(&written.default, found),
    }
}

fn templates(table: &Given<ByName<Template>>, found: &mut Findings) -> Vec<(Arc<str>, Template)> {
    let mut templates: Vec<(Arc<str>, Template)> = Vec::new();
    for named in table.get().map_or(&[][..], |table| &table.0) {
        // What is no name at all is reported where the table is read.
        let Some(name) = header::parse(&named.name) else { continue };
        if templates.iter().any(|(other, _)| *other == name.0) {
            found.error(&named.place, "this header is written twice", "keep one of the two");
        }
        if may_change(&name, &named.place, found) {
            templates.push((name.0, named.value.clone()));
        }
    }
    templates
}

/// Framing, the connection, identity and price are not for rules to decide.
fn may_change(name: &Header, place: &Place, found: &mut Findings) -> bool {
    // Servers may read an underscore as a dash.
    let name = name.0.replace('_', "-");
    let why = match name.as_str() {
        "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "upgrade"
        | "content-length" | "transfer-encoding" => "it belongs to the connection",
        "host" => "`host` of the route or the upstream decides it",
        "x-http-method-override" | "x-method-override" | "x-original-url" | "x-rewrite-url" => {
            "a server might answer another request than the one that was priced"
        }
        _ if name.starts_with("x-tollgate-") => "Tollgate alone says it",
        _ => return true,
    };
    found.error(place, format!("this header cannot be changed: {why}"), "leave it out");
    false
}
