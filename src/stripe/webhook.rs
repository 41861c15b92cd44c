//! `Stripe-Signature`: proof that a webhook's body is Stripe's, byte for byte, and recent.
//!
//! The header is `t=SECONDS,v1=HEX,…`; a v1 is HMAC-SHA256 of `SECONDS.BODY` under an endpoint's secret. While a
//! secret is being rolled there are several v1 here and several secrets there: any pair may match. Every other
//! scheme is ignored. Comparison takes constant time; an empty secret matches nothing.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::secret::Secret;

/// How far a signature's time may be from ours, either way.
pub const TOLERANCE_SECONDS: u64 = 300;

/// More signatures than Stripe ever sends; the rest is not looked at.
const MOST_SIGNATURES: usize = 16;

/// Why a webhook is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the signature header has no time or no v1 signature")]
    Malformed,
    #[error("no signature matches the body under any of the webhook secrets")]
    NoMatch,
    #[error("the signature's time is {off_seconds} s from ours")]
    Untimely { off_seconds: u64 },
}

type Tag = [u8; 32];

/// Checks `body`, exactly as it was received, against the header `Stripe-Signature`; `now` is in seconds since
/// the Unix epoch.
///
/// # Errors
/// The body was not signed by Stripe, or not recently.
pub fn verify(
    header: &str,
    body: &[u8],
    secrets: &[Secret],
    now: i64,
    tolerance_seconds: u64,
) -> Result<(), SignatureError> {
    let (time, tags) = parse(header).ok_or(SignatureError::Malformed)?;
    let signed_at: i64 = time.parse().map_err(|_| SignatureError::Malformed)?;
    if !secrets.iter().any(|secret| is_signed(time, body, secret, &tags)) {
        return Err(SignatureError::NoMatch);
    }
    let off_seconds = now.abs_diff(signed_at);
    if off_seconds > tolerance_seconds {
        return Err(SignatureError::Untimely { off_seconds });
    }
    Ok(())
}

/// The header for a body, as Stripe makes it: for handlers that check what comes from us as they check Stripe.
pub fn sign(body: &[u8], secret: &Secret, now: i64) -> String {
    let tag = mac(&now.to_string(), body, secret).finalize().into_bytes();
    format!("t={now},v1={tag:x}")
}

/// When a header says that it was made.
pub fn signed_at(header: &str) -> Option<i64> {
    parse(header)?.0.parse().ok()
}

/// The time as it was written (it is part of what is signed) and every v1.
fn parse(header: &str) -> Option<(&str, Vec<Tag>)> {
    let mut time = None;
    let mut tags = Vec::new();
    for (scheme, value) in header.split(',').filter_map(|part| part.split_once('=')) {
        match scheme {
            "t" if time.is_none() => time = Some(value),
            "v1" if tags.len() < MOST_SIGNATURES => tags.extend(decode(value)),
            _ => {}
        }
    }
    (!tags.is_empty()).then_some((time?, tags))
}

fn is_signed(time: &str, body: &[u8], secret: &Secret, tags: &[Tag]) -> bool {
    let mac = mac(time, body, secret);
    // No short cut: every signature is compared.
    let matches = tags.iter().filter(|tag| mac.clone().verify_slice(*tag).is_ok()).count();
    matches > 0 && !secret.expose().is_empty()
}

fn mac(time: &str, body: &[u8], secret: &Secret) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

/// Lower-case hex of exactly one tag.
fn decode(hex: &str) -> Option<Tag> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut tag = Tag::default();
    if hex.len() != 2 * tag.len() {
        return None;
    }
    for (byte, pair) in tag.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(tag)
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
