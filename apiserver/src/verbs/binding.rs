//! Binding: puts a pod on a node. A pod is bound once; its node's zone and region labels come with it.

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
