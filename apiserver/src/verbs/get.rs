//! Get: one object, or one of its subresources.

use std::time::Duration;

use machinery::{ResourceVersion, Status};

use super::update::{View, view};
use super::{Caller, Shown, Target, component_status, scale};
use crate::log::path;
use crate::server::ApiServer;

/// How long a reader waits for a version that the log has not reached.
const VERSION_PATIENCE: Duration = Duration::from_secs(3);

impl ApiServer {
    /// The object at `target`. Without a resource version the newest state is read; `0` takes what is at hand; any
    /// other waits until the log has come that far.
    pub async fn get(&self, _caller: &Caller, target: &Target, resource_version: Option<&str>) -> Result<Shown, Status> {
        if component_status::is_meant(target) {
            return component_status::get(self, target).await;
        }
        let view = view(target)?;
        let log = self.log(&*target.resource)?;
        match resource_version.unwrap_or_default() {
            "" => self.feed.catch_up().await?,
            "0" => {}
            text => {
                let version = text.parse().map_err(|_| Status::unclassified(format!("invalid resource version {text:?}")))?;
                self.wait_for(version).await?;
            }
        }
        let entry = log
            .get(&path(&target.namespace, &target.name))
            .ok_or_else(|| Status::not_found(&target.resource.group_resource(), &target.name))?;
        match view {
            View::Object(_) => Ok(Shown::Entry(entry)),
            View::Scale(view) => scale::show(&*target.resource, view, &entry).map(Shown::Json),
        }
    }

    /// Waits for the log to reach a version; one that is too far ahead is a 504 that tells clients to start over.
    pub(super) async fn wait_for(&self, version: ResourceVersion) -> Result<(), Status> {
        if self.feed.reached(version, VERSION_PATIENCE).await {
            return Ok(());
        }
        Err(self.too_large(version, 1))
    }

    /// A version has not come yet; clients may ask again after so many seconds.
    pub(super) fn too_large(&self, version: ResourceVersion, retry_after_seconds: i32) -> Status {
        let message = format!("Too large resource version: {version}, current: {}", self.feed.position());
        let status = Status::timeout(message, retry_after_seconds);
        status.with_cause("ResourceVersionTooLarge", "Too large resource version", "")
    }
}
