//! What is recorded of one request while it is served. A [`Trail`] goes along with its caller; where a request is not
//! recorded it is empty, and costs nothing. The last event is made when somebody says that the request is complete or,
//! if nobody does (a client went, a handler panicked), when the last one lets go of the trail.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::strategy::UserInfo;
use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::Status;
use parking_lot::Mutex;
use serde::de::IgnoredAny;

use super::event::{self, AuthenticationMetadata, Head, ObjectReference, Outcome, Tail, User, one_line};
use super::journal::Journal;
use super::policy::{Level, Stage, Verdict};
use crate::auth::Decision;
use crate::reviews::Reviewed;
use crate::verbs::{Deleted, List, Shown, Written};

const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";

/// Requests that take longer have the time they took noted.
const SLOW: Duration = Duration::from_millis(500);
const TOTAL_LATENCY: &str = "apiserver.latency.k8s.io/total";
const TRUNCATED: &str = "audit.k8s.io/truncated";

/// What is recorded of a request; clones are of the same one.
#[derive(Clone, Default)]
pub struct Trail(Option<Arc<Record>>);

pub(super) struct Record {
    pub journal: Arc<Journal>,
    /// An event that is larger is recorded without its objects.
    pub most_bytes: Option<usize>,
    pub verdict: Verdict,
    pub id: String,
    pub uri: String,
    pub verb: String,
    /// None: not known.
    pub user: Option<Arc<UserInfo>>,
    pub source_ips: Vec<IpAddr>,
    pub user_agent: String,
    pub received: Timestamp,
    pub found: Mutex<Found>,
    /// No event is made any more.
    pub closed: AtomicBool,
}

/// What comes to light while a request is served.
#[derive(Default)]
pub(super) struct Found {
    pub impersonated: Option<Arc<UserInfo>>,
    pub constraint: Option<&'static str>,
    pub object: Option<ObjectReference>,
    pub outcome: Option<Outcome>,
    pub request: Option<Vec<u8>>,
    pub response: Option<Vec<u8>>,
    pub annotations: BTreeMap<String, String>,
}

impl std::fmt::Debug for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Trail").field(&self.0.as_ref().map(|record| &record.id)).finish()
    }
}

impl Trail {
    pub(super) fn of(record: Record) -> Self {
        Self(Some(Arc::new(record)))
    }

