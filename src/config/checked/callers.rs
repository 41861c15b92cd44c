//! `[auth]`: who calls, beside tokens.

use super::Names;
use crate::config::findings::Findings;
use crate::config::written::{self, CertificateName, ClientAuth};
use crate::domain::anonymous::Networks;
use crate::domain::rate::Rate;
use crate::domain::tier::TierId;

#[derive(Clone, Debug, PartialEq)]
pub struct Callers {
    /// Failed authentications of one address.
    pub failures: Rate,
    /// `None`: no key is accepted.
    pub keys: Option<ApiKeys>,
    /// `None`: nobody is anonymous.
    pub anonymous: Option<Networks>,
    /// `None`: certificates name nobody.
    pub client_certificate: Option<CertificateName>,
    /// The claim that binds a token to scopes.
    pub scope_claim: Option<String>,
}

/// `[auth.keys]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKeys {
    /// In lower case.
    pub header: String,
    pub prefix: String,
}

/// No key can stand in one of these: they are read, or removed, for what they are.
const OTHERS_HEADERS: [&str; 20] = [
    "accept",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "idempotency-key",
    "origin",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-request-id",
];

pub(super) fn check(written: &written::Root, auth: &written::Auth, found: &mut Findings) -> Callers {
    let keys = auth.keys.get().filter(|keys| keys.enabled.value);
    if let Some(keys) = auth.keys.get() {
        check_keys(keys, found);
    }
    Callers {
        failures: auth.failures.value.rate(),
        keys: keys.map(|keys| ApiKeys {
            header: keys.header.value.0.to_string(),
            prefix: keys.prefix.value.0.clone(),
        }),
        anonymous: auth.anonymous.get().map(networks),
        client_certificate: auth
            .client_certificate
            .get()
            .and_then(|certificate| check_certificate(written, certificate, found)),
        scope_claim: auth.jwt.get().and_then(|jwt| jwt.scope_claim.get()).map(|claim| claim.0.clone()),
    }
}

fn check_keys(keys: &written::ApiKeys, found: &mut Findings) {
    let (prefix, header) = (&keys.prefix, &keys.header);
    if !prefix.value.0.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        found.error(&prefix.place, "this cannot begin a key", "use letters and digits only");
    }
    let name = &*header.value.0;
    let is_others =
        OTHERS_HEADERS.contains(&name) || name.starts_with("x-tollgate-") || name.starts_with("sec-");
    if is_others {
        let help = "name a header of its own, such as \"x-api-key\"";
        found.error(&header.place, "this header says something else", help);
    }
}

fn networks(anonymous: &written::Anonymous) -> Networks {
    let bits = |bits: u64| u8::try_from(bits).unwrap_or(u8::MAX);
    Networks { ipv4: bits(anonymous.ipv4.value.0), ipv6: bits(anonymous.ipv6.value.0) }
}

/// The tier of `[auth.anonymous]`.
pub(super) fn anonymous_tier(written: &written::Root, found: &mut Findings) -> Option<TierId> {
    let tier = written.auth.get()?.anonymous.get()?.tier.at()?;
    let tiers = written.tiers.get().map_or(&[][..], |tiers| &tiers.0);
    let names = Names::new("tier", tiers.iter().map(|tier| tier.name.as_str()));
    let position = names.find(&tier.value.0, &tier.place, found)?;
    let price = &tiers[position].value.price.value;
    let sold = !price.monthly.is_left_out() || !price.yearly.is_left_out();
    let billed = matches!(tiers[position].value.overage.value, written::Overage::Priced(_));
    if sold || billed {
        let help = "name a tier without a price, whose overage is \"deny\"";
        found.error(&tier.place, "nobody can be billed for what this tier costs", help);
    }
    Some(TierId(u16::try_from(position).ok()?))
}

fn check_certificate(
    written: &written::Root,
    certificate: &written::ClientCertificate,
    found: &mut Findings,
) -> Option<CertificateName> {
    let tls = written.server.get().and_then(|server| server.doors.tls.get());
    if tls.is_none_or(|tls| tls.client_auth.value == ClientAuth::None) {
        let what = "no client is asked for a certificate";
        found.error(&certificate.place, what, "set server.tls.client_auth and client_ca");
    }
    certificate.customer.get().copied()
}

/// The names that routes' `scopes` use, in the order in which they first do.
pub(super) fn scopes(routes: &[&written::Terms], found: &mut Findings) -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    for scope in routes.iter().flat_map(|terms| &terms.extras.scopes.value) {
        if scopes.contains(&scope.value.0) {
            continue;
        }
        if scopes.len() == crate::domain::tier::FeatureSet::CAPACITY {
            found.error(&scope.place, "there are too many scopes", "name at most 128 different ones");
            break;
        }
        scopes.push(scope.value.0.clone());
    }
    scopes
}
