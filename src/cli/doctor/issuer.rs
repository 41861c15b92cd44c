//! Who signs tokens: its keys, and whether it is the one that the configuration means.

use serde_json::Value;

use crate::auth::{self, FetchError, Published};
use crate::config::KeySource;

use super::Site;
use super::check::Check;

const NAME: &str = "issuer";

pub(super) async fn check(site: &Site) -> Vec<Check> {
    let jwt = &site.config.auth;
    let url = match &jwt.key {
        KeySource::Jwks(url) => url,
        KeySource::Secret(_) => return vec![Check::ok(NAME, "tokens are verified with a secret")],
        KeySource::PublicKey(_) => return vec![Check::ok(NAME, "tokens are verified with a public key")],
    };
    let algorithms = jwt.algorithms.iter().map(|algorithm| auth::parse_algorithm(algorithm.as_str()));
    // The configuration has been checked.
    let algorithms: Vec<_> = algorithms.filter_map(Result::ok).collect();
    let (published, discovered) =
        tokio::join!(auth::published(url, &algorithms), discovery(site, jwt.issuer.as_deref()));
    let mut checks = vec![judge(published)];
    if let (Some(issuer), Some(discovered)) = (&jwt.issuer, discovered) {
        checks.extend(judge_discovery(issuer, url, &discovered));
    }
    checks
}

fn judge(published: Result<Published, FetchError>) -> Check {
    match published {
        Ok(Published { usable: 0, keys }) => Check::failed(
            NAME,
            format!("none of its {keys} keys fits auth.jwt.algorithms"),
            "write the algorithms that it signs with; its keys name them as `alg`",
        ),
        Ok(Published { usable, keys }) => {
            Check::ok(NAME, format!("{usable} of its {keys} keys can verify tokens"))
        }
        Err(error) => {
            let wrong_address = "write the issuer's `jwks_uri` as auth.jwt.jwks_url; its \
                                 /.well-known/openid-configuration names it";
            let advice = match &error {
                FetchError::Format(_) => wrong_address,
                FetchError::Status(status) if status.as_u16() == 404 => wrong_address,
                FetchError::Status(_) => "ask whoever runs the issuer: it refuses its keys",
                _ => "check auth.jwt.jwks_url, DNS, and that this machine may connect there",
            };
            Check::failed(NAME, format!("its keys cannot be had: {error}"), advice)
        }
    }
}

/// What the issuer says of itself, where it does (`OpenID` Connect Discovery 1.0, section 4).
async fn discovery(site: &Site, issuer: Option<&str>) -> Option<Value> {
    let issuer = issuer.filter(|issuer| issuer.starts_with("https://") || issuer.starts_with("http://"))?;
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let answer = site.http.get(url).send().await.ok()?;
    answer.status().is_success().then_some(())?;
    answer.json().await.ok()
}

fn judge_discovery(issuer: &str, jwks_url: &str, discovered: &Value) -> Vec<Check> {
    let said = |name: &str| discovered[name].as_str();
    let mut checks = Vec::new();
    if let Some(named) = said("issuer").filter(|named| *named != issuer) {
        checks.push(Check::failed(
            NAME,
            format!("it calls itself {named:?}, and auth.jwt.issuer is {issuer:?}"),
            "write it as the issuer does, to the last slash: tokens with another `iss` are refused",
        ));
    }
    if let Some(named) = said("jwks_uri").filter(|named| *named != jwks_url) {
        checks.push(Check::warning(
            NAME,
            format!("it publishes its keys at {named}, which is not auth.jwt.jwks_url"),
            "write that one, unless you know better",
        ));
    }
    checks
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use serde_json::json;

    use super::super::check::Outcome;
    use super::*;

    #[test]
    fn an_issuer_is_known_by_its_exact_name() {
        let judged = |issuer: &str, jwks: &str| {
            let said = json!({ "issuer": "https://a.example/", "jwks_uri": "https://a.example/keys" });
            judge_discovery(issuer, jwks, &said).iter().map(|check| check.outcome).collect::<Vec<_>>()
        };
        assert_eq!(judged("https://a.example/", "https://a.example/keys"), []);
        assert_eq!(judged("https://a.example", "https://a.example/keys"), [Outcome::Failed]);
        assert_eq!(judged("https://a.example/", "https://a.example/other"), [Outcome::Warning]);
        assert_eq!(judge_discovery("a", "b", &json!({})), []);
    }

    #[test]
    fn keys_that_nobody_can_use_are_none() {
        assert_eq!(judge(Ok(Published { keys: 2, usable: 1 })).outcome, Outcome::Ok);
        assert_eq!(judge(Ok(Published { keys: 2, usable: 0 })).outcome, Outcome::Failed);
        let missing = judge(Err(FetchError::Status(StatusCode::NOT_FOUND)));
        assert!(missing.advice.is_some_and(|advice| advice.contains("jwks_uri")));
    }
}
