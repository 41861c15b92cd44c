//! One spelling per path, so that no spelling is cheaper or unguarded.
//!
//! The normalised path is what is matched, priced and forwarded. Per RFC 3986 section 6.2.2: escapes of unreserved
//! characters are decoded, other escapes are upper-cased, characters that may not stand bare are escaped, `.` and
//! `..` segments are resolved after decoding. Beyond the RFC: repeated slashes are merged. A trailing slash is
//! ignored when matching and kept when forwarding. What an upstream might read in two ways (`%2f`, `%5c`, `%00`,
//! backslashes, fragments, broken escapes, dots with parameters as in `..;x`) is refused. Case matters, and `;x`
//! belongs to its segment.

use std::borrow::Cow;

/// A path that has been normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalPath<'a>(Cow<'a, str>);

/// Why a path is refused; the text says what to send instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path must start with a slash")]
    NotAbsolute,
    #[error(
        "the path holds a % that is not followed by two hexadecimal digits; write %25 for a percent sign"
    )]
    BrokenEscape,
    #[error("the path holds an encoded slash, backslash or NUL, which is not allowed here")]
    ForbiddenEscape,
    #[error("the path holds a backslash, control character or fragment, which is not allowed")]
    ForbiddenCharacter,
    #[error("the path holds a segment of dots that has parameters, which is not allowed")]
    DotsWithParameters,
}

impl<'a> NormalPath<'a> {
    /// Normalises the path of a request target, without its query. Borrows when there is nothing to change.
    pub fn parse(raw: &'a str) -> Result<Self, PathError> {
        if !raw.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        if is_normal(raw.as_bytes()) {
            return Ok(Self(Cow::Borrowed(raw)));
        }
        let decoded = decode(raw.as_bytes(), false)?;
        if decoded.split('/').any(is_dots_with_parameters) {
            return Err(PathError::DotsWithParameters);
        }
        Ok(Self(Cow::Owned(resolve(&decoded))))
    }

    /// The same for a server to which an encoded slash is a part of its segment. One that took it for a slash all the
    /// same must not be led out of what was priced: beside it no dots may stand alone.
    pub fn parse_with_slashes(raw: &'a str) -> Result<Self, PathError> {
        if !raw.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        let decoded = decode(raw.as_bytes(), true)?;
        if decoded.split('/').any(is_dots_with_parameters) {
            return Err(PathError::DotsWithParameters);
        }
        let path = resolve(&decoded);
        let dots = |piece: &str| matches!(piece, "." | "..") || is_dots_with_parameters(piece);
        let climbs = |segment: &str| segment.contains(SLASH) && segment.split(SLASH).any(dots);
        if path.split('/').any(climbs) { Err(PathError::ForbiddenEscape) } else { Ok(Self(Cow::Owned(path))) }
    }

    /// The path to send to the upstream.
    pub fn forwarded(&self) -> &str {
        &self.0
    }

    /// The path to match and price: a trailing slash makes no difference.
    pub fn matched(&self) -> &str {
        match self.0.strip_suffix('/') {
            None | Some("") => &self.0,
            Some(trimmed) => trimmed,
        }
    }

    /// The path as careless servers read it: without the parameters of segments (`;x`), and up to what would begin a
    /// query or fragment, were it not encoded. None where that is the path itself.
    pub fn shortened(&self) -> Option<NormalPath<'static>> {
        let path: &str = &self.0;
        memchr::memchr2(b';', b'%', path.as_bytes())?;
        let end = ["%3F", "%23"].into_iter().filter_map(|mark| path.find(mark)).min();
        let cut = &path[..end.unwrap_or(path.len())];
        let parameters = cut.split('/').any(|segment| name_of(segment).is_some());
        if end.is_none() && !parameters {
            return None;
        }
        let names: Vec<&str> = cut.split('/').map(|segment| name_of(segment).unwrap_or(segment)).collect();
        Some(NormalPath(Cow::Owned(resolve(&names.join("/")))))
    }
}

