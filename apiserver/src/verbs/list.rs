//! List: a page of a resource's objects, joined from entries that are encoded already.

use machinery::Status;

use super::{Caller, List, ListOptions, Target};
use crate::server::ApiServer;

impl ApiServer {
    /// The objects at `target` that the selectors pick.
    pub async fn list(&self, _caller: &Caller, target: &Target, _options: &ListOptions) -> Result<List, Status> {
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }
}
