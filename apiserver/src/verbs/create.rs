//! Create: a new object, or a subresource that is created (`binding`, `eviction`).

use machinery::Status;

use super::{Body, Caller, Target, WriteOptions, Written};
use crate::server::ApiServer;

impl ApiServer {
    /// Creates what the body says at `target`. `target.name` names the object for subresources.
    pub async fn create(&self, _caller: &Caller, target: &Target, _body: Body, _options: &WriteOptions) -> Result<Written, Status> {
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }
}
