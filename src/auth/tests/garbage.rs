//! No text of any shape panics or passes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixtures::*;

/// JSON of any shape, a few levels deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Headers and claims with some of their usual names, and anything in them.
fn any_object(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let entry = (prop::sample::select(names), any_json());
    prop::collection::vec(entry, 0..6).prop_map(|entries| {
        let entries = entries.into_iter().map(|(name, value)| (name.to_owned(), value));
        Value::Object(entries.collect())
    })
}

proptest! {
    #[test]
    fn any_text_is_refused(text in prop_oneof![
        ".{0,64}",
        "[A-Za-z0-9_.-]{0,64}",
        "eyJhbGciOiJIUzI1NiJ9\\.[A-Za-z0-9_-]{0,32}\\.[A-Za-z0-9_-]{0,43}",
        "\\.{0,5}",
    ]) {
        let local = Local::with_secret();
        prop_assert!(local.verify(&text).is_err());
        prop_assert!(local.0.remembered(&text, NOW).is_none());
    }

    #[test]
    fn any_signed_bytes_are_refused(
        header in prop::collection::vec(any::<u8>(), 0..64),
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let local = Local::with_secret();
        prop_assert!(local.verify(&forge(&header, &payload, SECRET)).is_err());
        let token = forge(br#"{"alg":"HS256"}"#, &payload, SECRET);
        prop_assert!(local.verify(&token).is_err());
    }

    #[test]
    fn odd_headers_never_panic(
        mut header in any_object(&["typ", "kid", "crit", "jwk", "jku", "x5c", "zip", "enc"]),
    ) {
        header["alg"] = json!("HS256");
        let _ = Local::with_secret().verify(&with_header(&header));
    }

    #[test]
    fn odd_claims_never_panic_and_only_whole_ones_pass(
        odd in any_object(&["iss", "aud", "sub", "exp", "nbf"]),
        now in any::<i64>(),
    ) {
        let mut all = claims();
        for (name, value) in odd.as_object().unwrap() {
            all[name] = value.clone();
        }
        let token = forge(br#"{"alg":"HS256"}"#, all.to_string().as_bytes(), SECRET);
        if let Ok(identity) = Local::with_secret().verify_at(&token, now) {
            prop_assert_eq!(Some(&*identity.customer), all["sub"].as_str());
            prop_assert_eq!(&all["iss"], "https://issuer.example");
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("{}{}", r#"{"sub":"#.repeat(1_000), "1}".repeat(1_000));
    let token = forge(br#"{"alg":"HS256"}"#, deep.as_bytes(), SECRET);
    assert!(Local::with_secret().verify(&token).is_err());
}
