//! Watch: events of a resource from a version on, or its present state and then events.

use machinery::Status;

use super::{Caller, Target, WatchOptions};
use crate::log::Watch;
use crate::server::ApiServer;

impl ApiServer {
    /// Begins a watch. Errors known at the start (a malformed selector, an expired version that the caller need not
    /// learn as an event) are returned here; see [`Watch::next`] for the rest.
    pub async fn watch(&self, _caller: &Caller, target: &Target, _options: &WatchOptions) -> Result<Watch, Status> {
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }
}
