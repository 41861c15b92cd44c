//! Names and values of form-encoded pairs.

use super::error::ApiError;

const MAX_DEPTH: usize = 12;

pub fn malformed(what: &str) -> ApiError {
    ApiError::parameter("", "parameter_invalid", format!("Invalid request body: {what}."))
}

/// `a[b][]` as `["a", "b", ""]`.
pub fn split_name(name: &str) -> Result<Vec<&str>, ApiError> {
    let Some((head, rest)) = name.split_once('[') else {
        return Ok(vec![name]);
    };
    let rest = rest.strip_suffix(']').ok_or_else(|| malformed("an unclosed bracket"))?;
    let path: Vec<&str> = std::iter::once(head).chain(rest.split("][")).collect();
    if path.len() > MAX_DEPTH {
        return Err(malformed("too deep a nesting"));
    }
    Ok(path)
}

/// Undoes form encoding; `None` if an escape is broken or the result is not UTF-8.
pub fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (hex_digit(rest.next()?)?, hex_digit(rest.next()?)?);
                high * 16 + low
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_at_its_brackets() {
        assert_eq!(split_name("a[b][0][]").expect("splits"), ["a", "b", "0", ""]);
        assert_eq!(split_name("a").expect("splits"), ["a"]);
        assert!(split_name("a[b").is_err());
        assert!(split_name(&format!("a{}", "[b]".repeat(MAX_DEPTH))).is_err());
    }

    #[test]
    fn escapes_and_plus_signs_are_undone() {
        assert_eq!(unescape("v+w%21%C3%A9").as_deref(), Some("v w!\u{e9}"));
        for broken in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(unescape(broken), None, "{broken}");
        }
    }
}
