//! From the claims of a token whose signature holds to the identity behind it.
//!
//! A token is valid from `nbf - leeway` until just before `exp + leeway`. `exp` must be there; `iss` and `aud`
//! must be there when they are checked. Names are strings: a number in a claim is nobody's name.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::claim::{Claim, Claims};
use super::{AuthError, ClaimPath, Identity, Reason, Scopes, Settings, Source};
use http::HeaderValue;

const MAX_NAME_BYTES: usize = 256;
const MAX_STRIPE_ID_BYTES: usize = 255;

/// What every token must meet.
pub struct ClaimRules {
    issuer: Option<String>,
    audience: Vec<String>,
    leeway_seconds: i64,
    customer: ClaimPath,
    member: Option<ClaimPath>,
    stripe_customer: Option<ClaimPath>,
    scopes: Option<ClaimPath>,
}

/// Claims that meet the rules.
pub struct Accepted {
    pub identity: Identity,
    /// The `exp` claim, rounded down, without leeway.
    pub expires_seconds: i64,
}

impl ClaimRules {
    pub fn new(settings: &Settings) -> Self {
        Self {
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway_seconds: whole_seconds(settings.leeway),
            customer: settings.customer_claim.clone(),
            member: settings.member_claim.clone(),
            stripe_customer: settings.stripe_customer_claim.clone(),
            scopes: settings.scope_claim.clone(),
        }
    }

    /// # Errors
    /// With the first rule that the claims break.
    pub fn check(&self, claims: &Claims<'_>, now_seconds: i64) -> Result<Accepted, AuthError> {
        let expires_seconds = self.check_times(claims, now_seconds)?;
        self.check_origin(claims)?;
        Ok(Accepted { identity: self.identity(claims)?, expires_seconds })
    }

    fn check_times(&self, claims: &Claims<'_>, now: i64) -> Result<i64, AuthError> {
        let expires = claims.get("exp").and_then(|exp| numeric_date(exp, f64::floor));
        let expires = expires.ok_or(Reason::Expiry)?;
        if now >= expires.saturating_add(self.leeway_seconds) {
            return Err(AuthError::Expired);
        }
        if let Some(not_before) = claims.get("nbf") {
            let not_before = numeric_date(not_before, f64::ceil).ok_or(Reason::NotYetValid)?;
            if now.saturating_add(self.leeway_seconds) < not_before {
                return Err(Reason::NotYetValid.into());
            }
        }
        Ok(expires)
    }

    fn check_origin(&self, claims: &Claims<'_>) -> Result<(), Reason> {
        if let Some(issuer) = &self.issuer
            && claims.get("iss").and_then(Claim::as_text) != Some(issuer)
        {
            return Err(Reason::Issuer);
        }
        let is_ours = |aud: &Claim<'_>| {
            let aud = aud.as_text();
            aud.is_some_and(|aud| self.audience.iter().any(|ours| ours == aud))
        };
        let accepted = self.audience.is_empty()
            || match claims.get("aud") {
                Some(Claim::List(audience)) => audience.iter().any(is_ours),
                Some(audience) => is_ours(audience),
                None => false,
            };
        if accepted { Ok(()) } else { Err(Reason::Audience) }
    }

    fn identity(&self, claims: &Claims<'_>) -> Result<Identity, Reason> {
        let optional = |path: &Option<ClaimPath>| path.as_ref().and_then(|path| path.find(claims));
        let checked = |value: Option<&Claim<'_>>, is_valid: fn(&str) -> bool, reason| {
            let text = |value: &Claim<'_>| value.as_text().filter(|text| is_valid(text)).map(Arc::from);
            value.map(|value| text(value).ok_or(reason)).transpose()
        };
        let customer: Arc<str> =
            checked(self.customer.find(claims), is_name, Reason::Customer)?.ok_or(Reason::Customer)?;
        Ok(Identity {
            customer_header: HeaderValue::from_str(&customer).map_err(|_| Reason::Customer)?,
            customer,
            member: checked(optional(&self.member), is_name, Reason::Member)?,
            stripe_customer: checked(
                optional(&self.stripe_customer),
                is_stripe_customer,
                Reason::StripeCustomer,
            )?,
            scopes: self.scopes(claims)?,
            source: Source::Token,
            member_number: OnceLock::new(),
        })
    }

    fn scopes(&self, claims: &Claims<'_>) -> Result<Scopes, Reason> {
        let Some(path) = &self.scopes else { return Ok(Scopes::All) };
        Scopes::of_claim(path.find(claims)).ok_or(Reason::Scopes)
    }
}

/// Whole seconds, rounded towards stricter by the caller; a fraction is allowed (RFC 7519, `NumericDate`).
fn numeric_date(value: &Claim<'_>, round: fn(f64) -> f64) -> Option<i64> {
    match value {
        Claim::Whole(seconds) => Some(*seconds),
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates; only the far future is cut")]
        Claim::Fraction(seconds) => Some(round(*seconds) as i64),
        _ => None,
    }
}