/// Some servers cut the parameters off, and climb.
fn is_dots_with_parameters(segment: &str) -> bool {
    matches!(name_of(segment), Some("." | ".."))
}

/// What stands before the parameters of a segment; none where it has none.
fn name_of(segment: &str) -> Option<&str> {
    let ends = [segment.find(';'), segment.find("%3B")];
    ends.into_iter().flatten().min().map(|end| &segment[..end])
}

/// The common case, decided in one pass without writing: only bare characters, no empty or dot segment.
fn is_normal(path: &[u8]) -> bool {
    let mut segment_start = 0;
    for (at, &byte) in path.iter().enumerate() {
        if byte == b'/' {
            if at > 0 && needs_resolving(&path[segment_start..at]) {
                return false;
            }
            segment_start = at + 1;
        } else if !may_stand_bare(byte) {
            return false;
        }
    }
    // The last segment may be empty: that is a trailing slash.
    path[segment_start..].is_empty() || !needs_resolving(&path[segment_start..])
}

fn needs_resolving(segment: &[u8]) -> bool {
    matches!(segment, b"" | b"." | b".." | [b'.', b';', ..] | [b'.', b'.', b';', ..])
}

/// RFC 3986 `pchar`, without its escapes.
fn may_stand_bare(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// An encoded slash, in its one spelling.
const SLASH: &str = "%2F";

/// Every escape and character in its one spelling; slashes and dots as they come.
fn decode(raw: &[u8], slashes: bool) -> Result<String, PathError> {
    let mut path = String::with_capacity(raw.len() + 8);
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let escaped = escaped_byte(bytes.next(), bytes.next())?;
                match escaped {
                    b'/' if slashes => path.push_str(SLASH),
                    b'/' | b'\\' | 0 => return Err(PathError::ForbiddenEscape),
                    byte if is_unreserved(byte) => path.push(char::from(byte)),
                    byte => push_escape(&mut path, byte),
                }
            }
            b'\\' | b'#' | 0..=0x20 | 0x7f => return Err(PathError::ForbiddenCharacter),
            byte if byte == b'/' || may_stand_bare(byte) => path.push(char::from(byte)),
            byte => push_escape(&mut path, byte),
        }
    }
    Ok(path)
}

fn escaped_byte(high: Option<u8>, low: Option<u8>) -> Result<u8, PathError> {
    let digit =
        |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(PathError::BrokenEscape);
    let value = digit(high)? * 16 + digit(low)?;
    u8::try_from(value).map_err(|_| PathError::BrokenEscape)
}

