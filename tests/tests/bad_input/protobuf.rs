//! Protobuf bodies that end too soon, or are not what they say.

use kybern_tests::cluster::Cluster;
use kybern_tests::http::{Answer, Http};
use kybern_tests::load::{MAPS, config_map};
use serde_json::json;

use crate::{refused, well};

const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

fn post(http: &Http, body: &[u8]) -> std::io::Result<Answer> {
    http.send("POST", &format!("{MAPS}?dryRun=All"), MEDIA_TYPE, &[], body)
}

/// One field of a message: its number, and content below 128 bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

/// A body as clients frame it.
fn framed(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), field(1, &type_meta), field(2, message)].concat()
}

pub fn protobuf_that_is_none(cluster: &Cluster) {
    let http = cluster.http();
    let metadata = field(1, &field(1, b"proto"));
    let data = field(2, &[field(1, b"key"), field(2, b"value")].concat());
    let whole = framed("v1", "ConfigMap", &[&metadata[..], &data].concat());
    let stored = post(&http, &whole).unwrap();
    assert_eq!((stored.code, &stored.json()["data"]), (201, &json!({"key": "value"})));

    refused(post(&http, b"k8s\0garbage"), 400, "BadRequest");
    refused(post(&http, b"no magic"), 400, "BadRequest");
    refused(post(&http, b"k8s\0"), 422, "Invalid");
    // A message of another kind, or of one that nobody knows.
    refused(post(&http, &framed("v1", "Secret", &metadata)), 400, "BadRequest");
    refused(post(&http, &framed("v1", "Gadget", &metadata)), 400, "BadRequest");
    refused(post(&http, &framed("gadgets/v1", "ConfigMap", &metadata)), 400, "BadRequest");
    // A number for the metadata, text that is none, a length beyond the end, a number that does not end.
    let wrong: [&[u8]; 4] = [&[0x08, 5], &field(1, &field(1, &[0xff, 0xfe])), &[0x0a, 0x7f, 1], &[0x08, 0xff, 0xff]];
    for message in wrong {
        refused(post(&http, &framed("v1", "ConfigMap", message)), 400, "BadRequest");
    }
    // Cut off anywhere, or with any byte changed: refused, or another object that is whole.
    for end in 5..whole.len() {
        let answer = post(&http, &whole[..end]).unwrap();
        assert!([400, 422].contains(&answer.code), "up to {end}: {}", answer.text());
    }
    for at in 0..whole.len() {
        let mut bent = whole.clone();
        bent[at] ^= 0xff;
        let answer = post(&http, &bent).unwrap();
        assert!([201, 400, 422].contains(&answer.code), "byte {at}: {}", answer.text());
    }
    let patch = http.send("PATCH", &format!("{MAPS}/kube-root-ca.crt"), MEDIA_TYPE, &[], &whole);
    refused(patch, 415, "UnsupportedMediaType");
    let made = http.post(MAPS, &config_map("proto-deleted", "v")).unwrap();
    assert_eq!(made.code, 201);
    refused(http.send("DELETE", &format!("{MAPS}/proto-deleted"), MEDIA_TYPE, &[], b"k8s\0garbage"), 400, "BadRequest");
    well(cluster);
}
