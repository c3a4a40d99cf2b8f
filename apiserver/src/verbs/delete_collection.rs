//! DeleteCollection: deletes every object that a list shows.

use std::sync::Arc;

use futures::StreamExt;
use machinery::Status;

use super::{Caller, DeleteOptions, List, ListOptions, Target};
use crate::log::Entry;
use crate::server::ApiServer;

/// How many objects are being deleted at once.
const AT_ONCE: usize = 32;

impl ApiServer {
    /// Deletes what `list` picks at `target`; answers with the list of what it deleted, as it was.
    pub async fn delete_collection(
        &self,
        caller: &Caller,
        target: &Target,
        list: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<List, Status> {
        let listed = self.list(caller, target, list).await?;
        let targets: Vec<Target> = listed.items.iter().map(|entry| target_of(target, entry)).collect();
        let deletes = targets.into_iter().map(|one| async move { self.delete(caller, &one, options).await });
        let deletes = futures::stream::iter(deletes).buffered(AT_ONCE);
        tokio::pin!(deletes);
        while let Some(result) = deletes.next().await {
            match result {
                Err(status) if !status.is_not_found() => return Err(status),
                // Gone already, or going.
                _ => {}
            }
        }
        Ok(listed)
    }
}

fn target_of(collection: &Target, entry: &Arc<Entry>) -> Target {
    Target {
        resource: collection.resource.clone(),
        subresource: None,
        namespace: entry.key.namespace.to_string(),
        name: entry.key.name.to_string(),
    }
}
