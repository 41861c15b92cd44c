//! A token's claims as they stand in it: JSON, whose texts are borrowed from the decoded token.
//!
//! An object that names a member twice is refused, at any depth: issuers and parsers disagree about which one counts.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

/// Most tokens have no more claims; more take more room.
const USUAL_MEMBERS: usize = 8;

/// The value of a claim.
#[derive(Debug, PartialEq)]
pub enum Claim<'a> {
    Null,
    Flag(bool),
    Whole(i64),
    /// Also what is whole and beyond an `i64`.
    Fraction(f64),
    Text(Cow<'a, str>),
    List(Vec<Claim<'a>>),
    Object(Claims<'a>),
}

/// An object's members; no two have the same name.
#[derive(Debug, Default, PartialEq)]
pub struct Claims<'a>(Vec<(Name<'a>, Claim<'a>)>);

type Name<'a> = Cow<'a, str>;

impl<'a> Claims<'a> {
    /// Reads a token's decoded claims.
    ///
    /// # Errors
    /// When they are not one JSON object.
    pub fn parse(decoded: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(decoded).ok()?;
        match serde_json::from_str(text).ok()? {
            Claim::Object(claims) => Some(claims),
            _ => None,
        }
    }

    pub fn get(&self, name: &str) -> Option<&Claim<'a>> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    fn names_one_twice(&self) -> bool {
        let mut names: SmallVec<[&str; 2 * USUAL_MEMBERS]> = self.0.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable_by_key(|name| (name.len(), *name));
        names.windows(2).any(|pair| pair[0] == pair[1])
    }
}

impl<'a> Claim<'a> {
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_object(&self) -> Option<&Claims<'a>> {
        match self {
            Self::Object(claims) => Some(claims),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Claim<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyClaim)
    }
}

struct AnyClaim;

impl<'de> Visitor<'de> for AnyClaim {
    type Value = Claim<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Claim<'de>, E> {
        Ok(Claim::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Claim<'de>, E> {
        Ok(Claim::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Claim<'de>, E> {
        Ok(Claim::Whole(number))
    }

    #[expect(clippy::cast_precision_loss, reason = "dates so far away are only compared with near ones")]
    fn visit_u64<E>(self, number: u64) -> Result<Claim<'de>, E> {
        Ok(i64::try_from(number).map_or(Claim::Fraction(number as f64), Claim::Whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Claim<'de>, E> {
        Ok(Claim::Fraction(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Claim<'de>, E> {
        Ok(Claim::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Claim<'de>, E> {
        Ok(Claim::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Claim<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Claim::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Claim<'de>, A::Error> {
        let mut claims = Claims(Vec::with_capacity(USUAL_MEMBERS));
        while let Some((name, value)) = members.next_entry::<Claim<'de>, Claim<'de>>()? {
            let Claim::Text(name) = name else { return Err(de::Error::custom("a name is a text")) };
            claims.0.push((name, value));
        }
        if claims.names_one_twice() {
            return Err(de::Error::custom("a name stands twice"));
        }
        Ok(Claim::Object(claims))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Claims<'_>> {
        Claims::parse(text.as_bytes())
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let text = r#"{"n":null,"b":true,"i":-7,"u":18446744073709551615,"f":1.5,"t":"a\nb","l":[1,"x"],"o":{"":2}}"#;
        let claims = parse(text).unwrap();
        let list = Claim::List(vec![Claim::Whole(1), Claim::Text("x".into())]);
        for (name, expected) in [
            ("n", Claim::Null),
            ("b", Claim::Flag(true)),
            ("i", Claim::Whole(-7)),
            ("u", Claim::Fraction(18_446_744_073_709_551_615.0)),
            ("f", Claim::Fraction(1.5)),
            ("t", Claim::Text("a\nb".into())),
            ("l", list),
            ("o", Claim::Object(Claims(vec![("".into(), Claim::Whole(2))]))),
        ] {
            assert_eq!(claims.get(name), Some(&expected), "{name}");
        }
        assert_eq!(claims.get("x"), None);
    }

    #[test]
    fn texts_without_escapes_are_not_copied() {
        let claims = parse(r#"{"sub":"acme"}"#).unwrap();
        assert!(matches!(claims.0[..], [(Cow::Borrowed("sub"), Claim::Text(Cow::Borrowed("acme")))]));
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_at_any_depth_and_in_any_spelling() {
        let many: Vec<_> = (0..100).map(|number| format!("\"{number}\":0,")).collect();
        let many = many.concat();
        for text in [
            r#"{"sub":"a","sub":"b"}"#,
            r#"{"sub":"a","exp":1,"sub":"a"}"#,
            r#"{"sub":"a","s\u0075b":"b"}"#,
            r#"{"org":{"id":1,"id":1}}"#,
            r#"{"list":[{"":1,"":1}]}"#,
            &format!(r#"{{{many}"7":0}}"#),
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(parse(&format!(r#"{{{many}"100":0}}"#)).is_some());
    }

    #[test]
    fn only_one_whole_object_is_read() {
        for text in
            ["", "1", "[]", "\"{}\"", "{", "{}{}", "{} x", r#"{"a":1e999}"#, r#"{"a":"\ud800"}"#, "{1:2}"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(Claims::parse(b"{\"a\":\"\xff\"}"), None);
        let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
        assert_eq!(parse(&deep), None, "deeper than any parser should go");
        assert_eq!(parse(" {} "), Some(Claims::default()));
    }
}
