//! What the server keeps in step with its own objects: conditions, statuses, what is served. Each is derived from logs, and
//! looked at as a whole whenever one of them has moved on.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt as _};
use tokio_util::sync::CancellationToken;

use crate::log::Watch;
use crate::server::ApiServer;

/// A kind to follow: its group and its plural.
pub(crate) type Kind = (&'static str, &'static str);

/// Calls `look` once there are objects of the kinds, whenever one has changed, and after the time that it asks for, until `stop`,
/// which must come no later than the end of watches.
pub(crate) async fn follow(
    server: Weak<ApiServer>,
    stop: CancellationToken,
    kinds: &'static [Kind],
    look: impl Fn(Arc<ApiServer>) -> BoxFuture<'static, Option<Duration>>,
) {
    let watch = |(group, plural): &Kind| {
        let server = server.upgrade()?;
        Some(Watch::present(server.feed.clone(), server.world().log(group, plural)?))
    };
    let work = async {
        let mut again = None;
        while let Some(mut watches) = kinds.iter().map(watch).collect::<Option<Vec<_>>>() {
            loop {
                let moved = future::select_all(watches.iter_mut().map(|watch| watch.next().boxed()));
                let event = tokio::select! {
                    (event, ..) = moved => Some(event),
                    () = tokio::time::sleep(again.unwrap_or_default()), if again.is_some() => None,
                };
                match event {
                    Some(None) => return,
                    // Whatever happened to the events, the logs have the state: it is looked at with new watches.
                    Some(Some(Err(_))) => break,
                    Some(Some(Ok(_))) => while watches.iter_mut().any(|watch| watch.ready().is_some()) {},
                    None => {}
                }
                let Some(server) = server.upgrade() else { return };
                again = look(server).await;
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}
