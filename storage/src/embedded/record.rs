//! The bytes on disk. A file is a header and frames; a frame is what one durable sync wrote: a header and records.
//!
//! Every part carries its own checksum, so that a record can be read alone, and so that replay can tell a write
//! that power cut short (nothing after it) from damage (something valid after it, or no part of it missing).
//! Integers are little-endian.

use bytes::Bytes;

use crate::{Error, KeyValue, LeaseId, Result, Revision};

/// The format this program writes. Raise it with any change of the layout below.
pub(super) const FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"kybernst";

pub(super) const FILE_HEADER: usize = 32;
pub(super) const FRAME_HEADER: usize = 24;
const RECORD_HEADER: usize = 40;
/// No frame is longer; a header that claims so is damaged.
pub(super) const FRAME_LIMIT: usize = 64 << 20;

/// One entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Put {
        revision: Revision,
        created: Revision,
        lease: Option<LeaseId>,
        key: &'a [u8],
        value: &'a [u8],
    },
    Delete {
        revision: Revision,
        key: &'a [u8],
    },
    /// A lease, and when it ends in milliseconds since 1970.
    Grant {
        lease: LeaseId,
        ends: u64,
    },
    /// A lease that ended, after all of its keys.
    End {
        lease: LeaseId,
    },
    Compact {
        revision: Revision,
    },
    /// Stands last in a base file: where the store was when the file was begun.
    Base {
        revision: Revision,
        compacted: Revision,
        last_lease: i64,
    },
}

impl<'a> Record<'a> {
    /// Appends the record and returns its length.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> usize {
        let (kind, a, b, c, key, value): (u32, u64, u64, i64, &[u8], &[u8]) = match *self {
            Self::Put { revision, created, lease, key, value } => (1, revision.0, created.0, lease.map_or(0, |id| id.0), key, value),
            Self::Delete { revision, key } => (2, revision.0, 0, 0, key, &[]),
            Self::Grant { lease, ends } => (3, ends, 0, lease.0, &[], &[]),
            Self::End { lease } => (4, 0, 0, lease.0, &[], &[]),
            Self::Compact { revision } => (5, revision.0, 0, 0, &[], &[]),
            Self::Base { revision, compacted, last_lease } => (6, revision.0, compacted.0, last_lease, &[], &[]),
        };
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&((RECORD_HEADER + key.len() + value.len()) as u32).to_le_bytes());
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&(key.len() as u32).to_le_bytes());
        out.extend_from_slice(&a.to_le_bytes());
        out.extend_from_slice(&b.to_le_bytes());
        out.extend_from_slice(&c.to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value);
        seal(&mut out[start..]);
        out.len() - start
    }

    /// The record at the head of `bytes` and its length; `None` where there is no sound one.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let length = u32_at(bytes, 4)? as usize;
        let bytes = bytes.get(..length).filter(|bytes| bytes.len() >= RECORD_HEADER && sealed(bytes))?;
        let (key, value) = bytes[RECORD_HEADER..].split_at_checked(u32_at(bytes, 12)? as usize)?;
        let (a, b, c) = (u64_at(bytes, 16)?, u64_at(bytes, 24)?, u64_at(bytes, 32)? as i64);
        let record = match u32_at(bytes, 8)? {
            1 => Self::Put { revision: Revision(a), created: Revision(b), lease: (c != 0).then_some(LeaseId(c)), key, value },
            2 => Self::Delete { revision: Revision(a), key },
            3 => Self::Grant { lease: LeaseId(c), ends: a },
            4 => Self::End { lease: LeaseId(c) },
            5 => Self::Compact { revision: Revision(a) },
            6 => Self::Base { revision: Revision(a), compacted: Revision(b), last_lease: c },
            _ => return None,
        };
        Some((record, length))
    }
}

/// Reads the put record that fills `bytes`, without copying key and value.
pub(super) fn key_value(bytes: Bytes) -> Result<KeyValue> {
    match Record::decode(&bytes) {
        Some((Record::Put { revision, created, key, value, .. }, _)) => {
            Ok(KeyValue { key: bytes.slice_ref(key), value: bytes.slice_ref(value), created, modified: revision })
        }
        _ => Err(Error::Corrupt("a record does not match its checksum".into())),
    }
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// Writes as they came.
    Log,
    /// What was live when it was written; replaces all files up to its number.
    Base,
}

/// Which file: its number, and in the lowest bit its kind, since every version in memory carries one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileId(u32);

impl FileId {
    pub(super) fn log(number: u32) -> Self {
        Self(number << 1)
    }

    pub(super) fn base(number: u32) -> Self {
        Self(number << 1 | 1)
    }

    pub(super) fn number(self) -> u32 {
        self.0 >> 1
    }

    pub(super) fn kind(self) -> FileKind {
        if self.0 & 1 == 0 { FileKind::Log } else { FileKind::Base }
    }
}

/// The first bytes of a file.
pub(super) fn file_header(id: FileId) -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    header[4..12].copy_from_slice(MAGIC);
    header[12..16].copy_from_slice(&FORMAT.to_le_bytes());
    header[16..20].copy_from_slice(&u32::from(id.kind() == FileKind::Base).to_le_bytes());
    header[20..24].copy_from_slice(&id.number().to_le_bytes());
    seal(&mut header);
    header
}

/// Checks the first bytes of a file that should be `id`.
pub(super) fn check_file_header(bytes: &[u8], id: FileId, name: &str) -> Result<()> {
    if bytes.get(4..12) != Some(MAGIC.as_slice()) {
        return Err(Error::Corrupt(format!("{name} was not written by this store")));
    }
    match u32_at(bytes, 12) {
        Some(FORMAT) => {}
        Some(found) => return Err(Error::Format { found, known: FORMAT }),
        None => return Err(Error::Corrupt(format!("{name} is too short"))),
    }
    if bytes != file_header(id) {
        return Err(Error::Corrupt(format!("the header of {name} is damaged")));
    }
    Ok(())
}

/// Fills in the frame header at the head of `frame`, for which room was left.
pub(super) fn seal_frame(frame: &mut [u8], sequence: u64) {
    let length = (frame.len() - FRAME_HEADER) as u32;
    frame[4..8].copy_from_slice(&length.to_le_bytes());
    frame[8..16].copy_from_slice(&sequence.to_le_bytes());
    frame[16..24].copy_from_slice(b"<frame >");
    seal(&mut frame[..FRAME_HEADER]);
}

/// The payload length and sequence number in a frame header; `None` where it is not a sound one.
pub(super) fn frame_header(bytes: &[u8]) -> Option<(usize, u64)> {
    let bytes = bytes.get(..FRAME_HEADER).filter(|bytes| sealed(bytes) && &bytes[16..24] == b"<frame >")?;
    Some((u32_at(bytes, 4)? as usize, u64_at(bytes, 8)?)).filter(|(length, _)| *length <= FRAME_LIMIT)
}

/// Writes the checksum of the rest into the first four bytes.
fn seal(bytes: &mut [u8]) {
    let sum = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&sum.to_le_bytes());
}

fn sealed(bytes: &[u8]) -> bool {
    u32_at(bytes, 0).is_some_and(|sum| sum == crc32fast::hash(&bytes[4..]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}
