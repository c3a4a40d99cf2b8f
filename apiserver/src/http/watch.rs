//! A watch as an HTTP body: one JSON frame a line. Frames that are ready together leave together, in one piece.

use std::borrow::Cow;

use api::ResourceRef;
use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use machinery::partial::MetaVersion;
use machinery::protobuf;
use machinery::table::Include;

use super::accept::{Form, Format, Shape};
use super::respond::{self, Answer};
use super::table::{self, Tables};
use crate::log::Watch;
use crate::verbs::WatchEvent;

/// Frames are joined up to this size before they are sent.
const PIECE_BYTES: usize = 64 << 10;

/// The annotation by which a bookmark says that the initial state is complete.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// The response that streams the watch's events until it ends.
pub fn stream(form: Form, resource: ResourceRef, watch: Watch, include: Include) -> Answer {
    let protobuf = form.format == Format::Protobuf;
    let frames = Frames { watch: Some(watch), resource, include, version: form.version, shape: form.shape, protobuf, first: true };
    let pieces = futures::stream::unfold(frames, |mut frames| async move {
        let piece = frames.piece().await?;
        Some((Ok::<_, std::convert::Infallible>(Frame::data(piece)), frames))
    });
    let media = if protobuf { "application/vnd.kubernetes.protobuf;stream=watch" } else { "application/json" };
    respond::body(StatusCode::OK, HeaderValue::from_static(media), Body::new(StreamBody::new(pieces)))
}

struct Frames {
    /// None once the watch has ended.
    watch: Option<Watch>,
    resource: ResourceRef,
    include: Include,
    version: MetaVersion,
    shape: Shape,
    protobuf: bool,
    /// No frame was written yet.
    first: bool,
}

impl Frames {
    /// Waits for an event, and takes those along that are ready by then.
    async fn piece(&mut self) -> Option<Bytes> {
        let mut next = self.watch.as_mut()?.next().await;
        let mut piece = BytesMut::new();
        loop {
            match next {
                None => self.watch = None,
                Some(Ok(event)) => self.put(&mut piece, &event),
                Some(Err(status)) => {
                    self.put_frame(&mut piece, "ERROR", &serde_json::to_vec(&status).unwrap_or_default());
                    self.watch = None;
                }
            }
            if piece.len() >= PIECE_BYTES {
                break;
            }
            match self.watch.as_mut().and_then(Watch::ready) {
                Some(event) => next = Some(event),
                None => break,
            }
        }
        (!piece.is_empty()).then(|| piece.freeze())
    }

    fn put(&mut self, out: &mut BytesMut, event: &WatchEvent) {
        let (name, entry) = match event {
            WatchEvent::Added(entry) => ("ADDED", entry),
            WatchEvent::Modified(entry) => ("MODIFIED", entry),
            WatchEvent::Deleted(entry) => ("DELETED", entry),
            WatchEvent::Bookmark { version, initial_state_end } => return self.put_bookmark(out, version.0, *initial_state_end),
        };
        if self.shape == Shape::PartialObjectMetadataList {
            // An event's object is no list, which is found out when there is one.
            self.watch = None;
            return;
        }
        if self.protobuf
            && self.shape == Shape::Object
            && let Some(body) = respond::entry_protobuf(&*self.resource, entry)
        {
            return put_protobuf(out, name, &body);
        }
        let json = &entry.json;
        let converted = match self.shape {
            Shape::Object => match self.resource.present(json) {
                Cow::Borrowed(_) => None,
                Cow::Owned(converted) => Some(Ok(converted.into())),
            },
            Shape::Table => {
                Some(Tables { resource: &*self.resource, include: self.include, version: self.version }.of_event(json, self.first))
            }
            _ => Some(table::partial(&*self.resource, json, self.version)),
        };
        self.first = false;
        match converted {
            None => self.put_frame(out, name, json),
            Some(Ok(json)) => self.put_frame(out, name, &json),
            Some(Err(status)) => {
                self.put_frame(out, "ERROR", &serde_json::to_vec(&status).unwrap_or_default());
                self.watch = None;
            }
        }
    }

    fn put_bookmark(&self, out: &mut BytesMut, version: u64, initial_state_end: bool) {
        let (kind, api_version) = match self.shape {
            Shape::Object => (self.resource.names().kind, self.resource.kind().api_version()),
            Shape::Table => ("Table", self.version.api_version().to_owned()),
            _ => ("PartialObjectMetadata", self.version.api_version().to_owned()),
        };
        let annotations = if initial_state_end { format!(r#","annotations":{{"{INITIAL_EVENTS_END}":"true"}}"#) } else { String::new() };
        let meta = format!(r#"{{"resourceVersion":"{version}"{annotations}}}"#);
        let object = if self.shape == Shape::Table {
            // A table has no object metadata of its own; a row carries it.
            let row = format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{meta}}}"#);
            format!(
                r#"{{"kind":"Table","apiVersion":"{api_version}","metadata":{{"resourceVersion":"{version}"}},"columnDefinitions":null,"rows":[{{"cells":[],"object":{row}}}]}}"#
            )
        } else {
            format!(r#"{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{meta}}}"#)
        };
        self.put_frame(out, "BOOKMARK", object.as_bytes());
    }

    fn put_frame(&self, out: &mut BytesMut, name: &str, object: &[u8]) {
        match if self.protobuf { protobuf::encode_json(object) } else { None } {
            Some(body) => put_protobuf(out, name, &body),
            None => put_json(out, name, object),
        }
    }
}

fn put_protobuf(out: &mut BytesMut, name: &str, body: &[u8]) {
    let head = protobuf::event_head(name, body.len());
    out.reserve(head.len() + body.len());
    out.put_slice(&head);
    out.put_slice(body);
}

fn put_json(out: &mut BytesMut, name: &str, object: &[u8]) {
    out.reserve(object.len() + 40);
    out.put_slice(br#"{"type":""#);
    out.put_slice(name.as_bytes());
    out.put_slice(br#"","object":"#);
    out.put_slice(object);
    out.put_slice(b"}\n");
}