pub fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// 1 to 256 visible ASCII characters.
pub(super) fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_stripe_customer(text: &str) -> bool {
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= MAX_STRIPE_ID_BYTES
        && text.strip_prefix("cus_").is_some_and(|id| !id.is_empty() && id.bytes().all(is_id))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_000_000;
    const LEEWAY: i64 = 30;

    fn rules() -> ClaimRules {
        ClaimRules {
            issuer: None,
            audience: Vec::new(),
            leeway_seconds: LEEWAY,
            customer: "sub".parse().unwrap(),
            member: Some("member".parse().unwrap()),
            stripe_customer: Some("stripe".parse().unwrap()),
            scopes: None,
        }
    }

    /// Checks valid claims in which `changes` are made; null takes a claim away.
    fn check(rules: &ClaimRules, changes: &Value) -> Result<Accepted, AuthError> {
        let mut claims = json!({"sub": "acme", "exp": NOW + 60});
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        rules.check(&Claims::parse(claims.to_string().as_bytes()).unwrap(), NOW)
    }

    fn refusal(rules: &ClaimRules, changes: &Value) -> Option<AuthError> {
        check(rules, changes).err()
    }

    #[test]
    fn a_token_expires_when_its_leeway_is_over() {
        for (exp, expected) in [
            (json!(NOW - LEEWAY + 1), None),
            (json!(NOW - LEEWAY), Some(AuthError::Expired)),
            (json!(999_970.5), Some(AuthError::Expired)),
            (json!(999_971.5), None),
            (json!(-1), Some(AuthError::Expired)),
            (json!(u64::MAX), None),
            (json!(1e300), None),
        ] {
            assert_eq!(refusal(&rules(), &json!({"exp": exp})), expected, "{exp}");
        }
    }

    #[test]
    fn a_token_without_a_numeric_exp_is_invalid() {
        for exp in [json!(null), json!("2000000"), json!([NOW + 60]), json!(true)] {
            let refused = refusal(&rules(), &json!({"exp": exp}));
            assert_eq!(refused, Some(Reason::Expiry.into()), "{exp}");
        }
    }

    #[test]
    fn a_token_begins_its_leeway_before_nbf() {
        let early = Some(Reason::NotYetValid.into());
        for (nbf, expected) in [
            (json!(NOW + LEEWAY), None),
            (json!(NOW + LEEWAY + 1), early),
            (json!(1_000_030.5), early),
            (json!(i64::MAX), early),
            (json!("0"), early),
        ] {
            assert_eq!(refusal(&rules(), &json!({"nbf": nbf})), expected, "{nbf}");
        }
    }

    #[test]
    fn the_issuer_must_match_when_it_is_set() {
        let strict = ClaimRules { issuer: Some("https://issuer".into()), ..rules() };
        let wrong = Some(Reason::Issuer.into());
        assert_eq!(refusal(&strict, &json!({"iss": "https://issuer"})), None);
        for iss in [json!("https://issuer/"), json!(["https://issuer"]), json!(null)] {
            assert_eq!(refusal(&strict, &json!({"iss": iss})), wrong, "{iss}");
        }
        assert_eq!(refusal(&rules(), &json!({"iss": 7})), None);
    }

    #[test]
    fn the_audience_is_a_string_or_an_array_and_must_hold_ours() {
        let strict = ClaimRules { audience: vec!["api".into(), "web".into()], ..rules() };
        for aud in [json!("api"), json!(["other", "web"])] {
            assert_eq!(refusal(&strict, &json!({"aud": aud})), None, "{aud}");
        }
        for aud in [json!("other"), json!([]), json!([7]), json!({"api": 1}), json!(null)] {
            let refused = refusal(&strict, &json!({"aud": aud}));
            assert_eq!(refused, Some(Reason::Audience.into()), "{aud}");
        }
    }

    #[test]
    fn customers_are_visible_ascii_strings() {
        for sub in [json!("!"), json!("~".repeat(256))] {
            assert_eq!(refusal(&rules(), &json!({"sub": sub})), None, "{sub}");
        }
        let spaced = [json!("a b"), json!("a\n"), json!("a\u{7f}"), json!("é")];
        let odd = [json!(""), json!("x".repeat(257)), json!(7), json!({}), json!(null)];
        for sub in spaced.into_iter().chain(odd) {
            let refused = refusal(&rules(), &json!({"sub": sub}));
            assert_eq!(refused, Some(Reason::Customer.into()), "{sub}");
        }
    }

    #[test]
    fn member_and_stripe_customer_may_be_absent_but_not_malformed() {
        let Ok(accepted) = check(&rules(), &json!({"member": "ann", "stripe": "cus_A1_b"})) else {
            panic!("both are well-formed");
        };
        assert_eq!(accepted.identity.member.as_deref(), Some("ann"));
        assert_eq!(accepted.identity.stripe_customer.as_deref(), Some("cus_A1_b"));
        let bad_member = refusal(&rules(), &json!({"member": ""}));
        assert_eq!(bad_member, Some(Reason::Member.into()));
        let long = format!("cus_{}", "x".repeat(252));
        for stripe in ["cus_", "sub_1", "cus_a-b", "cus_é", long.as_str()] {
            let refused = refusal(&rules(), &json!({"stripe": stripe}));
            assert_eq!(refused, Some(Reason::StripeCustomer.into()), "{stripe}");
        }
    }

    #[test]
    fn scopes_are_what_the_claim_says_where_one_is_named() {
        let bound = ClaimRules { scopes: Some("scope".parse().unwrap()), ..rules() };
        let scopes = |rules: &ClaimRules, changes: &Value| {
            check(rules, changes).map(|accepted| accepted.identity.scopes).map_err(Some)
        };
        assert_eq!(scopes(&rules(), &json!({"scope": 7})), Ok(Scopes::All));
        assert_eq!(scopes(&bound, &json!({"scope": "a b"})), Ok(Scopes::new(Some(["a", "b"]))));
        assert_eq!(scopes(&bound, &json!({})), Ok(Scopes::new(Some([""; 0]))));
        assert_eq!(scopes(&bound, &json!({"scope": 7})), Err(Some(Reason::Scopes.into())));
    }
}
