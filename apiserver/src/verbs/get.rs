//! Get: one object, or one of its subresources.

use machinery::Status;

use super::{Caller, Shown, Target};
use crate::server::ApiServer;

impl ApiServer {
    /// The object at `target`. Without a resource version the newest state is read; `0` takes what is at hand; any
    /// other waits until the log has come that far.
    pub async fn get(&self, _caller: &Caller, target: &Target, _resource_version: Option<&str>) -> Result<Shown, Status> {
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }
}
