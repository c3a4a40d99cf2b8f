//! Calls to etcd: bounded in time, retried where that is safe, and their errors put in this crate's words.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcd_client::proto::PbKeyValue;
use etcd_client::{Client, GetOptions, KvClient, ResponseHeader, WatchOptions};
use tokio::time::Instant;
use tonic::Code;

use super::ANSWER_LIMIT;
use crate::feed::closed;
use crate::{Error, FIRST_REVISION, KeyValue, LeaseId, Result, Revision, VALUE_LIMIT};

/// The pause before a call is tried again; doubles each time,
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// up to this.
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// What the client answers.
type Answer<T> = Result<T, etcd_client::Error>;

/// A client whose calls end in time.
#[derive(Clone)]
pub(super) struct Calls {
    client: Client,
    kv: KvClient,
    timeout: Duration,
    closed: Arc<AtomicBool>,
}

impl Calls {
    pub(super) fn new(client: Client, timeout: Duration) -> Self {
        Self { kv: client.kv_client().max_decoding_message_size(ANSWER_LIMIT), client, timeout, closed: Arc::new(AtomicBool::new(false)) }
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A call that changes nothing when it is made twice.
    pub(super) async fn retried<T, F: Future<Output = Answer<T>>>(&self, doing: &str, call: impl Fn() -> F) -> Result<T> {
        self.attempt(doing, call, is_unavailable).await
    }

    /// A call that may be made again only if it did not reach etcd.
    pub(super) async fn once<T, F: Future<Output = Answer<T>>>(&self, doing: &str, call: impl Fn() -> F) -> Result<T> {
        self.attempt(doing, call, never_sent).await
    }

    async fn attempt<T, F: Future<Output = Answer<T>>>(
        &self,
        doing: &str,
        call: impl Fn() -> F,
        again: fn(&etcd_client::Error) -> bool,
    ) -> Result<T> {
        let deadline = Instant::now() + self.timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            if self.is_closed() {
                return Err(closed());
            }
            let answer = tokio::time::timeout_at(deadline, call()).await;
            match answer {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if again(&error) && Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
                Ok(Err(error)) => return Err(failed(doing, &error)),
                Err(_) => return Err(Error::Unavailable(format!("etcd: {doing}: no answer within {:?}", self.timeout))),
            }
        }
    }

    /// The revision of the newest write, confirmed by a majority.
    pub(super) async fn revision(&self) -> Result<Revision> {
        let options = GetOptions::new().with_count_only();
        let mut found = self.retried("reading the revision", async || self.kv().get([0], Some(options.clone())).await).await?;
        revision(found.take_header())
    }

    /// Checks that the state at `asked` is known, and names it.
    pub(super) async fn readable(&self, asked: Revision) -> Result<Revision> {
        let options = GetOptions::new().with_count_only().with_revision(asked.0 as i64);
        let found = self.retried("reading a revision", async || self.kv().get([0], Some(options.clone())).await).await;
        match found {
            Ok(_) => Ok(asked),
            Err(error) => Err(self.explain(&error, asked).await.unwrap_or(error)),
        }
    }

    /// The error about revision `asked` with its particulars, which etcd does not give with it.
    pub(super) async fn explain(&self, error: &Error, asked: Revision) -> Option<Error> {
        match error {
            Error::Future { .. } => Some(Error::Future { asked, current: self.revision().await.ok()? }),
            Error::Compacted { .. } => Some(Error::Compacted { asked, oldest: self.oldest(asked).await.unwrap_or(Revision(asked.0 + 1)) }),
            _ => None,
        }
    }

    /// The compacted revision, which etcd tells to a watch that begins before it.
    async fn oldest(&self, compacted: Revision) -> Option<Revision> {
        let options = WatchOptions::new().with_start_revision(compacted.0 as i64);
        let told = async {
            let mut stream = self.client.watch_client().watch([0], Some(options)).await.ok()?;
            while let Some(response) = stream.message().await.ok()? {
                if response.compact_revision() > 0 {
                    return Some(Revision(response.compact_revision() as u64));
                }
            }
            None
        };
        tokio::time::timeout(self.timeout, told).await.ok().flatten()
    }

    pub(super) fn kv(&self) -> KvClient {
        self.kv.clone()
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }
}

/// The revision in the header of an answer.
pub(super) fn revision(header: Option<ResponseHeader>) -> Result<Revision> {
    let revision = header.map(|header| Revision(header.revision() as u64)).filter(|revision| *revision >= FIRST_REVISION);
    revision.ok_or_else(|| Error::Unavailable("etcd: an answer without a revision".into()))
}

pub(super) fn key_value(kv: PbKeyValue) -> KeyValue {
    KeyValue {
        key: kv.key.into(),
        value: kv.value.into(),
        created: Revision(kv.create_revision as u64),
        modified: Revision(kv.mod_revision as u64),
    }
}

/// Puts an error in this crate's words. Particulars that etcd does not give are zero.
pub(super) fn failed(doing: &str, error: &etcd_client::Error) -> Error {
    let etcd_client::Error::GRpcStatus(status) = error else { return Error::Unavailable(format!("etcd: {doing}: {error}")) };
    let message = status.message();
    let says = |words: &str| message.contains(words);
    match status.code() {
        Code::OutOfRange if says("compacted") => Error::Compacted { asked: Revision(0), oldest: Revision(0) },
        Code::OutOfRange if says("future revision") => Error::Future { asked: Revision(0), current: Revision(0) },
        Code::NotFound if says("lease not found") => Error::LeaseNotFound(LeaseId(0)),
        Code::InvalidArgument | Code::ResourceExhausted if says("too large") => Error::TooLarge { size: 0, limit: VALUE_LIMIT },
        Code::ResourceExhausted if says("space exceeded") => Error::NoSpace(message.into()),
        _ => Error::Unavailable(format!("etcd: {doing}: {message}")),
    }
}

/// Whether another attempt may fare better.
fn is_unavailable(error: &etcd_client::Error) -> bool {
    match error {
        // A connection that broke shows as unknown or cancelled.
        etcd_client::Error::GRpcStatus(status) => matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled),
        etcd_client::Error::TransportError(_) | etcd_client::Error::IoError(_) => true,
        _ => false,
    }
}

/// Whether the call failed before a connection stood.
fn never_sent(error: &etcd_client::Error) -> bool {
    let mut source: Option<&(dyn StdError + 'static)> = match error {
        etcd_client::Error::GRpcStatus(status) => Some(status),
        etcd_client::Error::TransportError(error) => Some(error),
        _ => None,
    };
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}
