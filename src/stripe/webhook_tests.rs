use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_790_000_000;
const BODY: &str = r#"{"id":"evt_1","type":"invoice.paid","note":"café"}"#;
/// Tags of `"1790000000." + BODY`, computed by Python's `hmac` module.
const BY_FIRST: &str = "93c277cb7b8302410ff271725761f7f9512485f4081151c7548089929ed8afad";
const BY_SECOND: &str = "f67b7359345948cb7bb6eb260f831a15c865008e9c7b0ba195cfc3460f31f933";
const BY_EMPTY: &str = "8df6380da5bc39ee7eb6b89bcc31829ad15003052a4185ec90097527b9399fb0";

fn secrets() -> Vec<Secret> {
    vec![Secret::new("whsec_first"), Secret::new("whsec_second")]
}

fn check(header: &str, body: &[u8]) -> Result<(), SignatureError> {
    verify(header, body, &secrets(), NOW, TOLERANCE_SECONDS)
}

fn signed_at(time: &str) -> String {
    let tag = mac(time, BODY.as_bytes(), &secrets()[0]).finalize().into_bytes();
    format!("t={time},v1={tag:x}")
}

#[test]
fn what_is_signed_here_is_what_stripe_would_sign() {
    assert_eq!(sign(BODY.as_bytes(), &secrets()[0], NOW), format!("t={NOW},v1={BY_FIRST}"));
    assert_eq!(super::signed_at(&format!("v1={BY_FIRST},t={NOW}")), Some(NOW));
    assert_eq!(super::signed_at("t=soon"), None);
}

#[test]
fn any_v1_under_any_secret_verifies() {
    for header in [
        format!("t={NOW},v1={BY_FIRST}"),
        format!("t={NOW},v1={BY_SECOND}"),
        format!("t={NOW},v1={},v1={BY_SECOND}", "0".repeat(64)),
        format!("v1={BY_FIRST},t={NOW}"),
        format!("t={NOW},v0=fake,v2,v1={BY_FIRST},,=,later=scheme"),
    ] {
        assert_eq!(check(&header, BODY.as_bytes()), Ok(()), "{header}");
    }
}

#[test]
fn a_body_need_not_be_text() {
    let tag = "359c98a8cd02cacef078ad44d74882e3e50940549153d0cac4f984afc1c2f122";
    assert_eq!(check(&format!("t={NOW},v1={tag}"), b"\xff\x00"), Ok(()));
}

#[test]
fn other_schemes_prove_nothing() {
    for scheme in ["v0", "v2", "V1", " v1", "v1 "] {
        let header = format!("t={NOW},{scheme}={BY_FIRST}");
        assert_eq!(check(&header, BODY.as_bytes()), Err(SignatureError::Malformed), "{header}");
    }
}

#[test]
fn the_time_as_written_is_what_is_signed() {
    let tag = "b08685752f7f6c1b796c8574d5e23549323aae9dd2c08419e4c639e88bdc8d88"; // of 01790000000
    assert_eq!(check(&format!("t=0{NOW},v1={tag}"), BODY.as_bytes()), Ok(()));
    let other = check(&format!("t={NOW},v1={tag}"), BODY.as_bytes());
    assert_eq!(other, Err(SignatureError::NoMatch));
}

#[test]
fn an_empty_secret_and_no_secret_match_nothing() {
    let header = format!("t={NOW},v1={BY_EMPTY}");
    for secrets in [vec![Secret::new("")], vec![]] {
        let result = verify(&header, BODY.as_bytes(), &secrets, NOW, TOLERANCE_SECONDS);
        assert_eq!(result, Err(SignatureError::NoMatch));
    }
}

#[test]
fn five_minutes_either_way_are_tolerated_and_no_second_more() {
    for off in [-300, -1, 0, 1, 300] {
        let header = signed_at(&(NOW + off).to_string());
        assert_eq!(check(&header, BODY.as_bytes()), Ok(()), "{off}");
    }
    for off in [-301, 301] {
        let header = signed_at(&(NOW + off).to_string());
        let untimely = Err(SignatureError::Untimely { off_seconds: 301 });
        assert_eq!(check(&header, BODY.as_bytes()), untimely, "{off}");
    }
}

#[test]
fn times_at_the_edge_of_their_type_do_not_overflow() {
    for time in [i64::MIN, i64::MAX] {
        let header = signed_at(&time.to_string());
        let result = verify(&header, BODY.as_bytes(), &secrets(), -time.saturating_add(1), 300);
        assert!(matches!(result, Err(SignatureError::Untimely { .. })), "{result:?}");
    }
}

#[test]
fn a_header_without_time_or_signature_is_malformed() {
    for header in [
        String::new(),
        "t=,v1=".to_owned(),
        format!("v1={BY_FIRST}"),
        format!("t={NOW}"),
        format!("t=soon,v1={BY_FIRST}"),
        format!("t={NOW},v1={}", &BY_FIRST[1..]),
        format!("t={NOW},v1={BY_FIRST}0"),
        format!("t={NOW},v1={}", BY_FIRST.to_uppercase()),
        format!("t={NOW},v1={}", "é".repeat(32)),
    ] {
        assert_eq!(check(&header, BODY.as_bytes()), Err(SignatureError::Malformed), "{header}");
    }
}

proptest! {
    #[test]
    fn a_changed_byte_of_the_body_never_verifies(at in 0..BODY.len(), change in 1_u8..) {
        let mut body = BODY.as_bytes().to_vec();
        body[at] ^= change;
        let result = check(&format!("t={NOW},v1={BY_FIRST}"), &body);
        prop_assert_eq!(result, Err(SignatureError::NoMatch));
    }

    #[test]
    fn a_changed_character_of_the_header_never_verifies(at: prop::sample::Index, to: char) {
        let header = format!("t={NOW},v1={BY_FIRST}");
        let at = at.index(header.len());
        let changed = format!("{}{to}{}", &header[..at], &header[at + 1..]);
        prop_assume!(changed != header);
        prop_assert!(check(&changed, BODY.as_bytes()).is_err(), "{}", changed);
    }

    #[test]
    fn a_cut_body_never_verifies(length in 0..BODY.len()) {
        let header = format!("t={NOW},v1={BY_FIRST}");
        prop_assert!(check(&header, &BODY.as_bytes()[..length]).is_err());
    }

    #[test]
    fn garbage_is_refused_without_a_panic(header: String, body: Vec<u8>, now: i64, tolerance: u64) {
        prop_assert!(verify(&header, &body, &secrets(), now, tolerance).is_err());
    }

    #[test]
    fn almost_headers_are_refused_without_a_panic(header in "(t|v1|v0)=[0-9a-f-]{0,70}(,(t|v1)=[0-9a-f]{0,70}){0,5}") {
        prop_assert!(check(&header, BODY.as_bytes()).is_err());
    }
}
