//! Where the parts of an object's metadata are in its JSON, and how they come there.

use std::ops::Range;

use bytes::Bytes;
use machinery::text::Text;
use machinery::{ResourceVersion, apply};

/// Where the parts of an object's metadata are in its JSON: first the version, then the managed fields, then its own members.
/// Objects are far smaller than 4 GiB: the store's limit is a few MiB.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Where the metadata's members begin: after the brace.
    pub(super) start: u32,
    /// How long the version is, with its name and comma; 0 where there is none.
    pub(super) version: u32,
    /// How long the managed fields are, with their name and comma.
    pub(super) managed: u32,
    /// How long the metadata's own members are, with the brace that closes it.
    pub(super) own: u32,
}

impl Layout {
    /// That of an object's JSON without version and managed fields; None where it has no metadata.
    pub(super) fn find(json: &[u8]) -> Option<Self> {
        let json = std::str::from_utf8(json).ok()?;
        let (_, metadata) = Text::new(json).members().find(|(name, _)| name == "metadata")?;
        metadata.is_object().then(|| Self::of_metadata(metadata.start_in(json), metadata.as_str().len()))
    }

    pub(super) fn of_metadata(start: usize, length: usize) -> Self {
        Self { start: (start + "{".len()) as u32, version: 0, managed: 0, own: (length - "{".len()) as u32 }
    }

    pub(super) fn version(self) -> Range<usize> {
        range(self.start, self.version)
    }

    pub(super) fn managed(self) -> Range<usize> {
        range(self.start + self.version, self.managed)
    }

    pub(super) fn own(self) -> Range<usize> {
        range(self.start + self.version + self.managed, self.own)
    }
}

fn range(start: u32, length: u32) -> Range<usize> {
    start as usize..(start + length) as usize
}

/// Joins the bytes around the version, and says how long it is.
pub(super) fn splice(before: &[u8], after: &[u8], version: ResourceVersion) -> (Bytes, u32) {
    const NAME: &[u8] = b"\"resourceVersion\":\"";
    if version.0 == 0 {
        // The object is not stored.
        return ([before, after].concat().into(), 0);
    }
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(version.0).as_bytes();
    // An object without any metadata has nothing to be told apart from by a comma.
    let end: &[u8] = if after.first() == Some(&b'}') { b"\"" } else { b"\"," };
    let length = NAME.len() + digits.len() + end.len();
    let mut json = Vec::with_capacity(before.len() + length + after.len());
    json.extend_from_slice(before);
    json.extend_from_slice(NAME);
    json.extend_from_slice(digits);
    json.extend_from_slice(end);
    json.extend_from_slice(after);
    (json.into(), length as u32)
}

/// What [`with_managed`] writes before the entries.
const MANAGED: &[u8] = b"\"managedFields\":";

/// The object's JSON with managed fields, where the members of its metadata begin.
pub(super) fn with_managed(json: &[u8], at: usize, managed: &[apply::Entry]) -> Vec<u8> {
    const TYPICAL_BYTES: usize = 512;
    let mut out = Vec::with_capacity(json.len() + managed.len() * TYPICAL_BYTES);
    out.extend_from_slice(&json[..at]);
    out.extend_from_slice(MANAGED);
    apply::write_entries(managed, &mut out);
    if json.get(at) != Some(&b'}') {
        out.push(b',');
    }
    out.extend_from_slice(&json[at..]);
    out
}

/// The managed fields that [`with_managed`] wrote, and where the metadata goes on behind them.
pub(super) fn managed_at(json: &[u8], at: usize) -> Option<(Vec<apply::Entry>, usize)> {
    let rest = std::str::from_utf8(json.get(at..)?.strip_prefix(MANAGED)?).ok()?;
    let (managed, after) = apply::read_entries(rest)?;
    Some((managed, json.len() - after.strip_prefix(',').unwrap_or(after).len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn metadata_is_found_at_the_outermost_level_only() {
        let json = br#"{"apiVersion":"v1","a":{"metadata":{}},"b":"x\\\",\"metadata\":{","metadata":{"name":"n"}}"#;
        let layout = Layout::find(json).unwrap();
        assert_eq!(&json[layout.own()], br#""name":"n"}"#);
        assert!(Layout::find(b"{}").is_none());
    }

    #[test]
    fn a_version_is_spliced_in_and_replaced() {
        let before = b"{\"metadata\":{";
        let (json, length) = splice(before, b"\"name\":\"n\"}}", ResourceVersion(12));
        assert_eq!(&json[..], br#"{"metadata":{"resourceVersion":"12","name":"n"}}"#);
        let (json, _) = splice(before, &json[before.len() + length as usize..], ResourceVersion(1234));
        assert_eq!(&json[..], br#"{"metadata":{"resourceVersion":"1234","name":"n"}}"#);
    }
}
