//! Update: replaces an object, or what a subresource shows of it.

use machinery::Status;

use super::{Body, Caller, Target, WriteOptions, Written};
use crate::server::ApiServer;

impl ApiServer {
    /// Replaces the object at `target` by the body.
    pub async fn update(&self, _caller: &Caller, target: &Target, _body: Body, _options: &WriteOptions) -> Result<Written, Status> {
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }
}
