//! Whatever is sent, the answer is the one that Kubernetes gives, and the server is well afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod documents;
mod protobuf;
mod requests;
mod transport;

use std::io;
use std::process::ExitCode;

use kybern_tests::cluster::{Cluster, Shape};
use kybern_tests::http::Answer;
use kybern_tests::load::MAPS;
use kybern_tests::suite::{self, Check};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let checks: &[(&str, Check)] = &[
        ("documents_that_do_not_parse", documents::documents_that_do_not_parse),
        ("unknown_and_duplicate_fields", documents::unknown_and_duplicate_fields),
        ("wrong_types", documents::wrong_types),
        ("too_much", documents::too_much),
        ("too_deep", documents::too_deep),
        ("yaml_bombs", documents::yaml_bombs),
        ("protobuf_that_is_none", protobuf::protobuf_that_is_none),
        ("illegal_names", requests::illegal_names),
        ("stale_and_impossible_versions", requests::stale_and_impossible_versions),
        ("impossible_selectors", requests::impossible_selectors),
        ("patches_that_cannot_be", requests::patches_that_cannot_be),
        ("requests_that_fit_nothing", requests::requests_that_fit_nothing),
        ("strangers", requests::strangers),
        ("broken_transport", transport::broken_transport),
        ("half_closed_connections", transport::half_closed_connections),
        ("unfinished_requests", transport::unfinished_requests),
        ("slow_readers_of_a_watch", transport::slow_readers_of_a_watch),
    ];
    suite::main(&[Shape::Embedded, Shape::Etcd], checks)
}

/// The answer is a Status with this code and reason.
#[track_caller]
fn refused(answer: io::Result<Answer>, code: u16, reason: &str) -> Value {
    let answer = answer.unwrap();
    let status = answer.json();
    assert_eq!((answer.code, answer.reason().as_str()), (code, reason), "{}", answer.text().chars().take(400).collect::<String>());
    assert_eq!((&status["kind"], &status["status"], &status["code"]), (&json!("Status"), &json!("Failure"), &json!(code)));
    status
}

/// It answers, writes, and has not panicked.
#[track_caller]
fn well(cluster: &Cluster) {
    let http = cluster.http();
    assert_eq!(http.get("/readyz").unwrap().text(), "ok");
    let made = http.post(MAPS, &json!({"metadata": {"generateName": "well-"}}).to_string().into_bytes()).unwrap();
    assert_eq!(made.code, 201, "{}", made.text());
    assert!(!cluster.output().contains("panicked"), "{}", cluster.output());
}
