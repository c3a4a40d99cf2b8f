//! What it costs to read and decode a pod of 1.5 KB. `cargo bench -p kybern-machinery` prints microseconds per body.

use std::hint::black_box;
use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use machinery::decode::{self, Encoding, FieldValidation};
use machinery::schema::Schema;

const ROUNDS: u32 = 20_000;

fn measure<T>(what: &str, mut work: impl FnMut() -> T) {
    for _ in 0..ROUNDS / 10 {
        black_box(work());
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(work());
    }
    println!("{what:<40} {:>8.2} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
}

fn main() {
    let start = Instant::now();
    let schema = Schema::of::<Pod>();
    println!("{:<40} {:>8.2} us", "build the schema", start.elapsed().as_secs_f64() * 1e6);
    let body = pod();
    println!("a body of {} bytes", body.len());
    let parsed = match decode::parse(body.as_bytes(), Encoding::Json) {
        Ok(parsed) => parsed,
        Err(error) => return eprintln!("{error}"),
    };
    measure("parse as serde_json does", || serde_json::from_str::<serde_json::Value>(&body));
    measure("parse", || decode::parse(body.as_bytes(), Encoding::Json));
    measure("clone the value", || parsed.value.clone());
    measure("clone and conform", || {
        let (mut value, mut findings) = (parsed.value.clone(), Vec::new());
        decode::conform(&mut value, &schema, &mut findings).map(|()| value)
    });
    measure("decode", || decode::decode(body.as_bytes(), Encoding::Json, &schema, FieldValidation::Strict));
    measure("into the typed pod", || serde_json::from_value::<Pod>(parsed.value.clone()));
}

fn pod() -> String {
    let container = |name: &str| {
        serde_json::json!({
            "name": name, "image": "registry.example/shop/cart:1.42.0", "args": ["--listen", ":8080", "--verbose"],
            "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
            "env": [{"name": "MODE", "value": "fast"}, {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/cart", "readOnly": true}],
        })
    };
    serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "cart-7d9c5b4f6-x2x8p", "namespace": "shop", "labels": {"app": "cart", "pod-template-hash": "7d9c5b4f6"}},
        "spec": {
            "containers": [container("cart"), container("sidecar")],
            "volumes": [{"name": "config", "configMap": {"name": "cart"}}],
            "nodeSelector": {"disk": "fast"}, "serviceAccountName": "cart", "terminationGracePeriodSeconds": 30,
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
        },
    })
    .to_string()
}