    /// Whether the request is recorded.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn is_at(&self, level: Level) -> Option<&Record> {
        self.0.as_deref().filter(|record| record.verdict.level >= level)
    }

    /// Whether the answer's object is recorded.
    pub fn wants_response(&self) -> bool {
        self.is_at(Level::RequestResponse).is_some()
    }

    /// An annotation of the event; the first value of a key stays.
    pub fn note(&self, key: &str, value: impl FnOnce() -> String) {
        if let Some(record) = &self.0 {
            record.found.lock().annotations.entry(key.to_owned()).or_insert_with(value);
        }
    }

    /// Whether the request may go on, and why.
    pub fn decided(&self, decision: &Decision) {
        let is_allowed = decision.is_allowed();
        self.note(DECISION, || if is_allowed { "allow" } else { "forbid" }.to_owned());
        self.note(REASON, || match decision {
            Decision::Allow(grounds) => grounds.to_string(),
            Decision::NoOpinion { reason } => reason.clone(),
        });
    }

    /// The caller acts as another.
    pub fn impersonates(&self, user: &Arc<UserInfo>, constraint: Option<&'static str>) {
        if let Some(record) = &self.0 {
            let mut found = record.found.lock();
            found.impersonated = Some(user.clone());
            found.constraint = constraint;
        }
    }

    /// The request has an object. `json`: as the server has read it, with defaults.
    pub fn requests(&self, meta: Option<&ObjectMeta>, json: impl FnOnce() -> Vec<u8>) {
        let Some(record) = &self.0 else { return };
        let request = self.is_at(Level::Request).map(|_| one_line(&json(), record.verdict.omit_managed_fields));
        let mut found = record.found.lock();
        let object = found.object.get_or_insert_default();
        if let Some(meta) = meta {
            let fill = |field: &mut String, value: &Option<String>| {
                if field.is_empty() {
                    field.push_str(value.as_deref().unwrap_or_default());
                }
            };
            fill(&mut object.namespace, &meta.namespace);
            fill(&mut object.name, &meta.name);
            fill(&mut object.uid, &meta.uid);
            fill(&mut object.resource_version, &meta.resource_version);
        }
        found.request = request;
    }

    /// The request has a patch, which need not be well formed.
    pub fn patches(&self, patch: impl FnOnce() -> Bytes) {
        let Some(record) = self.is_at(Level::Request) else { return };
        let patch = patch();
        let is_json = serde_json::from_slice::<IgnoredAny>(&patch).is_ok();
        let shown = if is_json {
            one_line(&patch, false)
        } else {
            serde_json::Value::from(String::from_utf8_lossy(&patch)).to_string().into_bytes()
        };
        record.found.lock().request = Some(shown);
    }

    /// The answer is a Status.
    pub fn answers(&self, status: &Status) {
        let Some(record) = &self.0 else { return };
        let response = self.is_at(Level::RequestResponse).and_then(|_| serde_json::to_vec(status).ok());
        let mut found = record.found.lock();
        found.outcome = Some(status.clone().into());
        found.response = response;
    }

    /// The answer is a Status, and all of it.
    pub async fn refuses(&self, status: &Status) {
        self.answers(status);
        self.complete(status.code).await;
    }

    /// The call gives this, and is complete.
    pub async fn settles<T: Answered>(&self, result: &Result<T, Status>) {
        match result {
            Ok(answer) if self.is_on() => {
                if let Some(json) = answer.object() {
                    self.responds(json);
                }
                self.complete(200).await;
            }
            Ok(_) => {}
            Err(status) => self.refuses(status).await,
        }
    }

    /// The answer is an object.
    pub fn responds(&self, json: &[u8]) {
        if let Some(record) = self.is_at(Level::RequestResponse) {
            record.found.lock().response = Some(one_line(json, record.verdict.omit_managed_fields));
        }
    }

    /// The request has come in. False: that cannot be recorded, and it may not go on.
    pub(super) async fn received(&self) -> bool {
        match &self.0 {
            Some(record) => record.record(Stage::RequestReceived).await,
            None => true,
        }
    }

    /// The head of an answer is about to be sent whose body will take long.
    pub async fn started(&self, code: u16) {
        if let Some(record) = &self.0 {
            record.code(code);
            record.record(Stage::ResponseStarted).await;
        }
    }

    /// The answer is about to be sent, or has been.
    pub async fn complete(&self, code: u16) {
        if let Some(record) = &self.0
            && !record.closed.swap(true, Ordering::Relaxed)
        {
            record.code(code);
            record.record(Stage::ResponseComplete).await;
        }
    }

    /// Nothing more is recorded.
    pub fn close(&self) {
        if let Some(record) = &self.0 {
            record.closed.store(true, Ordering::Relaxed);
        }
    }
}

/// What a call gives.
pub trait Answered {
    /// The object in it, JSON.
    fn object(&self) -> Option<&[u8]>;
}

impl Answered for Shown {
    fn object(&self) -> Option<&[u8]> {
        Some(self.json())
    }
}

impl Answered for Written {
    fn object(&self) -> Option<&[u8]> {
        self.object.object()
    }
}

impl Answered for Reviewed {
    fn object(&self) -> Option<&[u8]> {
        Some(&self.json)
    }
}

impl Answered for List {
    fn object(&self) -> Option<&[u8]> {
        None
    }
}

impl Answered for Deleted {
    fn object(&self) -> Option<&[u8]> {
        match self {
            Self::Gone(entry) => Some(&entry.json),
            Self::Pending(shown) => shown.object(),
        }
    }
}

impl Record {
    fn code(&self, code: u16) {
        self.found.lock().outcome.get_or_insert_default().code = code;
    }

