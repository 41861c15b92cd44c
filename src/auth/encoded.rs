//! A token's text in its parts (RFC 7515, section 7.1), still encoded.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Reason;

/// The parts of a token; together they are the whole of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded<'a> {
    pub header: &'a str,
    pub claims: &'a str,
    pub signature: &'a str,
    /// What is signed: header and claims as they stand.
    pub signed: &'a str,
}

impl<'a> Encoded<'a> {
    /// # Errors
    /// When these are not three parts, with a dot between each two.
    pub fn split(token: &'a str) -> Result<Self, Reason> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Reason::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Reason::Malformed)?;
        if claims.contains('.') {
            return Err(Reason::Malformed);
        }
        Ok(Self { header, claims, signature, signed })
    }
}

/// Decodes a part into `room`, in place of what is there.
///
/// # Errors
/// When it is not base64 for URLs, without padding and without bits to spare.
pub fn decode<'r>(part: &str, room: &'r mut Vec<u8>) -> Result<&'r [u8], Reason> {
    room.clear();
    URL_SAFE_NO_PAD.decode_vec(part, room).map_err(|_| Reason::Malformed)?;
    Ok(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_three_parts_and_the_first_two_are_signed() {
        let expected = Encoded { header: "a", claims: "b", signature: "c", signed: "a.b" };
        assert_eq!(Encoded::split("a.b.c"), Ok(expected));
        for text in ["", "a", "a.b", "a.b.c.d", "..."] {
            assert_eq!(Encoded::split(text), Err(Reason::Malformed), "{text}");
        }
    }

    #[test]
    fn a_part_has_one_spelling_only() {
        let mut room = b"left over".to_vec();
        assert_eq!(decode("_-8", &mut room), Ok(&[0xff, 0xef][..]));
        for part in ["_-9", "_-8=", "/+8", "_-8\n", "_", "_-8."] {
            assert_eq!(decode(part, &mut room), Err(Reason::Malformed), "{part}");
        }
    }
}
