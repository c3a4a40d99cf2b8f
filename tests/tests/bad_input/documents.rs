//! Bodies: what does not parse, does not fit, or would grow without end.

use std::io::Write;

use kybern_tests::cluster::Cluster;
use kybern_tests::http::{Answer, Http, read_answer};
use kybern_tests::load::{MAPS, config_map};
use serde_json::{Value, json};

use crate::{refused, well};

fn yaml(http: &Http, query: &str, document: &str) -> std::io::Result<Answer> {
    http.send("POST", &format!("{MAPS}{query}"), "application/yaml", &[], document.as_bytes())
}

pub fn documents_that_do_not_parse(cluster: &Cluster) {
    let http = cluster.http();
    let broken =
        ["{\"metadata\": {\"name\": \"x\"", "nonsense", "{\"a\": 01}", "[]", "\"text\"", "{\"metadata\": {\"name\": \"\\ud800\"}", "\u{0}"];
    for body in broken {
        refused(http.post(MAPS, body.as_bytes()), 400, "BadRequest");
    }
    refused(http.post(MAPS, b"\xff\xfe{}"), 400, "BadRequest");
    for document in ["a: [1", "a: b: c", "a:\n\tb: 1", "- just\n- a list\n", "*nowhere", "--- !!binary x"] {
        refused(yaml(&http, "", document), 400, "BadRequest");
    }
    refused(http.send("POST", MAPS, "application/vnd.kubernetes.protobuf", &[], b"k8s\0garbage"), 400, "BadRequest");
    refused(http.send("POST", MAPS, "text/plain", &[], b"hello"), 415, "UnsupportedMediaType");
    well(cluster);
}

pub fn unknown_and_duplicate_fields(cluster: &Cluster) {
    let http = cluster.http();
    let validation = |level: &str| format!("{MAPS}?fieldValidation={level}&dryRun=All");
    let unknown = br#"{"metadata": {"name": "fields"}, "data": {"a": "1"}, "dada": {}}"#;
    let twice = br#"{"metadata": {"name": "fields"}, "data": {"a": "1", "a": "2"}}"#;
    for (body, says) in [(&unknown[..], "unknown field \"dada\""), (&twice[..], "duplicate field \"data.a\"")] {
        let status = refused(http.post(&validation("Strict"), body), 400, "BadRequest");
        assert!(status["message"].as_str().unwrap().contains(says), "{status}");
        let warned = http.post(&validation("Warn"), body).unwrap();
        assert_eq!(warned.code, 201);
        let warning = warned.header("warning").unwrap_or_default();
        assert!(warning.starts_with("299 - \"") && warning.contains(&says.replace('"', "\\\"")), "{warning}");
        let ignored = http.post(&validation("Ignore"), body).unwrap();
        assert_eq!((ignored.code, ignored.header("warning")), (201, None));
    }
    refused(http.post(&validation("Sometimes"), unknown), 422, "Invalid");
    let document = "metadata: {name: fields}\ndata: {a: '1'}\ndata: {a: '2'}\n";
    refused(yaml(&http, "?fieldValidation=Strict", document), 400, "BadRequest");
    well(cluster);
}

pub fn wrong_types(cluster: &Cluster) {
    let http = cluster.http();
    for body in [
        json!({"metadata": {"name": "types"}, "data": {"a": 1}}),
        json!({"metadata": {"name": "types"}, "data": ["a"]}),
        json!({"metadata": "types"}),
        json!({"metadata": {"name": "types", "labels": {"a": null, "b": {}}}}),
        json!({"metadata": {"name": "types"}, "immutable": "yes"}),
        json!({"metadata": {"name": "types"}, "binaryData": {"a": "not base64!"}}),
        json!({"metadata": {"name": "types", "creationTimestamp": "yesterday"}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "types"}}),
        json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "types"}}),
    ] {
        refused(http.post(MAPS, body.to_string().as_bytes()), 400, "BadRequest");
    }
    let pod = |spec: Value| json!({"metadata": {"name": "types"}, "spec": spec}).to_string().into_bytes();
    let pods = "/api/v1/namespaces/default/pods";
    refused(
        http.post(pods, &pod(json!({"containers": [{"name": "a", "image": "b", "ports": [{"containerPort": 2.5}]}]}))),
        400,
        "BadRequest",
    );
    refused(
        http.post(pods, &pod(json!({"containers": [{"name": "a", "image": "b", "resources": {"requests": {"cpu": "lots"}}}]}))),
        400,
        "BadRequest",
    );
    refused(http.post(pods, &pod(json!({"containers": []}))), 422, "Invalid");
    well(cluster);
}

