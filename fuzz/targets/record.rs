//! No bytes panic, and what is read as a record is written as the same record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::ledger::{Header, Record};

fuzz_target!(|bytes: &[u8]| {
    let _ = Header::decode(bytes);
    survives(bytes);
    // Few bytes pass a checksum by chance.
    let mut framed = u32::try_from(bytes.len()).expect("a short input").to_le_bytes().to_vec();
    framed.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
    framed.extend_from_slice(bytes);
    survives(&framed);
});

fn survives(bytes: &[u8]) {
    let Some((record, length)) = Record::decode(bytes) else { return };
    assert!(length <= bytes.len());
    let mut written = Vec::new();
    record.encode(record.number, &mut written);
    assert_eq!(Record::decode(&written), Some((record, written.len())));
}
