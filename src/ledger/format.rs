//! The bytes of headers and records.

use std::fmt;

use smallvec::SmallVec;

use super::fields::Fields;
use crate::domain::period::Period;

pub const HEADER_BYTES: u64 = 128;
const MAGIC: &[u8; 8] = b"TOLLGATE";
const VERSION: u32 = 1;
const STATIC_BYTES: usize = 60;
const LINK: std::ops::Range<usize> = 64..96;
/// The hash of the segment before, with its checksum.
pub const LINK_BYTES: std::ops::Range<usize> = 64..100;

/// Length and checksum before each body.
pub const FRAME_BYTES: usize = 8;
const FIXED_BODY_BYTES: usize = 84;
const DRAW_BYTES: usize = 28;
const KEY_BYTES: usize = 16;
const LOT_BYTES: usize = 16;
/// No record is longer: 255 draws with units of an override and uncovered ones, an idempotency key, 255 grants of
/// credits and 255 bytes of foreign request id.
pub const MAX_BODY_BYTES: usize =
    FIXED_BODY_BYTES + 255 * (DRAW_BYTES + 16) + KEY_BYTES + 1 + 255 * LOT_BYTES + 255;
/// The bit of a record's flags that says that an idempotency key follows the draws.
const HAS_KEY: u8 = 1;
/// The bit that says that units of an override follow those.
const HAS_EXTRA: u8 = 2;
/// The bit that says that the grants of credits follow those: their count in a byte, then number and units of each.
const HAS_LOTS: u8 = 4;
/// The bit that says that uncovered units of each draw lie behind those of an override, before the grants.
const HAS_UNCOVERED: u8 = 8;
/// The bit that says that it counts against what its member may use.
const COUNTS_FOR_MEMBER: u8 = 16;
/// The bit that says that a limit had refused it: no total holds it.
const IN_SHADOW: u8 = 32;

/// The random identity of a ledger; every Stripe identifier carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerId(pub [u8; 16]);

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A place in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub segment: u64,
    pub offset: u64,
}

/// The head of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub ledger: LedgerId,
    pub segment: u64,
    pub first_record: u64,
    pub made_at_micros: i64,
}

impl Header {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.ledger.0);
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.first_record.to_le_bytes());
        bytes.extend_from_slice(&self.made_at_micros.to_le_bytes());
        bytes.resize(STATIC_BYTES, 0);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.resize(128, 0);
        bytes
    }

    /// `None` when the bytes are no header of this format.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes.get(..STATIC_BYTES + 4)?);
        let checksum = crc32c::crc32c(&bytes[..STATIC_BYTES]);
        if fields.take::<8>()? != *MAGIC || fields.u32()? != VERSION {
            return None;
        }
        fields.take::<4>()?;
        let header = Self {
            ledger: LedgerId(fields.take()?),
            segment: fields.u64()?,
            first_record: fields.u64()?,
            made_at_micros: fields.i64()?,
        };
        fields.take::<4>()?;
        (fields.u32()? == checksum).then_some(header)
    }

    /// Where the hash of the segment before is written, and what.
    pub fn link(hash: [u8; 32]) -> (usize, Vec<u8>) {
        let mut bytes = hash.to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&hash).to_le_bytes());
        (LINK.start, bytes)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Charge,
    /// A charge whose true units only the end of the response tells; a correction follows.
    Estimate,
    /// An estimate of what an exchange that stays open costs from here on; `of` is its first record.
    Slice {
        of: u64,
    },
    /// Undoes or changes the charge of an earlier record.
    Correction {
        of: u64,
    },
}

/// Units of one meter; of a correction those that are added, negative where they are taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordDraw {
    /// The meter's number in the store.
    pub meter: u32,
    pub included: i64,
    /// Beyond the customer's own tier, by an operator's override.
    pub extra: i64,
    pub credits: i64,
    pub overage: i64,
    /// Beyond what was reserved, and paid for by nothing: they count against limits, and nobody is billed for them.
    pub uncovered: i64,
}

impl RecordDraw {
    pub fn units(&self) -> i64 {
        self.included + self.extra + self.credits + self.overage + self.uncovered
    }
}

/// Units of one grant of credits, signed as those of a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLot {
    /// The grant's number in the store.
    pub grant: i64,
    pub units: i64,
}