pub fn too_much(cluster: &Cluster) {
    let http = cluster.http();
    // More than an object may hold, yet less than a request may.
    refused(http.post(MAPS, &config_map("much", &"x".repeat(1_100_000))), 422, "Invalid");
    let body = config_map("much", &"x".repeat(4_000_000));
    refused(http.post(MAPS, &body), 413, "RequestEntityTooLarge");
    refused(
        http.send("PATCH", &format!("{MAPS}/kube-root-ca.crt"), "application/merge-patch+json", &[], &body),
        413,
        "RequestEntityTooLarge",
    );
    // Announced by no length.
    let mut connection = http.connect().unwrap();
    let head = format!(
        "POST {MAPS} HTTP/1.1\r\nHost: k\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).unwrap();
    for chunk in body.chunks(65_536) {
        let sent = write!(connection, "{:x}\r\n", chunk.len())
            .and_then(|()| connection.write_all(chunk))
            .and_then(|()| connection.write_all(b"\r\n"));
        if sent.is_err() {
            break;
        }
    }
    let _ = connection.write_all(b"0\r\n\r\n");
    refused(read_answer(&mut connection), 413, "RequestEntityTooLarge");
    // A header of a megabyte.
    let headers = format!("X-Long: {}", "x".repeat(1 << 20));
    if let Ok(answer) = http.send("GET", MAPS, "", &[&headers], b"") {
        assert_eq!(answer.code, 431, "{}", answer.text());
    }
    well(cluster);
}

pub fn too_deep(cluster: &Cluster) {
    let http = cluster.http();
    for depth in [200, 20_000, 1_000_000] {
        let lists = format!("{{\"metadata\":{{\"name\":\"deep\"}},\"data\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let maps = format!("{{\"metadata\":{{\"name\":\"deep\"}},\"x\":{}1{}}}", "{\"a\":".repeat(depth / 3), "}".repeat(depth / 3));
        refused(http.post(MAPS, lists.as_bytes()), 400, "BadRequest");
        // An unknown field is dropped, unless it is too deep to be looked at.
        let answer = http.post(&format!("{MAPS}?dryRun=All"), maps.as_bytes()).unwrap();
        assert!([201, 400].contains(&answer.code), "{}", answer.text());
        let flow = format!("metadata: {{name: deep}}\ndata: {}{}\n", "[".repeat(depth), "]".repeat(depth));
        refused(yaml(&http, "", &flow), 400, "BadRequest");
        let patch = format!("{{\"data\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let answer =
            http.send("PATCH", &format!("{MAPS}/kube-root-ca.crt"), "application/merge-patch+json", &[], patch.as_bytes()).unwrap();
        assert!([400, 422].contains(&answer.code), "{}", answer.text());
    }
    well(cluster);
}

pub fn yaml_bombs(cluster: &Cluster) {
    let http = cluster.http();
    let mut bomb = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let answer = yaml(&http, "", &bomb).unwrap();
    assert!([400, 413].contains(&answer.code), "{}", answer.text());
    let merged: String = (1..40).map(|n| format!("m{n}: &m{n} {{<<: [*m{}, *m{}]}}\n", n - 1, n - 1)).collect();
    let answer = yaml(&http, "", &format!("m0: &m0 {{a: b}}\n{merged}")).unwrap();
    assert!(answer.code >= 400 && answer.code < 500, "{}", answer.text());
    refused(yaml(&http, "", "a: &a [*a]\n"), 400, "BadRequest");
    well(cluster);
}
