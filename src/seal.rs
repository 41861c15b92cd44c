//! Sealing: what lies on disk and is nobody's business there.
//!
//! `ChaCha20-Poly1305` under the SHA-256 of a configured secret. A sealed value is the key's id (4 bytes), a random
//! nonce (12) and the ciphertext with its tag. The context is authenticated, so that no value can be put in another's
//! place. The first key seals, all open: a key is rolled by putting a new one before it.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

const KEY_ID_BYTES: usize = 4;

pub struct Sealer {
    /// At least one.
    keys: Vec<Key>,
}

struct Key {
    id: [u8; KEY_ID_BYTES],
    key: LessSafeKey,
}

impl Sealer {
    /// None without a secret: then nothing can be sealed.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Option<Self> {
        let keys: Vec<Key> = secrets.into_iter().map(|secret| Key::new(secret.as_ref())).collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// None when the system has no randomness: better not kept than kept in the clear.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Option<Vec<u8>> {
        let Key { id, key } = self.keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut ciphertext = plain.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(unique, Aad::from(context), &mut ciphertext).ok()?;
        Some([&id[..], &nonce, &ciphertext].concat())
    }

    /// None unless it was sealed with one of the keys, in this context, and is unchanged.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = sealed.split_at_checked(KEY_ID_BYTES)?;
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN)?;
        self.keys.iter().filter(|key| key.id == id).find_map(|Key { key, .. }| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut opened = ciphertext.to_vec();
            let length = key.open_in_place(nonce, Aad::from(context), &mut opened).ok()?.len();
            opened.truncate(length);
            Some(opened)
        })
    }
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        let digest = Sha256::digest(secret);
        let key = UnboundKey::new(&CHACHA20_POLY1305, &digest).expect("a digest is as long as a key");
        let mut id = [0; KEY_ID_BYTES];
        // Of the key's hash: it tells nothing of the key.
        id.copy_from_slice(&Sha256::digest(digest)[..KEY_ID_BYTES]);
        Self { id, key: LessSafeKey::new(key) }
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({} keys)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "an old secret of thirty-two bytes";
    const NEW: &str = "a newer secret of thirty-two bytes";

    fn sealer(secrets: &[&str]) -> Sealer {
        Sealer::new(secrets).expect("a key")
    }

    #[test]
    fn what_is_sealed_opens_and_does_not_show() {
        let keys = sealer(&[NEW]);
        let sealed = keys.seal("inbox:evt_1", b"jane@example.com").expect("seals");
        assert!(!sealed.windows(4).any(|window| window == b"jane"));
        assert_eq!(keys.open("inbox:evt_1", &sealed).as_deref(), Some(&b"jane@example.com"[..]));
        assert_ne!(
            keys.seal("inbox:evt_1", b"jane@example.com"),
            Some(sealed),
            "each has a nonce of its own"
        );
    }

    #[test]
    fn a_changed_byte_another_context_or_another_key_opens_nothing() {
        let sealed = sealer(&[NEW]).seal("inbox:evt_1", b"body").expect("seals");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealer(&[NEW]).open("inbox:evt_1", &changed), None, "byte {at}");
            assert_eq!(sealer(&[NEW]).open("inbox:evt_1", &sealed[..at]), None, "{at} bytes");
        }
        assert_eq!(sealer(&[NEW]).open("inbox:evt_2", &sealed), None);
        assert_eq!(sealer(&[OLD]).open("inbox:evt_1", &sealed), None);
    }

    #[test]
    fn a_rolled_key_still_opens_what_it_sealed_and_the_first_one_seals() {
        let before = sealer(&[OLD]).seal("x", b"body").expect("seals");
        let rolled = sealer(&[NEW, OLD]);
        assert_eq!(rolled.open("x", &before).as_deref(), Some(&b"body"[..]));
        let after = rolled.seal("x", b"body").expect("seals");
        assert_eq!(sealer(&[NEW]).open("x", &after).as_deref(), Some(&b"body"[..]));
        assert!(Sealer::new([""; 0]).is_none());
    }
}
