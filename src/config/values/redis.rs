//! Addresses of Redis: one server, a Cluster, or what Sentinels watch.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;
use serde_json::Value as Json;

use super::pattern;
use super::secret::Secret;
use crate::config::read::{Read, Reader};
use crate::config::tree::{Node, Value};

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Where Redis (or Valkey) is, and who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    pub layout: Layout,
    pub tls: bool,
    /// Names or addresses with their ports; at least one, and just one without a Cluster or Sentinels.
    pub servers: Vec<(String, u16)>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub database: u8,
}

/// What the servers of the address are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    Single,
    /// Some of its nodes.
    Cluster,
    /// Sentinels that watch a master of this name.
    Sentinel {
        master: String,
    },
}

const HELP: &str = "write \"rediss://USER:PASSWORD@HOST:PORT\", \"rediss+cluster://HOST:PORT,HOST:PORT\" or \
                    \"rediss+sentinel://HOST:PORT,HOST:PORT/MASTER\"; redis instead of rediss is without TLS";

impl Read for Redis {
    fn schema() -> Json {
        pattern("Redis URL", r"rediss?(\+cluster|\+sentinel)?://.+")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(&node.value, Value::Text(text) if text.contains('@')) {
            node.scalars(&mut reader.found.masked);
        }
        reader.parse(node, HELP, |text| parse(text).map_err(str::to_owned))
    }
}

fn parse(text: &str) -> Result<Redis, &'static str> {
    const NO_ADDRESS: &str = "this is not an address of Redis";
    let (scheme, rest) = text.split_once("://").ok_or(NO_ADDRESS)?;
    let (security, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
    let tls = match security {
        "redis" => false,
        "rediss" => true,
        _ => return Err(NO_ADDRESS),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (names, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = names.split_once(':').unwrap_or((names, ""));
    let default_port = if kind == "sentinel" { SENTINEL_PORT } else { REDIS_PORT };
    let servers: Option<Vec<_>> = hosts.split(',').map(|host| server(host, default_port)).collect();
    let servers = servers.ok_or("a server is a host, or a host and its port")?;
    let (layout, database) = match kind {
        "" if servers.len() > 1 => return Err("several servers are a Cluster or Sentinels"),
        "" => (Layout::Single, database(path)?),
        "cluster" if path.is_empty() => (Layout::Cluster, 0),
        "cluster" => return Err("a Cluster has no databases"),
        "sentinel" if path.is_empty() => return Err("the name of the master is missing"),
        "sentinel" => (Layout::Sentinel { master: decoded(path)?.into_owned() }, 0),
        _ => return Err(NO_ADDRESS),
    };
    let given = |text| decoded(text).map(|text| (!text.is_empty()).then(|| text.into_owned()));
    let password = given(password)?.map(Secret::new);
    Ok(Redis { layout, tls, servers, user: given(user)?, password, database })
}

fn server(text: &str, default_port: u16) -> Option<(String, u16)> {
    let is_number = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if is_number(port) && !host.ends_with(':') => (host, port.parse().ok()?),
        _ => (text, default_port),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    // An address of IPv6 may name its link behind "%".
    let (address, link) = bare.split_once('%').unwrap_or((bare, "any"));
    let is_v6 = address.parse::<Ipv6Addr>().is_ok() && link.bytes().all(is_name);
    let is_host = !bare.is_empty() && bare.bytes().all(is_name);
    (is_host || is_v6).then(|| (bare.to_owned(), port))
}

fn database(path: &str) -> Result<u8, &'static str> {
    if path.is_empty() {
        return Ok(0);
    }
    path.parse().map_err(|_| "the database is a number below 256")
}

fn decoded(text: &str) -> Result<Cow<'_, str>, &'static str> {
    percent_decode_str(text).decode_utf8().map_err(|_| "the user, the password or the master is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(redis: &Redis) -> Vec<(&str, u16)> {
        redis.servers.iter().map(|(host, port)| (host.as_str(), *port)).collect()
    }

    #[test]
    fn one_server_has_a_user_a_password_and_a_database() {
        let redis = parse("rediss://tolls:p%40ss:w@cache.example:6380/3").expect("an address");
        assert!(redis.tls && redis.layout == Layout::Single && redis.database == 3);
        assert_eq!(servers(&redis), [("cache.example", 6380)]);
        assert_eq!((redis.user.as_deref(), redis.password), (Some("tolls"), Some(Secret::new("p@ss:w"))));
        let plain = parse("redis://[::1]").expect("an address");
        assert_eq!(servers(&plain), [("::1", 6379)]);
        assert!(plain.user.is_none() && plain.password.is_none());
    }

    #[test]
    fn a_cluster_and_sentinels_have_several_servers() {
        let cluster = parse("redis+cluster://a:7000,b:7001,c").expect("an address");
        assert_eq!(servers(&cluster), [("a", 7000), ("b", 7001), ("c", 6379)]);
        let watched = parse("rediss+sentinel://:secret@a,b:1/main").expect("an address");
        assert_eq!(servers(&watched), [("a", 26379), ("b", 1)]);
        assert_eq!(watched.layout, Layout::Sentinel { master: "main".to_owned() });
        assert_eq!((watched.user, watched.password), (None, Some(Secret::new("secret"))));
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, why) in [
            ("localhost:6379", "not an address"),
            ("http://localhost", "not an address"),
            ("redis+proxy://localhost", "not an address"),
            ("redis://a,b", "a Cluster or Sentinels"),
            ("redis://a/main", "a number"),
            ("redis://", "a host"),
            ("redis://a:70000", "a host"),
            ("redis://a:b", "a host"),
            ("redis+cluster://a/1", "no databases"),
            ("redis+sentinel://a", "master is missing"),
            ("redis://u:%ff@a", "not UTF-8"),
        ] {
            let said = parse(text).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
