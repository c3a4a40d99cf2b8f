//! What reads bodies: JSON, YAML and protobuf. What was read, written and read again, is the same; findings stay within
//! their bounds; and strict decoding has nothing left to say about what it made.

use machinery::decode::{Encoding, FieldValidation, Finding, conform, decode};
use machinery::finding::MOST_FINDINGS;
use machinery::json::{self, MOST_DEPTH};
use machinery::protobuf::{self, decode_object, encode_json};
use machinery::{GroupVersion, GroupVersionKind, yaml};
use serde_json::Value;

use super::{depth, schema_of, size, without_nulls};

/// However long keys are, a finding names its place in no more than this; see `finding::Path`.
const MOST_FINDING_BYTES: usize = 2000;

pub fn json(input: &[u8]) {
    let Ok(parsed) = json::parse(input) else { return };
    assert!(depth(&parsed.value) <= MOST_DEPTH);
    assert!(within_bounds(&parsed.duplicates));
    let again = json::parse(parsed.value.to_string().as_bytes()).unwrap();
    assert_eq!(again.value, parsed.value);
    assert!(again.duplicates.is_empty());
    let merged = json::parse_with(input, json::Again::Merges).unwrap();
    conforms(input, merged.value, Encoding::Json);
}

pub fn yaml(input: &[u8]) {
    let Ok(parsed) = yaml::parse(input) else { return };
    // Besides what stands there, only aliases add something, and what they add is bounded.
    assert!(size(&parsed.value) <= 16 * input.len() + (8 << 20));
    assert!(depth(&parsed.value) <= MOST_DEPTH);
    assert!(within_bounds(&parsed.duplicates));
    // What was read can be written as JSON, which is YAML, but for keys: they end within 1024 characters.
    let text = parsed.value.to_string();
    assert_eq!(json::parse(text.as_bytes()).unwrap().value, parsed.value);
    if let Ok(again) = yaml::parse(text.as_bytes()) {
        assert_eq!(again.value, parsed.value);
    }
    conforms(input, parsed.value, Encoding::Yaml);
}

fn within_bounds(findings: &[Finding]) -> bool {
    findings.len() <= MOST_FINDINGS && findings.iter().all(|finding| finding.to_string().len() <= MOST_FINDING_BYTES)
}

/// A body that decodes comes out in a form in which it decodes to itself.
fn conforms(input: &[u8], parsed: Value, encoding: Encoding) {
    let schema = schema_of(&parsed);
    let (mut value, mut findings) = (parsed, Vec::new());
    if conform(&mut value, schema, &mut findings).is_err() {
        assert!(decode(input, encoding, schema, FieldValidation::Ignore).is_err());
        return;
    }
    assert!(findings.iter().all(|finding| finding.to_string().len() <= MOST_FINDING_BYTES));
    assert_eq!(decode(input, encoding, schema, FieldValidation::Ignore).unwrap().value, value);
    let again = decode(value.to_string().as_bytes(), Encoding::Json, schema, FieldValidation::Strict).unwrap();
    assert_eq!(again.value, value);
}

pub fn protobuf(input: &[u8]) {
    let Ok(envelope) = protobuf::open(input) else { return };
    let version = GroupVersion::parse(&envelope.api_version);
    let kind = GroupVersionKind::new(version.group, version.version, envelope.kind);
    let Ok(value) = decode_object(input, &kind) else { return };
    assert!(depth(&value) <= 2 * MOST_DEPTH + 2);
    // A kind without a name is taken for the one that was expected.
    if kind.kind.is_empty() {
        return;
    }
    let encoded = encode_json(value.to_string().as_bytes()).unwrap();
    let again = decode_object(&encoded, &kind).unwrap();
    // A time without a value is null, and is not written again.
    assert_eq!(without_nulls(again), without_nulls(value));
}
