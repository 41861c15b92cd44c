//! API keys, as nodes tell them to each other: each gets to know all of them, and none of them the key itself.

use super::Entry;
use super::bodies::{optional, read_optional};
use super::wire::{Reader, Writer};

const REVOKED: u8 = 1;

/// What is known of a key. Its id is the entry's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// SHA-256 over its text.
    pub digest: [u8; 32],
    /// For people.
    pub name: String,
    /// `None`: everything.
    pub scopes: Option<Vec<String>>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
    /// The id of the one that was made in its place.
    pub replaced_by: Option<String>,
}

impl ApiKey {
    pub fn write(&self) -> Box<[u8]> {
        let mut written = Writer::default();
        written.byte(if self.revoked_at.is_some() { REVOKED } else { 0 });
        written.0.extend_from_slice(&self.digest);
        written.signed(self.created_at);
        optional(&mut written, self.expires_at);
        optional(&mut written, self.revoked_at);
        written.text(self.replaced_by.as_deref().unwrap_or_default());
        written.text(&self.name);
        match &self.scopes {
            None => written.number(0),
            Some(scopes) => {
                written.number(scopes.len() as u64 + 1);
                for scope in scopes {
                    written.text(scope);
                }
            }
        }
        written.0.into()
    }

    pub fn read(body: &[u8]) -> Option<Self> {
        let mut read = Reader(body);
        read.byte()?;
        let digest = read.take(32)?.try_into().ok()?;
        let created_at = read.signed()?;
        let expires_at = read_optional(&mut read).ok()?;
        let revoked_at = read_optional(&mut read).ok()?;
        let replaced_by = Some(read.text()?.to_owned()).filter(|id| !id.is_empty());
        let name = read.text()?.to_owned();
        let scopes = match read.number()? {
            0 => None,
            more => Some((1..more).map(|_| Some(read.text()?.to_owned())).collect::<Option<_>>()?),
        };
        Some(Self { digest, name, scopes, created_at, expires_at, revoked_at, replaced_by })
    }
}

/// One that is revoked stays so, whatever was said of it later by who did not know.
pub(super) fn rank(entry: &Entry) -> (bool, u64, Option<&[u8]>) {
    let body = entry.body.as_deref();
    (body.is_none_or(|body| body.first() == Some(&REVOKED)), entry.at, body)
}

#[cfg(test)]
mod tests {
    use super::super::{Entries, Kind};
    use super::*;

    fn key() -> ApiKey {
        ApiKey {
            digest: [7; 32],
            name: "of the shop".into(),
            scopes: Some(vec!["read".into(), "write".into()]),
            created_at: 1_800_000_000,
            expires_at: Some(1_900_000_000),
            revoked_at: None,
            replaced_by: None,
        }
    }

    #[test]
    fn a_key_is_read_as_it_was_written_and_nothing_else_is_one() {
        let plain = ApiKey { scopes: None, expires_at: None, ..key() };
        let none = ApiKey { scopes: Some(Vec::new()), ..key() };
        let revoked = ApiKey { revoked_at: Some(5), replaced_by: Some("12345678".into()), ..key() };
        for key in [key(), plain, none, revoked] {
            let body = key.write();
            assert_eq!(ApiKey::read(&body), Some(key));
            for cut in 0..body.len() {
                assert_eq!(ApiKey::read(&body[..cut]), None);
            }
        }
        let mut endless = ApiKey { scopes: None, ..key() }.write().to_vec();
        let last = endless.len() - 1;
        endless.splice(last.., [0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(ApiKey::read(&endless), None, "a number of scopes that cannot be there");
    }

    #[test]
    fn a_revoked_key_stays_revoked_in_whichever_order_it_is_heard_of() {
        let about = || (Kind::API_KEY, "12345678".to_owned());
        let revoked = Entry { at: 5, body: Some(ApiKey { revoked_at: Some(5), ..key() }.write()) };
        let later = Entry { at: 9, body: Some(ApiKey { expires_at: None, ..key() }.write()) };
        for order in [[&revoked, &later], [&later, &revoked]] {
            let mut known = Entries::default();
            for entry in order {
                known.put(about(), entry.clone());
            }
            assert_eq!(known.get(&about()), Some(&revoked));
        }
        let mut known = Entries::default();
        known.put(about(), later.clone());
        known.put(about(), Entry { at: 2, body: Some(key().write()) });
        assert_eq!(known.get(&about()), Some(&later), "of others the last holds");
    }

    #[test]
    fn a_key_is_told_until_it_has_expired_and_one_that_was_revoked_for_ever() {
        const DAY: u64 = 86_400;
        let about = || (Kind::API_KEY, "12345678".to_owned());
        let known = |key: &ApiKey| {
            let mut known = Entries::default();
            known.put(about(), Entry { at: 1, body: Some(key.write()) });
            known
        };
        let late = (1_900_000_000 + 41 * DAY) * 1_000_000;
        let revoked = ApiKey { revoked_at: Some(5), ..key() };
        for (key, kept) in [(key(), false), (ApiKey { expires_at: None, ..key() }, true), (revoked, true)] {
            let mut known = known(&key);
            known.prune(late);
            assert_eq!(known.get(&about()).is_some(), kept, "{key:?}");
        }
        assert_eq!(known(&key()).ends_at(), Some(1_900_000_000));
        assert_eq!(known(&ApiKey { expires_at: None, ..key() }).ends_at(), None);
    }
}
