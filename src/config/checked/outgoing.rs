//! `[[webhooks]]`.

use crate::config::findings::{At, Findings, suggestion};
use crate::config::values::secret::Secret;
use crate::config::values::text::Text;
use crate::config::values::url::Url;
use crate::config::written;
use crate::domain::notice::NoticeKind;

/// One that is told what happens to customers.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub name: String,
    pub url: String,
    pub secret: Secret,
    /// `None`: all.
    pub types: Option<Vec<String>>,
}

/// Shorter ones can be guessed.
const SHORTEST_SECRET: usize = 16;

pub(crate) fn check(webhooks: &[At<written::Webhook>], found: &mut Findings) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for webhook in webhooks {
        let types = names_of_types(&webhook.value.types.value, found);
        let written::Webhook { name, url, secret, .. } = &webhook.value;
        let (Some(name), Some(url), Some(secret)) = (name.at(), url.at(), secret.at()) else { continue };
        if targets.iter().any(|target| target.name == name.value.0) {
            let what = format!("there is a webhook `{}` already", name.value.0);
            found.error(&name.place, what, "give each a name of its own");
        }
        check_url(url, found);
        if secret.value.expose().len() < SHORTEST_SECRET {
            let help = "write a random one, such as `openssl rand -hex 32` prints";
            found.error(&secret.place, "the secret is shorter than 16 bytes and could be guessed", help);
        }
        targets.push(Target {
            name: name.value.0.clone(),
            url: url.value.to_text(),
            secret: secret.value.clone(),
            types,
        });
    }
    targets
}

/// `None`: all.
fn names_of_types(types: &[At<Text>], found: &mut Findings) -> Option<Vec<String>> {
    let known = NoticeKind::ALL.map(NoticeKind::as_str);
    let named = types.iter().filter(|kind| kind.value.0 != "*");
    for kind in named.clone().filter(|kind| !known.contains(&kind.value.0.as_str())) {
        let what = format!("there is no message of the type `{}`", kind.value.0);
        found.error(&kind.place, what, suggestion(&kind.value.0, &known));
    }
    let all = types.iter().any(|kind| kind.value.0 == "*");
    (!all).then(|| named.map(|kind| kind.value.0.clone()).collect())
}

/// What customers do is nobody else's business.
pub(super) fn check_url(url: &At<Url>, found: &mut Findings) {
    if url.value.is_plain_beyond_loopback() {
        found.error(&url.place, "messages would travel over plain http", "write an https URL");
    }
}
