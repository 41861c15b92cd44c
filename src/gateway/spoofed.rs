//! Names of headers that a client may not say to the upstream: its identity is ours to tell, its price is fixed by the
//! request that was priced, and where it comes from is for proxies to tell that are trusted.
//!
//! Servers may read an underscore as a dash: every spelling is removed.

use http::HeaderName;
use smallvec::SmallVec;

use super::headers::Headers;

/// The beginning of all names of ours.
const OURS: &str = "x-tollgate-";
const REQUEST_ID: &str = "x-request-id";

/// An upstream might take one method for another, which may be dearer.
const OTHER_METHODS: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];
/// An upstream might take one path for another.
const OTHER_PATHS: [&str; 3] = ["x-original-uri", "x-original-url", "x-rewrite-url"];

/// Where a request came from.
const SOURCES: [&str; 6] =
    ["cf-connecting-ip", "forwarded", "true-client-ip", "x-client-ip", "x-cluster-client-ip", "x-real-ip"];
/// The beginning of the others of that kind.
const FORWARDED: &str = "x-forwarded-";

/// Spelt with dashes they are what pingora frames by, and forwards as it has understood them.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

/// Whose word is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Believed {
    /// The connection is that of a trusted proxy.
    pub sources: bool,
    /// The route says so.
    pub methods: bool,
}

/// Removes all that this client may not say.
pub(super) fn remove(headers: &mut impl Headers, believed: Believed) {
    let spoofed = headers.all().keys().filter(|name| is_spoofed(name.as_str(), believed));
    let spoofed: SmallVec<[HeaderName; 4]> = spoofed.cloned().collect();
    for name in &spoofed {
        headers.delete(name);
    }
}

fn is_spoofed(name: &str, believed: Believed) -> bool {
    let is_one_of = |names: &[&str]| names.iter().any(|known| is(name, known));
    match name.as_bytes().first() {
        Some(b'x') => {
            begins(name, OURS)
                || is(name, REQUEST_ID)
                || is_one_of(&OTHER_PATHS)
                || (!believed.methods && is_one_of(&OTHER_METHODS))
                || (!believed.sources && (begins(name, FORWARDED) || is_one_of(&SOURCES)))
        }
        Some(b'c' | b'f' | b't') => {
            (!believed.sources && is_one_of(&SOURCES)) || (is_one_of(&FRAMING) && name.contains('_'))
        }
        _ => false,
    }
}

fn is(name: &str, known: &str) -> bool {
    name.len() == known.len() && begins(name, known)
}

fn begins(name: &str, known: &str) -> bool {
    let dashed = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
    name.len() >= known.len() && name.bytes().zip(known.bytes()).all(|(byte, known)| dashed(&byte) == known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Believed = Believed { sources: false, methods: false };

    #[test]
    fn every_spelling_of_what_only_we_may_say_is_spoofed() {
        for name in [
            "x-tollgate-customer",
            "x_tollgate_customer",
            "x-tollgate_anything",
            "x_request-id",
            "x-rewrite-url",
            "x_http_method",
            "forwarded",
            "x_forwarded_for",
            "x-forwarded-anything",
            "true_client_ip",
            "transfer_encoding",
            "content_length",
        ] {
            assert!(is_spoofed(name, NOTHING), "{name}");
        }
        for name in [
            "x-tollgat",
            "x-tollgates",
            "xtollgate-customer",
            "x-request-ids",
            "accept",
            "transfer-encoding",
            "content-length",
            "content_type",
            "forwarded-by",
            "x",
        ] {
            assert!(!is_spoofed(name, NOTHING), "{name}");
        }
    }

    #[test]
    fn some_are_believed_where_the_configuration_says_so() {
        let sources = Believed { sources: true, ..NOTHING };
        assert!(!is_spoofed("x-forwarded-for", sources) && !is_spoofed("forwarded", sources));
        assert!(is_spoofed("x-http-method-override", sources) && is_spoofed("transfer_encoding", sources));
        let methods = Believed { methods: true, ..NOTHING };
        assert!(!is_spoofed("x-http-method-override", methods));
        assert!(is_spoofed("x-original-url", methods) && is_spoofed("x-tollgate-tier", methods));
    }
}
