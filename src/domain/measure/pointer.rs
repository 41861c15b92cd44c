//! JSON Pointers (RFC 6901): places in a document.

use std::fmt;

/// A pointer to a value inside a document, such as `/usage/total_tokens`; never the whole document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Box<[Box<str>]>);

/// Deeper places are nobody's usage.
const MOST_TOKENS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    #[error("the pointer must start with a slash")]
    NoSlash,
    #[error("a tilde must be followed by 0 or 1")]
    Tilde,
    #[error("the pointer has more than {MOST_TOKENS} parts")]
    Deep,
}

impl Pointer {
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        let tokens = text.strip_prefix('/').ok_or(PointerError::NoSlash)?;
        let tokens: Box<[Box<str>]> = tokens.split('/').map(unescaped).collect::<Result<_, _>>()?;
        if tokens.len() > MOST_TOKENS {
            return Err(PointerError::Deep);
        }
        Ok(Self(tokens))
    }

    /// The names of members, or the positions of elements, from the root down; at least one.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.0.iter().map(|token| &**token)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}

fn unescaped(token: &str) -> Result<Box<str>, PointerError> {
    let mut parts = token.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escaped, rest) = part.split_at_checked(1).ok_or(PointerError::Tilde)?;
        text.push(match escaped {
            "0" => '~',
            "1" => '/',
            _ => return Err(PointerError::Tilde),
        });
        text.push_str(rest);
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_written_as_it_was_read() {
        for (text, tokens) in [
            ("/usage/total_tokens", &["usage", "total_tokens"][..]),
            ("/", &[""]),
            ("/a//0", &["a", "", "0"]),
            ("/a~1b/m~0n~01", &["a/b", "m~n~1"]),
        ] {
            let pointer = Pointer::parse(text).expect(text);
            assert_eq!(pointer.tokens().collect::<Vec<_>>(), tokens);
            assert_eq!(pointer.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for (text, error) in [
            ("", PointerError::NoSlash),
            ("usage", PointerError::NoSlash),
            ("/a~", PointerError::Tilde),
            ("/a~2", PointerError::Tilde),
            ("/~é", PointerError::Tilde),
        ] {
            assert_eq!(Pointer::parse(text), Err(error), "{text}");
        }
        assert_eq!(Pointer::parse(&"/a".repeat(17)), Err(PointerError::Deep));
        assert!(Pointer::parse(&"/a".repeat(16)).is_ok());
    }
}
