//! Allocation: cluster IPs and node ports of Services, each from a range that all Services share.

use api::{Object, Resource};
use machinery::{ResourceVersion, Status};

/// The ranges and what is taken of them.
#[derive(Default)]
pub struct Allocation {}

/// What a write takes of the ranges. Given back when it is dropped, unless it was kept.
pub struct Reservation {}

impl Reservation {
    /// The write happened, at this version.
    pub(crate) fn keep(self, _version: ResourceVersion) {}
}

impl Allocation {
    /// Takes what a new or changed object needs and fills it in.
    pub(crate) fn reserve(
        &self,
        _resource: &dyn Resource,
        _object: &mut dyn Object,
        _old: Option<&dyn Object>,
    ) -> Result<Option<Reservation>, Status> {
        Ok(None)
    }
}
