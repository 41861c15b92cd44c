//! A gateway that runs, asked over its admin port to do what only it can do.

use std::net::Ipv4Addr;

use anyhow::{Context as _, anyhow};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::config::Config;

/// The admin port of a gateway that runs.
pub(super) struct Gateway {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl Gateway {
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        let token = config.server.admin_token.as_ref().ok_or_else(|| {
            anyhow!(
                "a gateway runs and must do this itself: set server.admin_token, restart it, and try again"
            )
        })?;
        let mut address = config.server.admin_listen;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        // An error says that another part of the process installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { base: format!("http://{address}"), token: token.expose().to_owned(), http })
    }

    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        let answer = body.into_iter().fold(request, RequestBuilder::json).send().await;
        let answer =
            answer.with_context(|| format!("the gateway's admin port {} does not answer", self.base))?;
        let succeeded = answer.status().is_success();
        let body: Value = answer.json().await.context("the gateway's answer cannot be read")?;
        if succeeded {
            return Ok(body);
        }
        Err(anyhow!("{}", body["detail"].as_str().unwrap_or("the gateway refused")))
    }
}

/// As a part of a path.
pub(super) fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escape = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_path_whatever_it_holds() {
        assert_eq!(escaped("acme-1"), "acme-1");
        assert_eq!(escaped("org/7?a#b%"), "org%2F7%3Fa%23b%25");
    }
}
