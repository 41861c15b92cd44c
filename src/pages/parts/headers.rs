//! What browsers are told about every page: to run nothing but our own script, to frame nothing, to keep nothing, and
//! to tell no other site where they come from.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::problem::{Code, Problem};

/// Nothing is allowed that is not named. Styles and scripts come from the server alone: none stands in a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const FIXED: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Around all pages, as a middleware. What has a header of these names keeps it.
pub async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in FIXED {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// Refuses what another site's page has sent. Browsers that say nothing, or `Origin: null` because they tell nobody
/// where they come from, are left to the form's token.
pub fn refuse_cross_site(headers: &HeaderMap) -> Result<(), Problem> {
    let told = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_ours = match (told(HeaderName::from_static("sec-fetch-site")), told(header::ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, None | Some("null")) => true,
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && host == told(header::HOST)
        }
    };
    let refused =
        || Problem::new(Code::BadRequest, "this was sent by another site's page; use the form here");
    is_ours.then_some(()).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        refuse_cross_site(&headers.collect()).is_ok()
    }

    #[test]
    fn what_another_sites_page_sends_is_refused() {
        for site in ["cross-site", "same-site", "odd"] {
            assert!(!passes(&[("sec-fetch-site", site)]), "{site}");
        }
        assert!(!passes(&[("sec-fetch-site", "cross-site"), ("origin", "null")]));
        for origin in ["http://elsewhere:9090", "http://here", "http://here:9090.evil", "here:9090"] {
            assert!(!passes(&[("host", "here:9090"), ("origin", origin)]), "{origin}");
        }
        assert!(passes(&[("host", "here:9090"), ("origin", "http://here:9090")]));
        assert!(passes(&[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(passes(&[("origin", "null")]) && passes(&[]));
    }
}
