//! Watch: events of a resource from a version on, or its present state and then events.

use std::time::Duration;

use machinery::{ResourceVersion, Status};
use rand::Rng;

use super::{Caller, Target, WatchOptions};
use crate::log::{Filter, Start, Watch};
use crate::server::ApiServer;

/// How long a watch lasts whose client does not say, at least. As much again is added at random, so that the watches of
/// a fleet do not all end at once.
const LASTS_SECONDS: u64 = 1800;

impl ApiServer {
    /// Begins a watch. Errors known at the start (a malformed selector) are returned here; see [`Watch::next`] for the
    /// rest, to which a version that has expired belongs.
    pub async fn watch(&self, _caller: &Caller, target: &Target, options: &WatchOptions) -> Result<Watch, Status> {
        let filter = Filter::parse(target, &options.label_selector, &options.field_selector)?;
        let log = self.log(&*target.resource)?;
        let start = self.start_of(options).await?;
        let seconds = options.timeout_seconds.filter(|s| *s > 0);
        let seconds = seconds.unwrap_or_else(|| LASTS_SECONDS + rand::rng().random_range(0..LASTS_SECONDS));
        Ok(Watch::new(self.feed.clone(), &log, filter, start, options.allow_bookmarks, Duration::from_secs(seconds)))
    }

    async fn start_of(&self, options: &WatchOptions) -> Result<Start, Status> {
        let version = match options.resource_version.as_deref().unwrap_or_default() {
            "" => None,
            text => {
                let version = text.parse::<ResourceVersion>();
                Some(version.map_err(|_| Status::unclassified(format!("invalid resource version {text:?}")))?)
            }
        };
        match version {
            None => self.feed.catch_up().await?,
            Some(version) if options.send_initial_events == Some(true) => {
                if let Err(status) = self.wait_for(version).await {
                    return Ok(Start::Never(status));
                }
            }
            Some(_) => {}
        }
        Ok(match (options.send_initial_events, version) {
            (Some(true), _) => Start::Present { announce_end: options.allow_bookmarks },
            (None, None | Some(ResourceVersion(0))) => Start::Present { announce_end: false },
            (Some(false), None | Some(ResourceVersion(0))) => Start::After(self.feed.position()),
            (_, Some(version)) => Start::After(version),
        })
    }
}
