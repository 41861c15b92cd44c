//! Keys and channels, and the digits that numbers are written in.
//!
//! All that a script touches lies in one slot of a Cluster. Customers are spread over sixteen *buckets*, one hash tag
//! each, so that one script settles many of them; the tags lie evenly over the slots.

use super::FactsKey;
use crate::domain::idempotency::Digest;

pub(super) const NODES: &str = "tg:nodes";
pub(super) const NEWS: &str = "tg:news";

/// The hash tags of the buckets: one in each sixteenth of a Cluster's slots. Part of the protocol.
const TAGS: [&str; 16] = [
    "04s", "15s", "26s", "37s", "40s", "51s", "62s", "73s", "83r", "92r", "aoo", "b1h", "c00", "d7h", "eko",
    "fy5",
];

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// So many codes fit in four digits.
pub(super) const CODES4: u32 = 36_u32.pow(4);

/// FNV-1a of 32 bits: the same on every node, in every version.
pub(super) fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The last `N` digits of a number in base 36.
pub(super) fn digits<const N: usize>(mut number: u64) -> [u8; N] {
    let mut text = [b'0'; N];
    for digit in text.iter_mut().rev() {
        *digit = usize::try_from(number % 36).map_or(b'0', |digit| DIGITS[digit]);
        number /= 36;
    }
    text
}

/// Digits of base 36 as text.
pub(super) fn text<const N: usize>(number: u64) -> String {
    digits::<N>(number).iter().copied().map(char::from).collect()
}

/// A number of digits of base 36.
pub(super) fn number(digits: &str) -> Option<u32> {
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| DIGITS.contains(&byte));
    is_plain.then(|| u32::from_str_radix(digits, 36).ok()).flatten()
}

pub(super) fn bucket(name: &str) -> u8 {
    (hash(name) % 16) as u8
}

fn tag(bucket: u8) -> &'static str {
    TAGS[usize::from(bucket % 16)]
}

pub(super) fn marker(bucket: u8) -> String {
    format!("tg:{{{}}}:g", tag(bucket))
}

/// The bucket of a marker's key.
pub(super) fn bucket_of_marker(key: &[u8]) -> Option<u8> {
    (0..16).find(|bucket| marker(*bucket).as_bytes() == key)
}

pub(super) fn customer(name: &str) -> String {
    format!("tg:{{{}}}:c:{name}", tag(bucket(name)))
}

/// Where facts are, and the bucket.
pub(super) fn facts(key: &FactsKey) -> (u8, String) {
    let (kind, name) = match key {
        FactsKey::Customer(name) => ('c', name),
        FactsKey::Stripe(name) => ('s', name),
    };
    let bucket = bucket(name);
    (bucket, format!("tg:{{{}}}:{kind}:{name}", tag(bucket)))
}

/// Whose a key is.
pub(super) fn whose(key: &[u8]) -> Option<FactsKey> {
    let (_, rest) = std::str::from_utf8(key).ok()?.strip_prefix("tg:{")?.split_once("}:")?;
    match rest.split_once(':')? {
        ("c", name) => Some(FactsKey::Customer(name.into())),
        ("s", name) => Some(FactsKey::Stripe(name.into())),
        _ => None,
    }
}

/// What a scan for facts looks for: in a bucket, or everywhere.
pub(super) fn pattern(bucket: Option<u8>) -> String {
    format!("tg:{{{}}}:[cs]:*", bucket.map_or("*", tag))
}

/// A node's unsent usage, and its fence.
pub(super) fn copy_and_fence(slot: u32) -> (String, String) {
    let slot = text::<4>(slot.into());
    (format!("tg:{{u{slot}}}:x"), format!("tg:{{u{slot}}}:f"))
}

pub(super) fn claim(what: &str) -> String {
    format!("tg:e:{what}")
}

pub(super) fn ticket(id: &str) -> String {
    format!("tg:t:{id}")
}

/// An idempotency key, with the bucket of its customer.
pub(super) fn charged(customer: &str, key: Digest) -> (u8, String) {
    let bucket = bucket(customer);
    (bucket, format!("tg:{{{}}}:k:{customer}:{:032x}", tag(bucket), u128::from_be_bytes(key.0)))
}

/// Stripe's reports on meter events, by their events.
pub(super) const REPORTS: &str = "tg:reports";

pub(super) fn answers(question: &str) -> String {
    format!("tg:a:{question}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crc16(text: &str) -> u16 {
        text.bytes().fold(0, |crc, byte| {
            let shift = |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            (0..8).fold(crc ^ (u16::from(byte) << 8), shift)
        })
    }

    #[test]
    fn each_sixteenth_of_a_clusters_slots_has_one_bucket() {
        assert_eq!(crc16("123456789"), 0x31c3);
        let sixteenths: Vec<_> = TAGS.iter().map(|tag| crc16(tag) % 16_384 / 1_024).collect();
        assert_eq!(sixteenths, (0..16).collect::<Vec<_>>());
    }

    #[test]
    fn a_key_says_whose_it_is() {
        for key in [
            FactsKey::Customer("acme".into()),
            FactsKey::Customer("a}:c:{b, c;d\u{e9}".into()),
            FactsKey::Stripe("cus_1".into()),
        ] {
            let (in_bucket, name) = facts(&key);
            assert_eq!(whose(name.as_bytes()), Some(key), "{name}");
            assert!(name.starts_with(&marker(in_bucket)[..8]));
        }
        for no_key in ["", "tg:nodes", "tg:{04s}:g", "tg:{04s}:k:acme", "other:{04s}:c:acme"] {
            assert_eq!(whose(no_key.as_bytes()), None, "{no_key}");
        }
        assert_eq!(whose(b"tg:{04s}:c:\xff"), None);
    }

    #[test]
    fn digits_compare_as_numbers_do() {
        let numbers = [0, 1, 35, 36, 1_295, 1_296, 1_763_679_600_000];
        let texts: Vec<_> = numbers.iter().map(|number| digits::<8>(*number)).collect();
        assert!(texts.is_sorted());
        assert_eq!(text::<4>(u64::from(CODES4) - 1), "zzzz");
        assert_eq!(number("zzzz"), Some(CODES4 - 1));
        for no_number in ["", "+1", "A", "zzzzzzzz", " 1"] {
            assert_eq!(number(no_number), None, "{no_number}");
        }
    }
}
