//! Patch: changes an object by a patch document, or applies a configuration to it.

use machinery::Status;

use super::{Caller, Patch, Target, WriteOptions, Written};
use crate::server::ApiServer;

impl ApiServer {
    /// Patches the object at `target`, again where another write came between.
    pub async fn patch(&self, _caller: &Caller, target: &Target, _patch: Patch, _options: &WriteOptions) -> Result<Written, Status> {
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }
}
