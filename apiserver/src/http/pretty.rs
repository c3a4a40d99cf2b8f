//! JSON laid out for readers: for those who ask for it, and for browsers and command line clients by their names.

use axum::body::{Body, Bytes};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http_body_util::BodyExt as _;
use machinery::Status;

use super::accept::{self, Format};
use super::query::Query;
use super::respond::{self, Answer};

/// Whose answers are laid out unless they say otherwise.
const READERS: [&str; 3] = ["curl", "Wget", "Mozilla/5.0"];

/// Whether the request's answer is to be laid out.
pub fn is_wanted(request: &Parts) -> bool {
    if request.uri.query().is_some_and(|query| query.contains("pretty"))
        && let Some(said) = Query::parse(request.uri.query()).given("pretty")
    {
        return matches!(said.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True");
    }
    let agent = request.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    READERS.iter().any(|reader| agent.starts_with(reader))
        || accept::clauses(&request.headers).first().is_some_and(|clause| clause.parameter("pretty") == Some("1"))
}

/// The answer, laid out if it is JSON and comes to an end by itself.
pub async fn answer(answer: Answer) -> Answer {
    let is_json = answer.headers().get(CONTENT_TYPE).is_some_and(|media| media.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    match body.collect().await {
        Ok(body) => {
            parts.headers.remove(CONTENT_LENGTH);
            Answer::from_parts(parts, Body::from(laid_out(&body.to_bytes())))
        }
        Err(error) => respond::status(&Status::internal(error.to_string()), Format::Json),
    }
}

/// JSON with a line for each field and element. Works on the text, so that nothing is lost or reordered.
pub fn laid_out(json: &Bytes) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped, mut opened) = (0_usize, false, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    for byte in json.iter().copied() {
        if in_string {
            out.push(byte);
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        if byte.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(byte, b'}' | b']');
        if closes {
            depth = depth.saturating_sub(1);
        }
        // What is empty stays on its line.
        if opened != closes {
            line(&mut out, depth);
        }
        opened = matches!(byte, b'{' | b'[');
        depth += usize::from(opened);
        out.push(byte);
        match byte {
            b',' => line(&mut out, depth),
            b':' => out.push(b' '),
            b'"' => in_string = true,
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_field_and_element() {
        let json = br#"{"a":{},"b":[],"c":[1,{"d":"x,\"{y\\"}],"e":{"f":null}}"#;
        let wanted = "{\n  \"a\": {},\n  \"b\": [],\n  \"c\": [\n    1,\n    {\n      \"d\": \"x,\\\"{y\\\\\"\n    }\n  ],\n  \"e\": {\n    \"f\": null\n  }\n}";
        assert_eq!(String::from_utf8_lossy(&laid_out(&Bytes::from_static(json))), wanted);
        assert_eq!(laid_out(&Bytes::from_static(b"[ ]\n")), b"[]");
    }
}
