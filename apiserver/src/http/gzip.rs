//! Answers compressed with gzip, for clients that take it. Bodies below [`SMALLEST`] are sent as they are, as are those
//! of unknown length (watches): compressing them costs more than it saves.

use std::io::Write;

use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{Stream, StreamExt, stream};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use http::{HeaderMap, HeaderValue};
use http_body::Body as _;

use super::respond::Answer;

/// As upstream has it.
const SMALLEST: u64 = 128 << 10;
/// How much is compressed before other tasks have their turn: about half a millisecond's work.
const PIECE_BYTES: usize = 64 << 10;

/// The answer, compressed where the request's headers take that and the body is large enough.
pub fn answer(request: &HeaderMap, answer: Answer) -> Answer {
    let length = answer.body().size_hint().exact().or_else(|| {
        let announced = answer.headers().get(CONTENT_LENGTH)?;
        announced.to_str().ok()?.parse().ok()
    });
    let is_large = length.is_some_and(|length| length >= SMALLEST);
    if !is_large || answer.headers().contains_key(CONTENT_ENCODING) || !is_accepted(request) {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    Answer::from_parts(parts, Body::from_stream(compressed(body)))
}

/// Whether one of the encodings that a request lists is gzip, and it does not say "but not that one" by a quality of zero.
fn is_accepted(request: &HeaderMap) -> bool {
    let listed = request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    listed.map(|encoding| encoding.split(';').map(str::trim)).any(|mut encoding| {
        let quality = |parameter: &str| parameter.strip_prefix("q=").and_then(|quality| quality.parse::<f32>().ok());
        encoding.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && !encoding.filter_map(quality).any(|quality| quality <= 0.0)
    })
}

struct Compressing<S> {
    body: S,
    /// What has arrived and is not compressed yet.
    waiting: Bytes,
    /// None once the end was written.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

fn compressed(body: Body) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    let start = Compressing {
        body: body.into_data_stream(),
        waiting: Bytes::new(),
        encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())),
    };
    stream::try_unfold(start, async |mut state| {
        while let Some(mut encoder) = state.encoder.take() {
            if state.waiting.is_empty() {
                match state.body.next().await {
                    Some(arrived) => state.waiting = arrived?,
                    None => return Ok(Some((encoder.finish().map_err(axum::Error::new)?.into(), state))),
                }
            }
            let piece = state.waiting.split_to(state.waiting.len().min(PIECE_BYTES));
            encoder.write_all(&piece).map_err(axum::Error::new)?;
            let out = std::mem::take(encoder.get_mut());
            state.encoder = Some(encoder);
            tokio::task::yield_now().await;
            if !out.is_empty() {
                return Ok(Some((out.into(), state)));
            }
        }
        Ok(None)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Read;

    use http_body_util::BodyExt;

    use super::*;

    fn taking(encodings: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(encodings))])
    }

    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|at| b'a' + (at / 7 % 23) as u8).collect()
    }

    async fn bytes(answer: Answer) -> Vec<u8> {
        answer.into_body().collect().await.unwrap().to_bytes().to_vec()
    }

    #[tokio::test]
    async fn large_bodies_are_compressed_for_those_who_take_it() {
        let whole = text(1_000_000);
        let pieces =
            stream::iter(whole.chunks(100_000).map(|piece| Ok::<_, axum::Error>(Bytes::copy_from_slice(piece))).collect::<Vec<_>>());
        let mut in_pieces = Answer::new(Body::from_stream(pieces));
        in_pieces.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(whole.len()));
        for plain in [Answer::new(whole.clone().into()), in_pieces] {
            let answer = answer(&taking("deflate, gzip;q=0.5"), plain);
            assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
            assert_eq!(answer.headers()[VARY], "accept-encoding");
            assert!(!answer.headers().contains_key(CONTENT_LENGTH));
            let sent = bytes(answer).await;
            assert!(sent.len() < whole.len() / 4, "{} bytes", sent.len());
            let mut read = Vec::new();
            flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut read).unwrap();
            assert!(read == whole);
        }
    }

    #[tokio::test]
    async fn other_bodies_are_sent_as_they_are() {
        let large = text(SMALLEST as usize);
        for encodings in ["", "identity", "deflate", "gzip;q=0", "gzipped"] {
            assert_eq!(bytes(answer(&taking(encodings), Answer::new(large.clone().into()))).await, large, "{encodings}");
        }
        assert_eq!(bytes(answer(&HeaderMap::new(), Answer::new(large.clone().into()))).await, large);
        let small = text(SMALLEST as usize - 1);
        assert_eq!(bytes(answer(&taking("gzip"), Answer::new(small.clone().into()))).await, small);
        let endless = Body::from_stream(stream::iter([Ok::<_, axum::Error>(Bytes::from(large.clone()))]));
        assert_eq!(bytes(answer(&taking("gzip"), Answer::new(endless))).await, large, "a body of unknown length");
    }
}
