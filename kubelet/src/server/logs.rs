//! `/containerLogs`: the lines of a container's log, cut to what is wanted, as a stream.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{PlacePath, Refused, Served};
use crate::access::{Line, LogRange, Source};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    follow: bool,
    previous: bool,
    timestamps: bool,
    since_seconds: Option<u32>,
    since_time: Option<Timestamp>,
    tail_lines: Option<usize>,
    limit_bytes: Option<usize>,
    stream: Option<String>,
}

pub async fn serve(
    State(served): State<Served>,
    Path((namespace, pod, container)): PlacePath,
    Query(options): Query<Options>,
) -> Result<Response, Refused> {
    let place = served.place(&namespace, &pod, &container)?;
    let now = (served.clock)();
    let ago = options.since_seconds.and_then(|seconds| now.checked_sub(SignedDuration::from_secs(seconds.into())).ok());
    let only = match options.stream.as_deref() {
        None | Some("" | "All") => None,
        Some("Stdout") => Some(Source::Stdout),
        Some("Stderr") => Some(Source::Stderr),
        Some(other) => return Err(Refused(StatusCode::BAD_REQUEST, format!("{other:?} is no stream"))),
    };
    let range = LogRange {
        previous: options.previous,
        // A life that is over writes nothing more.
        follow: options.follow && !options.previous,
        since: options.since_time.or(ago),
        tail: options.tail_lines,
    };
    let lines = served.access.log(&place, &range).map_err(|refusal| Refused(StatusCode::BAD_REQUEST, refusal.to_string()))?;
    let timestamps = options.timestamps;
    let texts =
        lines.filter(move |line| std::future::ready(only.is_none_or(|only| line.source == only))).map(move |line| shown(line, timestamps));
    let texts = stream::unfold((texts.boxed(), options.limit_bytes), async |(mut texts, left)| match left {
        Some(0) => None,
        None => texts.next().await.map(|text| (text, (texts, None))),
        Some(left) => texts.next().await.map(|mut text| {
            text.truncate(left);
            let left = left - text.len();
            (text, (texts, Some(left)))
        }),
    });
    // Lines that are there already are sent together.
    let pieces = texts.ready_chunks(256).map(|lines| Ok::<_, std::convert::Infallible>(lines.concat()));
    let mut answer = Response::new(Body::from_stream(pieces));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(answer)
}

/// A line as it is sent: with its time, if that is wanted.
fn shown(line: Line, timestamps: bool) -> Bytes {
    if !timestamps {
        return line.text;
    }
    let mut text = BytesMut::from(format!("{:.9} ", line.at).as_bytes());
    text.extend_from_slice(&line.text);
    text.freeze()
}