    /// The event of a stage; None: there is none.
    fn event(&self, stage: Stage) -> Option<Vec<u8>> {
        if self.verdict.omitted.contains(stage) {
            return None;
        }
        let mut found = self.found.lock();
        if stage == Stage::ResponseComplete {
            let took = Timestamp::now().duration_since(self.received).unsigned_abs();
            if took > SLOW {
                found.annotations.entry(TOTAL_LATENCY.to_owned()).or_insert_with(|| go_duration(took));
            }
        }
        let line = self.line(stage, &found);
        if self.most_bytes.is_none_or(|most| line.len() <= most) {
            return Some(line);
        }
        if self.verdict.level >= Level::Request {
            (found.request, found.response) = (None, None);
            found.annotations.insert(TRUNCATED.to_owned(), "true".to_owned());
        }
        Some(self.line(stage, &found)).filter(|line| {
            let fits = self.most_bytes.is_none_or(|most| line.len() <= most);
            if !fits {
                tracing::warn!(audit_id = self.id, bytes = line.len(), "an audit event is too large, and is not recorded");
            }
            fits
        })
    }

    fn line(&self, stage: Stage, found: &Found) -> Vec<u8> {
        let head = Head {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: self.verdict.level,
            audit_id: &self.id,
            stage,
            request_uri: &self.uri,
            verb: &self.verb,
            user: self.user.as_deref().map(User::from).unwrap_or_default(),
            impersonated_user: found.impersonated.as_deref().map(User::from),
            authentication_metadata: found.constraint.map(|impersonation_constraint| AuthenticationMetadata { impersonation_constraint }),
            source_ips: &self.source_ips,
            user_agent: &self.user_agent,
            object_ref: found.object.as_ref(),
            response_status: found.outcome.as_ref(),
        };
        let stage_timestamp = if stage == Stage::RequestReceived { self.received } else { Timestamp::now() };
        let tail = Tail { request_received_timestamp: self.received, stage_timestamp, annotations: &found.annotations };
        event::line(&head, [found.request.as_deref(), found.response.as_deref()], &tail)
    }

    async fn record(&self, stage: Stage) -> bool {
        match self.event(stage) {
            Some(line) => self.journal.record(line).await,
            None => true,
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        let stage = if std::thread::panicking() { Stage::Panic } else { Stage::ResponseComplete };
        self.found.get_mut().outcome.get_or_insert_with(|| match stage {
            Stage::Panic => Status::internal("the server panicked").into(),
            _ => Outcome {
                status: "Success".to_owned(),
                message: "the connection was closed early".to_owned(),
                code: 200,
                ..Outcome::default()
            },
        });
        if let Some(line) = self.event(stage) {
            self.journal.leave(line);
        }
    }
}

impl From<Status> for Outcome {
    fn from(status: Status) -> Self {
        let Status { metadata, status, message, reason, details, code, .. } = status;
        Self { metadata, status, message, reason, details, code }
    }
}

/// A time as Go writes it: `501.2ms`, `1.5s`, `2m3.25s`.
fn go_duration(time: Duration) -> String {
    let trimmed = |seconds: f64| format!("{seconds:.9}").trim_end_matches('0').trim_end_matches('.').to_owned();
    let (whole, rest) = (time.as_secs(), f64::from(time.subsec_nanos()) / 1e9);
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, (whole % 60) as f64 + rest);
    match (hours, minutes) {
        (0, 0) if whole == 0 => format!("{}ms", trimmed(rest * 1e3)),
        (0, 0) => format!("{}s", trimmed(seconds)),
        (0, _) => format!("{minutes}m{}s", trimmed(seconds)),
        _ => format!("{hours}h{minutes}m{}s", trimmed(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        for (millis, text) in [(501, "501ms"), (1500, "1.5s"), (123_250, "2m3.25s"), (3_600_000, "1h0m0s")] {
            assert_eq!(go_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(go_duration(Duration::from_nanos(512_345_678)), "512.345678ms");
    }
}
