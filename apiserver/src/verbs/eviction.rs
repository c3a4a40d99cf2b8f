//! Eviction: deletes a pod if no disruption budget forbids it.

use machinery::Status;

use super::{Body, Caller, Target, WriteOptions, Written};
use crate::server::ApiServer;

pub(super) async fn create(
    _server: &ApiServer,
    _caller: &Caller,
    target: &Target,
    _body: Body,
    _options: &WriteOptions,
) -> Result<Written, Status> {
    Err(Status::method_not_supported(&target.resource.group_resource(), "create"))
}
