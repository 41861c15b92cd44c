//! The text of a key: `PREFIX_ID_SECRET`.
//!
//! The id says which key it is meant to be, and is no secret. The secret has 43 letters and digits: more than 256
//! random bits. So a digest of one round is enough to store: nobody can try that many, however quick each is.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const ID: usize = 8;
const SECRET: usize = 43;
const LONGEST_PREFIX: usize = 64;
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Which key: eight letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; ID]);

/// A key that was just made: shown once, and kept nowhere.
pub struct NewKey {
    pub id: KeyId,
    text: String,
}

/// What is kept of a key: SHA-256 over its whole text.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

/// A text that may be a key, unverified.
pub struct Presented<'a> {
    pub id: KeyId,
    text: &'a [u8],
}

impl NewKey {
    /// A random one.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn random(prefix: &str) -> Result<Self, getrandom::Error> {
        let mut letters = [0; ID + SECRET];
        fill(&mut letters)?;
        let (id, secret) = letters.split_at(ID);
        let text = |letters: &[u8]| letters.iter().copied().map(char::from).collect::<String>();
        let text = format!("{prefix}_{}_{}", text(id), text(secret));
        let mut own = [0; ID];
        own.copy_from_slice(id);
        Ok(Self { id: KeyId(own), text })
    }

    /// For the one who is to use it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(self.text.as_bytes())
    }
}

/// Fills with letters and digits, each as likely as another: bytes beyond the last whole 62 are thrown away.
fn fill(letters: &mut [u8]) -> Result<(), getrandom::Error> {
    let mut filled = 0;
    let mut random = [0_u8; 2 * (ID + SECRET)];
    while filled < letters.len() {
        getrandom::fill(&mut random)?;
        let fair = random.iter().filter(|byte| usize::from(**byte) < 256 / LETTERS.len() * LETTERS.len());
        for (place, byte) in letters[filled..].iter_mut().zip(fair) {
            *place = LETTERS[usize::from(*byte) % LETTERS.len()];
            filled += 1;
        }
    }
    Ok(())
}

impl<'a> Presented<'a> {
    /// None where it cannot be a key. No JWT can: it has dots.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let prefix = text.len().checked_sub(ID + SECRET + 2)?;
        if !(1..=LONGEST_PREFIX).contains(&prefix) {
            return None;
        }
        let (head, secret) = text.split_at(text.len() - SECRET);
        let (head, id) = head.strip_suffix(b"_")?.split_at(prefix + 1);
        let plain = |text: &[u8]| text.iter().all(u8::is_ascii_alphanumeric);
        let is_key = plain(head.strip_suffix(b"_")?) && plain(id) && plain(secret);
        let id = KeyId(id.try_into().ok()?);
        is_key.then_some(Self { id, text })
    }

    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(self.text)
    }
}

impl KeyId {
    /// None where it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let id: [u8; ID] = text.as_bytes().try_into().ok()?;
        id.iter().all(u8::is_ascii_alphanumeric).then_some(Self(id))
    }

    /// Where among so many it belongs.
    pub(super) fn place(self, places: usize) -> usize {
        self.0.iter().fold(0, |sum, byte| sum * 31 + usize::from(*byte)) % places
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewKey({})", self.id)
    }
}

impl KeyDigest {
    fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Takes as long wherever they differ.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// It says nothing of the key, and is nobody's business all the same.
impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<String> {
        Presented::parse(text.as_bytes()).map(|key| key.id.to_string())
    }

    #[test]
    fn a_new_key_is_read_back_and_its_debug_tells_only_its_id() {
        let key = NewKey::random("tgk").unwrap();
        let (text, id) = (key.expose(), key.id.to_string());
        assert_eq!(text.len(), 3 + 1 + 8 + 1 + 43);
        assert!(text.starts_with(&format!("tgk_{id}_")), "{text}");
        let read = Presented::parse(text.as_bytes()).unwrap();
        assert_eq!(read.id, key.id);
        assert!(read.digest().is(&key.digest()));
        assert_eq!(KeyId::parse(&id), Some(key.id));
        assert_eq!(format!("{key:?} {:?}", key.digest()), format!("NewKey({id}) KeyDigest"));
        let other = NewKey::random("tgk").unwrap();
        assert!(!other.digest().is(&key.digest()));
    }

    #[test]
    fn every_letter_comes_and_nothing_else_does() {
        let mut letters = vec![0; 62 * 100];
        fill(&mut letters).unwrap();
        assert!(LETTERS.iter().all(|letter| letters.contains(letter)));
        assert!(letters.iter().all(u8::is_ascii_alphanumeric));
    }

    #[test]
    fn only_three_parts_of_letters_and_digits_are_a_key() {
        let secret = "s".repeat(43);
        assert_eq!(parse(&format!("tgk_12345678_{secret}")), Some("12345678".into()));
        assert_eq!(parse(&format!("{}_12345678_{secret}", "p".repeat(64))), Some("12345678".into()));
        for odd in [
            "",
            "tgk",
            &format!("tgk_1234567_{secret}"),
            &format!("_12345678_{secret}"),
            &format!("tgk_12345678_{secret}s"),
            &format!("tgk_12345678_{}", "s".repeat(42)),
            &format!("tgk_123_5678_{secret}"),
            &format!("t.k_12345678_{secret}"),
            &format!("tgk-12345678_{secret}"),
            &format!("tgk_12345678-{secret}"),
            &format!("tgk_12345678_{}é", "s".repeat(41)),
            &format!("{}_12345678_{secret}", "p".repeat(65)),
        ] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}
