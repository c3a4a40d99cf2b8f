//! Requests whose parts cannot be: names, versions, selectors, patches, methods, callers.

use kybern_tests::cluster::Cluster;
use kybern_tests::load::{MAPS, config_map};
use serde_json::{Value, json};

use crate::{refused, well};

pub fn illegal_names(cluster: &Cluster) {
    let http = cluster.http();
    let long = "a".repeat(254);
    for name in ["Upper", "under_score", "-dash", "dash-", "sp ace", "a/b", "..", "%", "ünïcode", &long, ""] {
        let status = refused(http.post(MAPS, &config_map(name, "v")), 422, "Invalid");
        let field = status["details"]["causes"][0]["field"].as_str().unwrap();
        assert!(field == "metadata.name" || name.is_empty(), "{status}");
    }
    for bad in [json!({"no such/key/": "v"}), json!({"key": "no such value!"}), json!({"k": "v".repeat(64)})] {
        let body = json!({"metadata": {"name": "labelled", "labels": bad}}).to_string();
        refused(http.post(MAPS, body.as_bytes()), 422, "Invalid");
    }
    let elsewhere = json!({"metadata": {"name": "elsewhere", "namespace": "kube-system"}}).to_string();
    refused(http.post(MAPS, elsewhere.as_bytes()), 400, "BadRequest");
    refused(http.post("/api/v1/namespaces/absent/configmaps", &config_map("a", "v")), 404, "NotFound");
    refused(http.get("/api/v1/namespaces/default/configmaps/%00"), 404, "NotFound");
    let path = http.get("/api/v1/namespaces/default/configmaps/..%2f..%2fsecrets").unwrap();
    assert!([400, 404].contains(&path.code), "{}", path.text());
    well(cluster);
}

