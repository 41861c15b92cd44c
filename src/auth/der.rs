//! As much DER as a public key file needs: which kind of key it is, and how large.
//!
//! It reads the operator's file, never a caller's bytes. A length that does not add up reads as `None`.

/// Object identifiers, as they stand in DER.
pub const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
pub const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
pub const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
pub const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// A `SubjectPublicKeyInfo` (RFC 5280).
pub struct PublicKeyInfo<'a> {
    pub algorithm: &'a [u8],
    /// The named curve of an EC key.
    pub curve: Option<&'a [u8]>,
    pub key: &'a [u8],
}

pub fn read_spki(der: &[u8]) -> Option<PublicKeyInfo<'_>> {
    let (info, rest) = element(der, SEQUENCE)?;
    let (identifier, bits) = element(info, SEQUENCE)?;
    let (algorithm, parameters) = element(identifier, OBJECT_IDENTIFIER)?;
    let (bits, after) = element(bits, BIT_STRING)?;
    // A bit string begins with its number of unused bits; a key has none.
    let (&0, key) = bits.split_first()? else {
        return None;
    };
    (rest.is_empty() && after.is_empty()).then_some(PublicKeyInfo {
        algorithm,
        curve: element(parameters, OBJECT_IDENTIFIER).map(|(curve, _)| curve),
        key,
    })
}

/// The modulus of an `RSAPublicKey` (RFC 8017).
pub fn read_rsa_modulus(der: &[u8]) -> Option<&[u8]> {
    let (numbers, rest) = element(der, SEQUENCE)?;
    let (modulus, exponent) = element(numbers, INTEGER)?;
    let (_, after) = element(exponent, INTEGER)?;
    (rest.is_empty() && after.is_empty()).then_some(modulus)
}

/// The content of the element that `der` begins with, if it has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    if first != tag {
        return None;
    }
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => {
            let (length, rest) = rest.split_first_chunk::<1>()?;
            (usize::from(length[0]), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
