//! Reading request bodies, within bounds.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use machinery::{GroupVersionKind, Status, protobuf, status};

/// The largest body that is read, as in Kubernetes.
pub const MOST_BYTES: usize = 3 << 20;

/// How much of a refused body is taken off the connection.
const MOST_DISCARDED: usize = 16 << 20;

/// The whole body. One that is too large is refused before it is held.
pub async fn read(mut body: Body) -> status::Result<Bytes> {
    if http_body::Body::size_hint(&body).lower() > MOST_BYTES as u64 {
        discard(body).await;
        return Err(Status::too_large(MOST_BYTES));
    }
    let mut first: Option<Bytes> = None;
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Status::bad_request(format!("the body could not be read: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if joined.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > MOST_BYTES {
            discard(body).await;
            return Err(Status::too_large(MOST_BYTES));
        }
        // Most bodies come in one piece and need no copy.
        match first.take() {
            None if joined.is_empty() => first = Some(data),
            None => joined.extend_from_slice(&data),
            Some(earlier) => {
                joined.extend_from_slice(&earlier);
                joined.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| joined.freeze()))
}

/// Reads a refused body to its end, within bounds. A client of HTTP/1.1 that is still sending when the connection
/// closes sees a reset, and never the answer.
async fn discard(mut body: Body) {
    let mut discarded = 0;
    while discarded < MOST_DISCARDED
        && let Some(Ok(frame)) = body.frame().await
    {
        discarded += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// A protobuf body as the JSON that the verbs read. One that names no kind is taken for `expected`.
pub fn protobuf_to_json(bytes: &[u8], expected: &GroupVersionKind) -> status::Result<Bytes> {
    let value = protobuf::decode_object(bytes, expected).map_err(|e| Status::bad_request(format!("the body does not decode: {e}")))?;
    serde_json::to_vec(&value).map(Bytes::from).map_err(|e| Status::internal(e.to_string()))
}
