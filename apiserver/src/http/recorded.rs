//! What the audit log is told of answers. Objects are recorded in JSON, whatever form the client wants them in; nothing
//! is looked at, or held back, of what the policy does not ask for.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::accept::Format;
use super::respond::{self, Answer};
use crate::audit::Trail;

/// Records what was answered. Of a body that takes long, the end is recorded when it comes.
pub(super) async fn answer(trail: Trail, answer: Answer, runs_long: bool) -> Answer {
    if !trail.is_on() {
        return answer;
    }
    let code = answer.status().as_u16();
    if !runs_long {
        trail.complete(code).await;
        return answer;
    }
    trail.started(code).await;
    answer.map(|body| Body::new(Held { body, _trail: trail }))
}

/// Records the object of an answer that was made in JSON, and gives it the form that the client wants.
pub(super) async fn object(trail: &Trail, answer: Answer, format: Format) -> Answer {
    let (parts, json) = match taken(answer).await {
        Ok(taken) => taken,
        Err(failed) => return failed,
    };
    trail.responds(&json);
    let mut answer = respond::encoded(parts.status, format, json);
    for (name, value) in &parts.headers {
        if !matches!(*name, http::header::CONTENT_TYPE | http::header::CONTENT_LENGTH | http::header::CACHE_CONTROL) {
            answer.headers_mut().append(name, value.clone());
        }
    }
    answer
}

/// Records a document of discovery; other documents are no objects.
pub(super) async fn document(trail: &Trail, path: &str, answer: Answer) -> Answer {
    let is_json = answer.headers().get(http::header::CONTENT_TYPE).is_some_and(|media| media.as_bytes().starts_with(b"application/json"));
    if !trail.wants_response() || !path.starts_with("/api") || !is_json {
        return answer;
    }
    match taken(answer).await {
        Ok((parts, json)) => {
            trail.responds(&json);
            Answer::from_parts(parts, json.into())
        }
        Err(failed) => failed,
    }
}

/// An answer's head and its whole body.
async fn taken(answer: Answer) -> Result<(http::response::Parts, Bytes), Answer> {
    let (parts, body) = answer.into_parts();
    match body.collect().await {
        Ok(body) => Ok((parts, body.to_bytes())),
        Err(error) => Err(respond::status(&machinery::Status::internal(error.to_string()), Format::Json)),
    }
}

/// A body that keeps a trail until it has been sent, or the client has gone.
struct Held {
    body: Body,
    _trail: Trail,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
