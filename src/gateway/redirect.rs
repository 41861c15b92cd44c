//! Ports that send clients on to TLS. Nothing is metered there; paths below `server.redirect_except` are served like
//! anywhere else.

use http::{HeaderValue, Method, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;

use crate::clock;
use crate::domain::path::NormalPath;
use crate::problem::{Code, Problem};

use super::answer::linger;
use super::headers::{Headers, REQUEST_ID};
use super::phases::{DRAIN_TIMEOUT, taken};
use super::{Parts, RequestId};

/// Where clients are sent.
#[derive(Clone, Debug, Default)]
pub struct Redirects {
    /// Instead of a `Host` that is none; with its port.
    pub public: Option<String>,
    /// Where TLS is spoken, on the host that a client names.
    pub port: u16,
    /// Paths below which nobody is sent on, without a trailing slash.
    pub except: Vec<String>,
}

impl Redirects {
    pub(super) fn are_for(&self, request: &RequestHeader) -> bool {
        let Ok(path) = NormalPath::parse(request.uri.path()) else { return true };
        !self.except.iter().any(|except| {
            let below = path.matched().strip_prefix(except.as_str());
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// The same path and query at the host that the client asked; none where it named none, and we have none.
    fn location(&self, request: &RequestHeader) -> Option<HeaderValue> {
        let mut hosts = request.headers.get_all(header::HOST).iter();
        let host = hosts.next().filter(|_| hosts.next().is_none());
        let host = host.and_then(|host| host.to_str().ok()).and_then(host_of);
        let authority = match host {
            Some(host) if self.port == 443 => host.to_owned(),
            Some(host) => format!("{host}:{}", self.port),
            None => self.public.clone()?,
        };
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.starts_with('/') { target } else { "/" };
        HeaderValue::try_from(format!("https://{authority}{target}")).ok()
    }
}

/// The host of a `Host` header, without its port: a name or an address, and nothing that another would read otherwise.
fn host_of(host: &str) -> Option<&str> {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(inside) = host.strip_prefix('[') {
        let (address, port) = inside.split_once(']')?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
        let whole = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return whole.then(|| &host[..address.len() + 2]);
    }
    let name = match host.split_once(':') {
        Some((name, port)) => is_port(port).then_some(name)?,
        None => host,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    ((1..=253).contains(&name.len()) && name.bytes().all(plain)).then_some(name)
}

impl Parts {
    /// Sends a client on, and ends the connection: it goes on elsewhere.
    pub(super) async fn redirect(&self, mut session: ServerSession) {
        session.set_keepalive(None);
        let now = clock::now();
        let request = session.req_header();
        // Others than these may be repeated with another method (RFC 9110, section 15.4).
        let safe = matches!(request.method, Method::GET | Method::HEAD);
        let Some(location) = self.settings.redirects.location(request) else {
            let problem = Problem::new(Code::BadRequest, "name the host that you ask in one Host header");
            return self.refuse_unread(session, &problem, now).await;
        };
        if let Ok(answer) = moved(if safe { 301 } else { 308 }, location, RequestId::new(now)) {
            self.counters.answered(None, answer.status.as_u16(), std::time::Duration::ZERO);
            if let Err(unwritten) = taken(session.write_response_header(Box::new(answer))).await {
                tracing::debug!(%unwritten, "a redirect could not be written");
            }
        }
        session.set_total_drain_timeout(Some(DRAIN_TIMEOUT));
        linger(&mut session, None).await;
        // However that goes, it ends.
        let _ = session.finish().await;
    }
}

fn moved(status: u16, location: HeaderValue, request_id: RequestId) -> pingora::Result<ResponseHeader> {
    let mut answer = ResponseHeader::build(status, Some(4))?;
    answer.insert_header(header::LOCATION, location)?;
    answer.insert_header(header::CONTENT_LENGTH, 0)?;
    answer.put(REQUEST_ID, request_id.header())?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, hosts: &[&str]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", target.as_bytes(), None).expect("a request");
        for host in hosts {
            request.append_header("host", *host).expect("a header");
        }
        request
    }

    fn location(redirects: &Redirects, target: &str, hosts: &[&str]) -> Option<String> {
        let location = redirects.location(&request(target, hosts))?;
        Some(location.to_str().expect("text").to_owned())
    }

    #[test]
    fn a_client_is_sent_to_the_same_path_of_the_host_that_it_asked() {
        let usual = Redirects { port: 443, ..Redirects::default() };
        let to = |target: &str, host: &str| location(&usual, target, &[host]);
        assert_eq!(to("/a/b?c=d&e", "Api.example:80").as_deref(), Some("https://Api.example/a/b?c=d&e"));
        assert_eq!(to("//evil.example/", "a").as_deref(), Some("https://a//evil.example/"));
        assert_eq!(to("/", "[2001:db8::1]:8080").as_deref(), Some("https://[2001:db8::1]/"));
        let other = Redirects { port: 8443, ..Redirects::default() };
        assert_eq!(location(&other, "/a", &["a:80"]).as_deref(), Some("https://a:8443/a"));
    }

    #[test]
    fn what_is_no_host_is_never_sent_to() {
        let ours = Redirects { public: Some("api.example".into()), port: 443, ..Redirects::default() };
        let ours_is = Some("https://api.example/x".to_owned());
        for host in ["a@b", "a/b", "a#b", "a?b", "", ":80", "a:b", "a b", "[::1", "[a]", "[::1]x", "a\\b"] {
            assert_eq!(location(&ours, "/x", &[host]), ours_is, "{host:?}");
            assert_eq!(location(&Redirects::default(), "/x", &[host]), None, "{host:?}");
        }
        assert_eq!(location(&ours, "/x", &["a", "b"]), ours_is, "two of them");
        assert_eq!(location(&ours, "/x", &[]), ours_is, "none of them");
    }

    #[test]
    fn nobody_is_sent_on_below_what_is_excepted() {
        let except = vec!["/.well-known/acme-challenge".to_owned()];
        let redirects = Redirects { except, ..Redirects::default() };
        for (target, sent_on) in [
            ("/.well-known/acme-challenge/x", false),
            ("/.well-known/acme-challenge?x", false),
            ("/.well-known/acme-challenges", true),
            ("/.well-known/acme-challenge/../../admin", true),
            ("/", true),
        ] {
            assert_eq!(redirects.are_for(&request(target, &["a"])), sent_on, "{target}");
        }
    }
}