/// One usage record. Numbers of names are the store's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Given by the ledger.
    pub number: u64,
    pub at_micros: i64,
    pub request: [u8; 16],
    pub customer: u32,
    pub member: u32,
    /// What it draws counts against what the member may use.
    pub counts_for_member: bool,
    /// A limit had refused what it records, which was served all the same: all of it is uncovered, and no limit or
    /// total counts it.
    pub in_shadow: bool,
    pub route: u32,
    pub tier: u32,
    pub configuration: u32,
    pub period: Period,
    pub kind: Kind,
    pub status: u16,
    /// 0: a method without a number of its own.
    pub method: u8,
    pub draws: SmallVec<[RecordDraw; 2]>,
    /// Of which grants the credits of all draws were; at most 255.
    pub lots: Vec<RecordLot>,
    /// A digest of the client's `Idempotency-Key` and of the request that it came with. A charge without draws is a
    /// free repeat of an earlier one; a correction with a key takes back the charge that the key stands for. One without
    /// changes what the charge cost: its key stays charged.
    pub key: Option<[u8; KEY_BYTES]>,
    /// The id that a trusted proxy sent; at most 255 bytes.
    pub foreign_request: Option<Box<[u8]>>,
}

impl Record {
    /// Appends the framed record, under the number that the ledger gives it.
    pub fn encode(&self, number: u64, into: &mut Vec<u8>) {
        let start = into.len();
        into.extend_from_slice(&[0; FRAME_BYTES]);
        into.extend_from_slice(&number.to_le_bytes());
        into.extend_from_slice(&self.at_micros.to_le_bytes());
        into.extend_from_slice(&self.request);
        for value in [self.customer, self.member, self.route, self.tier, self.configuration] {
            into.extend_from_slice(&value.to_le_bytes());
        }
        into.extend_from_slice(&self.period.start.to_le_bytes());
        into.extend_from_slice(&self.period.end.to_le_bytes());
        let (kind, corrects) = match self.kind {
            Kind::Charge => (1, 0),
            Kind::Correction { of } => (2, of),
            Kind::Estimate => (3, 0),
            Kind::Slice { of } => (4, of),
        };
        into.extend_from_slice(&corrects.to_le_bytes());
        into.extend_from_slice(&self.status.to_le_bytes());
        let foreign = self.foreign_request.as_deref().unwrap_or_default();
        let foreign = &foreign[..foreign.len().min(255)];
        let draws = &self.draws[..self.draws.len().min(255)];
        let has_extra = draws.iter().any(|draw| draw.extra != 0);
        let has_uncovered = draws.iter().any(|draw| draw.uncovered != 0);
        let lots = &self.lots[..self.lots.len().min(255)];
        let flags = [
            (self.key.is_some(), HAS_KEY),
            (has_extra, HAS_EXTRA),
            (!lots.is_empty(), HAS_LOTS),
            (has_uncovered, HAS_UNCOVERED),
            (self.counts_for_member, COUNTS_FOR_MEMBER),
            (self.in_shadow, IN_SHADOW),
        ];
        let flags = flags.iter().fold(0, |flags, (has, flag)| if *has { flags | flag } else { flags });
        into.extend_from_slice(&[kind, self.method, count(draws.len()), count(foreign.len()), flags, 0]);
        for draw in draws {
            into.extend_from_slice(&draw.meter.to_le_bytes());
            for units in [draw.included, draw.credits, draw.overage] {
                into.extend_from_slice(&units.to_le_bytes());
            }
        }
        into.extend(self.key.into_iter().flatten());
        if has_extra {
            into.extend(draws.iter().flat_map(|draw| draw.extra.to_le_bytes()));
        }
        if has_uncovered {
            into.extend(draws.iter().flat_map(|draw| draw.uncovered.to_le_bytes()));
        }
        if !lots.is_empty() {
            into.push(count(lots.len()));
            let values = lots.iter().flat_map(|lot| [lot.grant, lot.units]);
            into.extend(values.flat_map(i64::to_le_bytes));
        }
        into.extend_from_slice(foreign);

        let body = start + FRAME_BYTES;
        let length = u32::try_from(into.len() - body).expect("bounded by MAX_BODY_BYTES");
        let checksum = crc32c::crc32c(&into[body..]);
        into[start..start + 4].copy_from_slice(&length.to_le_bytes());
        into[start + 4..body].copy_from_slice(&checksum.to_le_bytes());
    }

    /// A repeat of a charged request under its idempotency key, which cost nothing.
    pub fn is_repeat(&self) -> bool {
        self.key.is_some() && self.draws.is_empty() && self.kind == Kind::Charge
    }