fn push_escape(path: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    path.push('%');
    path.push(char::from(DIGITS[usize::from(byte >> 4)]));
    path.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// RFC 3986 section 5.2.4, with empty segments dropped as well: `..` never climbs above the root.
fn resolve(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let names_a_folder = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    let mut resolved = String::with_capacity(path.len());
    for segment in &segments {
        resolved.push('/');
        resolved.push_str(segment);
    }
    if segments.is_empty() || names_a_folder {
        resolved.push('/');
    }
    resolved
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn forwarded(raw: &str) -> String {
        NormalPath::parse(raw).expect("a path").forwarded().to_owned()
    }

    #[test]
    fn every_spelling_of_a_path_becomes_one() {
        for spelling in [
            "/export/pdf",
            "//export///pdf",
            "/./export/./pdf",
            "/x/../export/pdf",
            "/export/x/%2e%2E/pdf",
            "/%65xport/p%64f",
            "/export/%70df",
            "/../../export/pdf",
            "/x/%2e%2e/export/pdf",
            "/x/.%2e/export/pdf",
        ] {
            assert_eq!(forwarded(spelling), "/export/pdf", "{spelling}");
        }
    }

    #[test]
    fn a_trailing_slash_is_kept_for_the_upstream_and_ignored_for_the_price() {
        let path = NormalPath::parse("/export//pdf/").expect("a path");
        assert_eq!((path.forwarded(), path.matched()), ("/export/pdf/", "/export/pdf"));
        let root = NormalPath::parse("/").expect("a path");
        assert_eq!((root.forwarded(), root.matched()), ("/", "/"));
        assert_eq!(forwarded("/a/b/.."), "/a/");
        assert_eq!(forwarded("/a/b/."), "/a/b/");
    }

    #[test]
    fn reserved_escapes_stay_and_are_upper_cased() {
        assert_eq!(forwarded("/a%3bb%3A"), "/a%3Bb%3A");
        assert_eq!(forwarded("/%252e%252e/x"), "/%252e%252e/x");
        assert_eq!(forwarded("/caf\u{e9}|"), "/caf%C3%A9%7C");
    }

    #[test]
    fn parameters_and_case_belong_to_the_segment() {
        assert_eq!(forwarded("/Signals;a=1/"), "/Signals;a=1/");
        assert_eq!(forwarded("/a/...;/b"), "/a/...;/b");
        let shortened = |raw| {
            let path = NormalPath::parse(raw).expect("a path");
            path.shortened().map(|path| path.forwarded().to_owned())
        };
        assert_eq!(shortened("/a/b%41/%25"), None);
        assert_eq!(shortened("/a;b=c/;d/e%3bf/"), Some("/a/e/".into()));
        assert_eq!(shortened("/a;b/c%3fd;e/f%23"), Some("/a/c".into()));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (raw, error) in [
            ("", PathError::NotAbsolute),
            ("*", PathError::NotAbsolute),
            ("/a%2fb", PathError::ForbiddenEscape),
            ("/a%2Fb", PathError::ForbiddenEscape),
            ("/a%5cb", PathError::ForbiddenEscape),
            ("/a%00", PathError::ForbiddenEscape),
            ("/a\\b", PathError::ForbiddenCharacter),
            ("/a#b", PathError::ForbiddenCharacter),
            ("/a\u{0}", PathError::ForbiddenCharacter),
            ("/a%", PathError::BrokenEscape),
            ("/a%4", PathError::BrokenEscape),
            ("/a%zz", PathError::BrokenEscape),
            ("/a%+1", PathError::BrokenEscape),
            ("/a/..;/b", PathError::DotsWithParameters),
            ("/a/%2e.;x=y/b", PathError::DotsWithParameters),
            ("/a/.;x", PathError::DotsWithParameters),
            ("/a/..%3B/b", PathError::DotsWithParameters),
        ] {
            assert_eq!(NormalPath::parse(raw), Err(error), "{raw:?}");
        }
    }

    #[test]
    fn an_encoded_slash_stays_one_where_it_is_allowed_and_nothing_climbs_over_it() {
        let kept = |raw| NormalPath::parse_with_slashes(raw).map(|path| path.forwarded().to_owned());
        assert_eq!(kept("/a%2fb/%7Ec").as_deref(), Ok("/a%2Fb/~c"));
        assert_eq!(kept("/a%2F/../b%2f").as_deref(), Ok("/b%2F"));
        for raw in [
            "/a%2f..",
            "/a/..%2fb",
            "/a/%2e%2E%2fb",
            "/.%2F",
            "/a%2F.%2Fb",
            "/a%2F..;x",
            "/a%2F..%3bx;y",
            "/..%3bx;%2Fa",
            "/a%5Cb",
            "/a%2F%00",
        ] {
            assert!(kept(raw).is_err(), "{raw}");
        }
        assert_eq!(kept("/a%2Fb/..;x/c"), Err(PathError::DotsWithParameters));
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(raw in "/[a-zA-Z0-9%./;:|é-]{0,40}") {
            if let Ok(once) = NormalPath::parse(&raw) {
                let twice = NormalPath::parse(once.forwarded()).expect("a normal path is valid");
                prop_assert_eq!(twice.forwarded(), once.forwarded());
                prop_assert!(!once.forwarded().contains("//"));
                prop_assert!(once.forwarded().split('/').all(|s| s != "." && s != ".."));
            }
        }
    }
}
