//! How facts are written: numbers in as many bytes as they need, Stripe's ids in six bits a character.

/// The characters of Stripe's ids, behind their prefix.
const LETTERS: &[u8; 63] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
const LETTER_BITS: u32 = 6;
/// A text as it is; otherwise the number, from 1, of the prefix that was cut from it.
const PLAIN: u64 = 0;

#[derive(Default)]
pub(super) struct Writer(pub Vec<u8>);

impl Writer {
    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Seven bits a byte, the lowest first.
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
            number >>= 7;
        }
        self.byte(u8::try_from(number).unwrap_or(0));
    }

    /// Small ones of either sign are short.
    pub fn signed(&mut self, number: i64) {
        self.number((number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// At most three prefixes.
    pub fn id(&mut self, id: &str, prefixes: &[&str]) {
        let cut = |(at, prefix): (usize, &&str)| Some((at as u64 + 1, packed(id.strip_prefix(*prefix)?)?));
        if let Some((prefix, (letters, bytes))) = prefixes.iter().enumerate().find_map(cut) {
            self.number(letters << 2 | prefix);
            self.0.extend(bytes);
        } else {
            self.number((id.len() as u64) << 2 | PLAIN);
            self.0.extend_from_slice(id.as_bytes());
        }
    }
}

/// How many letters, and their bits; `None` if there is another character.
fn packed(text: &str) -> Option<(u64, Vec<u8>)> {
    let (mut bytes, mut bits, mut filled) = (Vec::with_capacity(text.len()), 0_u32, 0);
    for letter in text.bytes() {
        let code = LETTERS.iter().position(|known| *known == letter)?;
        bits = bits << LETTER_BITS | u32::try_from(code).ok()?;
        filled += LETTER_BITS;
        while filled >= 8 {
            filled -= 8;
            bytes.push(u8::try_from(bits >> filled & 0xff).ok()?);
        }
    }
    if filled > 0 {
        bytes.push(u8::try_from(bits << (8 - filled) & 0xff).ok()?);
    }
    Some((text.len() as u64, bytes))
}

/// Reads what was written; `None` where it is something else.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.number()?;
        self.take(count)
    }

    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub fn id(&mut self, prefixes: &[&str]) -> Option<String> {
        let head = self.number()?;
        let (letters, prefix) = (head >> 2, head & 3);
        if prefix == PLAIN {
            return String::from_utf8(self.take(letters)?.to_vec()).ok();
        }
        let prefix = prefixes.get(usize::try_from(prefix - 1).ok()?)?;
        let bytes = self.take(letters.checked_mul(u64::from(LETTER_BITS))?.div_ceil(8))?;
        let mut id = String::from(*prefix);
        let (mut bits, mut filled) = (0_u32, 0);
        let mut bytes = bytes.iter();
        for _ in 0..letters {
            if filled < LETTER_BITS {
                bits = (bits & 0xff) << 8 | u32::from(*bytes.next()?);
                filled += 8;
            }
            filled -= LETTER_BITS;
            let code = usize::try_from(bits >> filled & 0x3f).ok()?;
            id.push(char::from(*LETTERS.get(code)?));
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PREFIXES: [&str; 3] = ["sub_", "invoice:in_", "payment:pi_"];

    proptest! {
        #[test]
        fn what_is_written_is_read(
            number in any::<u64>(), signed in any::<i64>(), id in "(sub_|invoice:in_|cus_|)[0-9A-Za-z_ é]{0,40}",
            plain in "(sub_|payment:pi_)[0-9A-Za-z_]{0,40}",
        ) {
            let mut written = Writer::default();
            written.number(number);
            written.signed(signed);
            written.id(&id, &PREFIXES);
            written.id(&plain, &PREFIXES);
            written.text(&id);
            let mut read = Reader(&written.0);
            prop_assert_eq!(read.number(), Some(number));
            prop_assert_eq!(read.signed(), Some(signed));
            prop_assert_eq!(read.id(&PREFIXES), Some(id.clone()));
            prop_assert_eq!(read.id(&PREFIXES), Some(plain));
            prop_assert_eq!(read.text(), Some(&*id));
            prop_assert!(read.is_at_end());
        }

        #[test]
        fn whatever_is_read_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut read = Reader(&bytes);
            while read.id(&PREFIXES).is_some() && read.signed().is_some() && read.text().is_some() {}
        }
    }
}
