//! The layout of records, and that it reads back.

use proptest::prelude::*;
use smallvec::smallvec;

use super::*;

pub(in crate::ledger) fn record(customer: u32, units: i64) -> Record {
    Record {
        number: 0,
        at_micros: 1_800_000_000_000_000,
        request: [7; 16],
        customer,
        member: 0,
        counts_for_member: false,
        in_shadow: false,
        route: 1,
        tier: 2,
        configuration: 3,
        period: Period { start: 1_798_761_600, end: 1_801_440_000 },
        kind: Kind::Charge,
        status: 200,
        method: 1,
        draws: smallvec![RecordDraw { meter: 1, included: units, ..RecordDraw::default() }],
        lots: Vec::new(),
        key: None,
        foreign_request: None,
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    let mut bytes = Vec::new();
    let record = Record {
        kind: Kind::Correction { of: 9 },
        key: Some([8; 16]),
        foreign_request: Some((*b"abc").into()),
        ..record(5, -2)
    };
    record.encode(11, &mut bytes);
    assert_eq!(bytes.len(), 92 + 28 + 16 + 3);
    assert_eq!(bytes[8..16], 11u64.to_le_bytes());
    assert_eq!(bytes[24..40], [7; 16]);
    assert_eq!(bytes[40..44], 5u32.to_le_bytes());
    assert_eq!(bytes[60..68], 1_798_761_600i64.to_le_bytes());
    assert_eq!(bytes[76..84], 9u64.to_le_bytes());
    assert_eq!(bytes[84..92], [200, 0, 2, 1, 1, 3, 1, 0]);
    assert_eq!(bytes[96..104], (-2i64).to_le_bytes());
    assert_eq!(bytes[120..136], [8; 16]);
    assert_eq!(&bytes[136..], b"abc");
}

#[test]
fn units_of_an_override_uncovered_ones_and_grants_lie_behind_the_key() {
    let mut bytes = Vec::new();
    let mut record = Record {
        key: Some([8; 16]),
        foreign_request: Some((*b"abc").into()),
        lots: vec![RecordLot { grant: 7, units: 3 }, RecordLot { grant: 9, units: 1 }],
        counts_for_member: true,
        ..record(5, 2)
    };
    record.draws[0].extra = 6;
    record.draws[0].credits = 4;
    record.draws[0].uncovered = 5;
    record.encode(11, &mut bytes);
    assert_eq!(bytes[91], 0, "reserved");
    assert_eq!(bytes[90], HAS_KEY | HAS_EXTRA | HAS_LOTS | HAS_UNCOVERED | COUNTS_FOR_MEMBER);
    assert_eq!(bytes[136..144], 6i64.to_le_bytes());
    assert_eq!(bytes[144..152], 5i64.to_le_bytes());
    assert_eq!(bytes[152], 2);
    assert_eq!(bytes[153..161], 7i64.to_le_bytes());
    assert_eq!(bytes[161..169], 3i64.to_le_bytes());
    assert_eq!(&bytes[185..], b"abc");
    assert_eq!(Record::decode(&bytes), Some((Record { number: 11, ..record.clone() }, bytes.len())));
    let undone = Record { number: 11, ..record }.correction(0, Period { start: 0, end: 1 });
    assert_eq!((undone.draws[0].extra, undone.draws[0].credits, undone.lots[0].units), (-6, -4, -3));
    assert_eq!((undone.draws[0].uncovered, undone.key), (-5, Some([8; 16])));
}

#[test]
fn a_truth_names_what_it_corrects_and_takes_no_key_back() {
    let estimate = Record { number: 11, key: Some([8; 16]), kind: Kind::Estimate, ..record(5, 2) };
    let draws = smallvec![RecordDraw { meter: 1, included: 3, ..RecordDraw::default() }];
    let period = Period { start: 0, end: 1 };
    let truth = estimate.clone().correcting(draws.clone(), Vec::new(), 9, period);
    assert_eq!((truth.kind, truth.key, truth.at_micros), (Kind::Correction { of: 11 }, None, 9));
    assert_eq!((truth.draws, truth.period, truth.request), (draws, period, estimate.request));
}

#[test]
fn a_record_from_before_there_were_overrides_and_credits_reads_as_it_did() {
    let mut body = Vec::new();
    body.extend(11u64.to_le_bytes());
    body.extend(1_800_000_000_000_000i64.to_le_bytes());
    body.extend([7; 16]);
    body.extend([5u32, 0, 1, 2, 3].into_iter().flat_map(u32::to_le_bytes));
    body.extend([1_798_761_600i64, 1_801_440_000, 0].into_iter().flat_map(i64::to_le_bytes));
    body.extend([200, 0, 1, 1, 1, 0, 1, 0]);
    body.extend(1u32.to_le_bytes());
    body.extend([2i64, 0, 0].into_iter().flat_map(i64::to_le_bytes));
    body.extend([8; 16]);
    let length = u32::try_from(body.len()).expect("short");
    let bytes = [&length.to_le_bytes()[..], &crc32c::crc32c(&body).to_le_bytes(), &body].concat();
    let expected = Record { number: 11, key: Some([8; 16]), ..record(5, 2) };
    assert_eq!(Record::decode(&bytes), Some((expected.clone(), bytes.len())));
    let mut written = Vec::new();
    expected.encode(11, &mut written);
    assert_eq!(written, bytes, "and without either it is written so still");
}

#[test]
fn a_header_reads_back_and_a_changed_one_does_not() {
    let header = Header { ledger: LedgerId([3; 16]), segment: 4, first_record: 99, made_at_micros: 5 };
    let bytes = header.encode();
    assert_eq!(bytes.len() as u64, HEADER_BYTES);
    assert_eq!(Header::decode(&bytes), Some(header));
    for at in 0..64 {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert_eq!(Header::decode(&changed), None, "byte {at}");
    }
}

proptest! {
    #[test]
    fn a_record_reads_back_and_no_changed_byte_goes_unseen(
        customer in any::<u32>(), units in any::<i64>(), number in any::<u64>(), key in any::<Option<[u8; 16]>>(),
        extra in any::<i64>(), uncovered in any::<i64>(), counts_for_member in any::<bool>(),
        lots in prop::collection::vec((any::<i64>(), any::<i64>()), 0..256),
        at in 0usize..120, bit in 0u8..8,
    ) {
        let mut bytes = Vec::new();
        let lots: Vec<_> = lots.into_iter().map(|(grant, units)| RecordLot { grant, units }).collect();
        let record = |customer, units| {
            let mut record =
                Record { key, counts_for_member, kind: Kind::Estimate, lots: lots.clone(), ..record(customer, units) };
            record.draws[0].extra = extra;
            record.draws[0].uncovered = uncovered;
            record
        };
        record(customer, units).encode(number, &mut bytes);
        let (read, length) = Record::decode(&bytes).expect("whole");
        prop_assert_eq!(length, bytes.len());
        prop_assert_eq!(&read, &Record { number, ..record(customer, units) });
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(Record::decode(&bytes), None);
    }

    #[test]
    fn garbage_is_no_record(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(Record::decode(&bytes), None);
    }
}
