//! One log per resource: an ordered, immutable snapshot of entries, swapped atomically, and a ring of recent events.
//! An entry is encoded once; lists join slices of bytes and watchers are cursors over the ring.

mod watch;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use machinery::{NamespacedName, ResourceVersion};

pub use watch::Watch;

/// An object as it stands at one version, encoded.
#[derive(Debug)]
pub struct Entry {
    pub key: NamespacedName,
    pub version: ResourceVersion,
    /// The object's JSON, with `metadata.resourceVersion` in it.
    pub json: Bytes,
    pub labels: BTreeMap<String, String>,
    /// Values of the kind's selectable fields, besides name and namespace.
    pub fields: Vec<(&'static str, Cow<'static, str>)>,
}
