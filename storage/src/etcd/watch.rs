//! Following etcd: one watch over the whole key space feeds every watch of this store.
//!
//! Every revision of etcd is an event on some key, so a watch of all keys knows at any moment how far it is. A
//! broken one is opened again after the last revision that arrived whole.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcd_client::proto::PbEvent;
use etcd_client::{WatchOptions, WatchStream};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::ANSWER_LIMIT;
use super::calls::{self, Calls};
use crate::feed::{Feed, History};
use crate::{Error, Event, Result, Revision};

/// The pause before a broken watch is opened again.
const PAUSE: Duration = Duration::from_millis(200);

/// Publishes what is written after `start`, for as long as it is polled.
pub(super) async fn follow(calls: Calls, feed: Arc<Feed>, start: Revision) {
    let mut position = start;
    loop {
        let mut source = Source::new(calls.clone(), position);
        let error = loop {
            match source.next().await {
                Ok(events) => {
                    position = source.position;
                    feed.publish(events, position);
                }
                Err(error) => break error,
            }
        };
        tracing::warn!(%error, position = position.0, "the watch of etcd broke");
        match error {
            Error::Compacted { .. } | Error::Future { .. } => {
                // What happened since is lost, or the cluster was set back: everybody has to list again.
                let Some(current) = current(&calls).await else { return };
                feed.fail(|| Error::Compacted { asked: position, oldest: current });
                feed.reset(current);
                position = current;
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The current revision, whenever etcd answers. `None`: the store was closed.
async fn current(calls: &Calls) -> Option<Revision> {
    loop {
        match calls.revision().await {
            Ok(revision) => return Some(revision),
            Err(_) if calls.is_closed() => return None,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// A watch of all keys.
struct Source {
    calls: Calls,
    stream: Option<WatchStream>,
    /// All revisions up to this one were answered.
    position: Revision,
    /// The parts of a response that came in several.
    partial: Vec<PbEvent>,
}

impl Source {
    fn new(calls: Calls, position: Revision) -> Self {
        Self { calls, stream: None, position, partial: Vec::new() }
    }

    async fn open(&self) -> Result<WatchStream> {
        // A cluster that is behind what it told before would send nothing until it has caught up, and other events then.
        self.calls.readable(self.position).await?;
        let options = WatchOptions::new().with_all_keys().with_fragment().with_start_revision(self.position.0 as i64 + 1);
        let mut client = self.calls.client().watch_client().max_decoding_message_size(ANSWER_LIMIT);
        let opened = tokio::time::timeout(self.calls.timeout(), client.watch(Vec::new(), Some(options))).await;
        match opened {
            Ok(opened) => opened.map_err(|error| calls::failed("watching", &error)),
            Err(_) => Err(Error::Unavailable(format!("etcd: watching: no answer within {:?}", self.calls.timeout()))),
        }
    }

    /// The events of the revisions that come next.
    async fn next(&mut self) -> Result<Vec<Event>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let opened = self.open().await?;
                self.stream.insert(opened)
            }
        };
        loop {
            let response = stream.message().await.map_err(|error| calls::failed("watching", &error))?;
            let response = response.ok_or_else(|| Error::Unavailable("etcd: the watch ended".into()))?.0;
            if response.compact_revision > 0 {
                return Err(Error::Compacted { asked: self.position, oldest: Revision(response.compact_revision as u64) });
            }
            if response.canceled {
                return Err(Error::Unavailable(format!("etcd: the watch was cancelled: {}", response.cancel_reason)));
            }
            self.partial.extend(response.events);
            if !response.fragment && !self.partial.is_empty() {
                let events: Vec<Event> = self.partial.drain(..).filter_map(event).collect();
                self.position = events.last().map_or(self.position, Event::revision);
                return Ok(events);
            }
        }
    }
}

fn event(event: PbEvent) -> Option<Event> {
    let removed = event.r#type() == etcd_client::EventType::Delete;
    let item = calls::key_value(event.kv?);
    Some(if removed { Event::Delete { key: item.key, revision: item.modified } } else { Event::Put { item } })
}

impl History for Calls {
    fn replay(self: Arc<Self>, prefix: Bytes, after: Revision, through: Revision) -> BoxStream<'static, Result<Event>> {
        let source = Source::new((*self).clone(), after);
        let batches = stream::try_unfold((source, prefix), move |(mut source, prefix)| async move {
            if source.position >= through {
                return Ok(None);
            }
            let mut events = source.next().await?;
            // What is newer comes from the feed.
            events.retain(|event| event.revision() <= through && event.key().is_some_and(|key| key.starts_with(&prefix)));
            Ok(Some((stream::iter(events).map(Ok), (source, prefix))))
        });
        futures::TryStreamExt::try_flatten(batches).boxed()
    }
}
