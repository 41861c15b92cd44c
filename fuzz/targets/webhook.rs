//! No signature's header and no event's body panic, nothing that we did not sign passes, and what we signed does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::stripe::{Event, Secret, TOLERANCE_SECONDS, sign, signed_at, verify};

const NOW: i64 = 1_800_000_000;

fuzz_target!(|input: (&str, &[u8])| {
    let (header, body) = input;
    let secret = Secret::new("whsec_only_for_fuzzing");
    let secrets = std::slice::from_ref(&secret);
    assert!(verify(header, body, secrets, NOW, TOLERANCE_SECONDS).is_err(), "a forged signature passed");
    let _ = signed_at(header);
    let _ = Event::read(body);
    let signed = sign(body, &secret, NOW);
    verify(&signed, body, secrets, NOW, TOLERANCE_SECONDS).expect("what we signed");
});