    /// The record that undoes this one, in the period that it counts in.
    #[must_use]
    pub fn correction(mut self, at_micros: i64, period: Period) -> Self {
        self.period = period;
        self.kind = Kind::Correction { of: self.number };
        self.at_micros = at_micros;
        for draw in &mut self.draws {
            draw.included = -draw.included;
            draw.extra = -draw.extra;
            draw.credits = -draw.credits;
            draw.overage = -draw.overage;
            draw.uncovered = -draw.uncovered;
        }
        self.lots.iter_mut().for_each(|lot| lot.units = -lot.units);
        self
    }

    /// The record that puts the truth in the place of this one, which stays charged under its key: what changes.
    #[must_use]
    pub fn correcting(
        self,
        draws: SmallVec<[RecordDraw; 2]>,
        lots: Vec<RecordLot>,
        at_micros: i64,
        period: Period,
    ) -> Self {
        Self { kind: Kind::Correction { of: self.number }, draws, lots, at_micros, period, key: None, ..self }
    }

    /// The record that this one's exchange goes on with, without what only charging tells.
    #[must_use]
    pub fn slice(self) -> Self {
        let of = if let Kind::Slice { of } = self.kind { of } else { self.number };
        Self { kind: Kind::Slice { of }, ..self }
    }

    /// Whether it is what a request was charged first: one for each charged request.
    pub fn is_request(&self) -> bool {
        matches!(self.kind, Kind::Charge | Kind::Estimate)
    }

    /// Whether its truth is still to be told.
    pub fn is_estimate(&self) -> bool {
        matches!(self.kind, Kind::Estimate | Kind::Slice { .. })
    }

    /// Reads the record at the start of `bytes`, and says how many bytes it takes. `None`: torn or no record.
    pub fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut frame = Fields(bytes);
        let length = usize::try_from(frame.u32()?).ok()?;
        let checksum = frame.u32()?;
        if !(FIXED_BODY_BYTES..=MAX_BODY_BYTES).contains(&length) {
            return None;
        }
        let body = frame.0.get(..length)?;
        if crc32c::crc32c(body) != checksum {
            return None;
        }
        Some((Self::decode_body(body)?, FRAME_BYTES + length))
    }

    fn decode_body(body: &[u8]) -> Option<Self> {
        let mut fields = Fields(body);
        let mut record = Self {
            number: fields.u64()?,
            at_micros: fields.i64()?,
            request: fields.take()?,
            customer: fields.u32()?,
            member: fields.u32()?,
            counts_for_member: false,
            in_shadow: false,
            route: fields.u32()?,
            tier: fields.u32()?,
            configuration: fields.u32()?,
            period: Period { start: fields.i64()?, end: fields.i64()? },
            kind: Kind::Charge,
            status: 0,
            method: 0,
            draws: SmallVec::new(),
            lots: Vec::new(),
            key: None,
            foreign_request: None,
        };
        let corrects = fields.u64()?;
        record.status = u16::from_le_bytes(fields.take()?);
        let [kind, method, draws, foreign, flags, _] = fields.take()?;
        record.method = method;
        record.counts_for_member = flags & COUNTS_FOR_MEMBER != 0;
        record.in_shadow = flags & IN_SHADOW != 0;
        record.kind = match kind {
            1 => Kind::Charge,
            2 => Kind::Correction { of: corrects },
            3 => Kind::Estimate,
            4 => Kind::Slice { of: corrects },
            _ => return None,
        };
        for _ in 0..draws {
            record.draws.push(RecordDraw {
                meter: fields.u32()?,
                included: fields.i64()?,
                credits: fields.i64()?,
                overage: fields.i64()?,
                ..RecordDraw::default()
            });
        }
        if flags & HAS_KEY != 0 {
            record.key = Some(fields.take()?);
        }
        if flags & HAS_EXTRA != 0 {
            for draw in &mut record.draws {
                draw.extra = fields.i64()?;
            }
        }
        if flags & HAS_UNCOVERED != 0 {
            for draw in &mut record.draws {
                draw.uncovered = fields.i64()?;
            }
        }
        if flags & HAS_LOTS != 0 {
            let [lots] = fields.take()?;
            for _ in 0..lots {
                record.lots.push(RecordLot { grant: fields.i64()?, units: fields.i64()? });
            }
        }
        let foreign = fields.0.get(..usize::from(foreign))?;
        record.foreign_request = (!foreign.is_empty()).then(|| foreign.into());
        Some(record)
    }
}

fn count(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

#[cfg(test)]
#[path = "format_tests.rs"]
pub(super) mod tests;