pub fn stale_and_impossible_versions(cluster: &Cluster) {
    let http = cluster.http();
    let made = http.post(MAPS, &config_map("versions", "1")).unwrap().json();
    let path = format!("{MAPS}/versions");
    let put = |object: &Value| http.send("PUT", &path, "application/json", &[], object.to_string().as_bytes());
    let mut newer = made.clone();
    newer["data"]["value"] = json!("2");
    assert_eq!(put(&newer).unwrap().code, 200);
    refused(put(&newer), 409, "Conflict");
    let mut stranger = made.clone();
    stranger["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    stranger["metadata"]["resourceVersion"] = Value::Null;
    let answer = put(&stranger).unwrap();
    assert!([409, 422].contains(&answer.code), "{}", answer.text());
    refused(http.get(&format!("{MAPS}?resourceVersion=x")), 400, "BadRequest");
    refused(http.get(&format!("{MAPS}?resourceVersion=1&resourceVersionMatch=Sideways")), 422, "Invalid");
    refused(http.get(&format!("{MAPS}?continue=garbage&limit=2")), 400, "BadRequest");
    refused(http.get(&format!("{MAPS}?resourceVersion=99999999")), 504, "Timeout");
    let with_version = json!({"metadata": {"name": "preset", "resourceVersion": "7"}}).to_string();
    assert_eq!(http.post(MAPS, with_version.as_bytes()).unwrap().code, 500);
    let precondition = json!({"preconditions": {"resourceVersion": "1"}}).to_string();
    refused(http.send("DELETE", &path, "application/json", &[], precondition.as_bytes()), 409, "Conflict");
    well(cluster);
}

pub fn impossible_selectors(cluster: &Cluster) {
    let http = cluster.http();
    for selector in ["a%20in", "a%20in%20(", "a%3D%3D%3Db", "%21", "a%3Db%2C%2C", "-bad-%3Dx", "a%3Dno%21value", "a%20near%20(b)"] {
        refused(http.get(&format!("{MAPS}?labelSelector={selector}")), 400, "BadRequest");
    }
    for selector in ["spec.nodeName%3Da", "metadata.name%3Ea", "metadata.name", "a%3D%3D%3D"] {
        refused(http.get(&format!("{MAPS}?fieldSelector={selector}")), 400, "BadRequest");
    }
    let long: String = (0..20_000).map(|n| format!("k{n}%3Dv%2C")).collect();
    if let Ok(answer) = http.get(&format!("{MAPS}?labelSelector={long}")) {
        assert!([400, 414, 431].contains(&answer.code), "{}", answer.code);
    }
    refused(http.get(&format!("{MAPS}?limit=many")), 400, "BadRequest");
    well(cluster);
}

pub fn patches_that_cannot_be(cluster: &Cluster) {
    let http = cluster.http();
    http.post(MAPS, &config_map("patched", "1")).unwrap();
    let patch =
        |kind: &str, body: &str| http.send("PATCH", &format!("{MAPS}/patched"), &format!("application/{kind}"), &[], body.as_bytes());
    refused(patch("json-patch+json", "{}"), 400, "BadRequest");
    refused(patch("json-patch+json", "[{\"op\":\"fly\",\"path\":\"/data\"}]"), 422, "Invalid");
    refused(patch("json-patch+json", "[{\"op\":\"remove\",\"path\":\"/absent/far/away\"}]"), 422, "Invalid");
    let operations = vec!["{\"op\":\"test\",\"path\":\"/data/value\",\"value\":\"1\"}"; 10_001].join(",");
    refused(patch("json-patch+json", &format!("[{operations}]")), 413, "RequestEntityTooLarge");
    // Copies that double what there is.
    let doubling: Vec<String> = (0..40).map(|n| format!("{{\"op\":\"copy\",\"from\":\"/data\",\"path\":\"/data/x{n}\"}}")).collect();
    let answer = patch("json-patch+json", &format!("[{}]", doubling.join(","))).unwrap();
    assert!([400, 413, 422].contains(&answer.code), "{}", answer.code);
    refused(patch("merge-patch+json", "[1"), 400, "BadRequest");
    refused(patch("apply-patch+yaml", "apiVersion: v1\nkind: ConfigMap\n"), 422, "Invalid");
    refused(patch("unheard-of", "{}"), 415, "UnsupportedMediaType");
    refused(patch("merge-patch+json", "{\"metadata\":{\"name\":\"other\"}}"), 400, "BadRequest");
    well(cluster);
}

pub fn requests_that_fit_nothing(cluster: &Cluster) {
    let http = cluster.http();
    refused(http.send("PUT", MAPS, "application/json", &[], b"{}"), 405, "MethodNotAllowed");
    refused(http.post(&format!("{MAPS}/some-name"), b"{}"), 405, "MethodNotAllowed");
    refused(http.get("/api/v1/namespaces/default/gadgets"), 404, "NotFound");
    refused(http.get("/apis/apps/v9/deployments"), 404, "NotFound");
    assert_eq!(http.get("/nowhere").unwrap().code, 404);
    refused(http.send("GET", MAPS, "", &["Accept: image/png"], b""), 406, "NotAcceptable");
    // Every word but "false" and "0" turns a watch on, and its versions are refused without a reason.
    refused(http.get(&format!("{MAPS}?watch=perhaps&timeoutSeconds=1&resourceVersion=abc")), 500, "");
    for method in ["BREW", "TRACE", "CONNECT"] {
        if let Ok(answer) = http.send(method, MAPS, "", &[], b"") {
            assert!((400..500).contains(&answer.code), "{method}: {}", answer.code);
        }
    }
    well(cluster);
}

pub fn strangers(cluster: &Cluster) {
    let http = cluster.stranger();
    refused(http.get(MAPS), 403, "Forbidden");
    refused(http.send("GET", MAPS, "", &["Authorization: Bearer wrong"], b""), 401, "Unauthorized");
    for odd in ["Authorization: Bearer", "Authorization: Basic YTpi", "Authorization: \u{7f}"] {
        let answer = http.send("GET", MAPS, "", &[odd], b"").unwrap();
        assert!([400, 401, 403].contains(&answer.code), "{odd}: {}", answer.text());
    }
    refused(http.send("GET", MAPS, "", &["Impersonate-User: system:admin"], b""), 403, "Forbidden");
    assert_eq!(http.get("/version").unwrap().code, 200);
    well(cluster);
}
