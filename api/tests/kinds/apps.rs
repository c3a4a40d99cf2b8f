//! The group `apps`.

use serde_json::{Value, json};

use crate::{Kit, with};

fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"restartPolicy": "Always", "containers": [{"name": "web", "image": "registry.example/web:2"}]},
    })
}

fn minimal() -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "n"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template()},
    })
}

#[test]
fn deployments_are_defaulted() {
    let made = Kit::of("apps", "v1", "deployments")
        .golden(with(&minimal(), &[("spec.minReadySeconds", json!(0)), ("spec.paused", json!(false)), ("status", json!({"replicas": 7}))]));
    assert_eq!(made["status"], json!({}));
    assert_eq!(made["metadata"]["generation"], 1);
    let mut spec = made["spec"].clone();
    spec.as_object_mut().unwrap().remove("template");
    assert_eq!(
        spec,
        json!({
            "progressDeadlineSeconds": 600,
            "replicas": 1,
            "revisionHistoryLimit": 10,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        })
    );
}

#[test]
fn bad_deployments_are_refused() {
    let strategy = |value| ("spec.strategy", value);
    Kit::of("apps", "v1", "deployments").refuses(
        &minimal(),
        &[
            (
                &[strategy(json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}))],
                "Invalid spec.strategy.rollingUpdate.maxUnavailable",
            ),
            (&[strategy(json!({"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}))], "Forbidden spec.strategy.rollingUpdate"),
            (&[strategy(json!({"rollingUpdate": {"maxUnavailable": "120%"}}))], "Invalid spec.strategy.rollingUpdate.maxUnavailable"),
            (&[strategy(json!({"type": "BlueGreen"}))], "NotSupported spec.strategy"),
            (&[strategy(json!({"rollingUpdate": {"maxSurge": "1.5"}}))], "Invalid spec.strategy.rollingUpdate.maxSurge"),
            (&[strategy(json!({"rollingUpdate": {"maxSurge": -1}}))], "Invalid spec.strategy.rollingUpdate.maxSurge"),
            (&[("spec.selector", Value::Null)], "Required spec.selector; Invalid spec.template.metadata.labels"),
            (&[("spec.selector", json!({}))], "Invalid spec.selector"),
            (&[("spec.selector.matchLabels.app", json!("other"))], "Invalid spec.template.metadata.labels"),
            (
                &[("spec.selector", json!({"matchExpressions": [{"key": "app", "operator": "In"}]}))],
                "Required spec.selector.matchExpressions[0].values; Invalid spec.selector",
            ),
            (&[("spec.selector.matchLabels.app", json!("not ok!"))], "Invalid spec.selector.matchLabels; Invalid spec.selector"),
            (&[("spec.template.spec.restartPolicy", json!("OnFailure"))], "NotSupported spec.template.spec.restartPolicy"),
            (&[("spec.template.spec.activeDeadlineSeconds", json!(30))], "Forbidden spec.template.spec.activeDeadlineSeconds"),
            (&[("spec.template.spec.containers", json!([]))], "Required spec.template.spec.containers"),
            (&[("spec.replicas", json!(-1)), ("spec.minReadySeconds", json!(-1))], "Invalid spec.replicas; Invalid spec.minReadySeconds"),
            (&[("spec.progressDeadlineSeconds", json!(5)), ("spec.minReadySeconds", json!(5))], "Invalid spec.progressDeadlineSeconds"),
        ],
    );
}

#[test]
fn deployments_change_within_limits() {
    let kit = Kit::of("apps", "v1", "deployments");
    let old = kit.created(minimal());
    let generation = |changes: &[(&str, Value)]| kit.updated(&*old, "", changes)["metadata"]["generation"].clone();
    assert_eq!(generation(&[("metadata.labels", json!({"a": "b"}))]), 1);
    assert_eq!(generation(&[("metadata.annotations", json!({"a": "b"}))]), 2);
    assert_eq!(generation(&[("spec.replicas", json!(2))]), 2);
    assert_eq!(generation(&[("status.replicas", json!(2))]), 1);
    kit.refuses_updates(
        &*old,
        "",
        &[(
            &[("spec.selector.matchLabels", json!({"a": "b"})), ("spec.template.metadata.labels", json!({"a": "b"}))],
            "Invalid spec.selector",
        )],
    );
    let status =
        kit.updated(&*old, "status", &[("spec.replicas", json!(9)), ("status.replicas", json!(2)), ("metadata.labels", json!({"a": "b"}))]);
    assert_eq!((&status["spec"]["replicas"], &status["status"]), (&json!(1), &json!({"replicas": 2})));
    assert_eq!(status["metadata"]["labels"], Value::Null);
    kit.refuses_updates(
        &*old,
        "status",
        &[
            (&[("status.observedGeneration", json!(-1))], "Invalid status.observedGeneration"),
            (&[("status.availableReplicas", json!(1))], "Invalid status.availableReplicas; Invalid status.availableReplicas"),
        ],
    );
}

#[test]
fn rows_of_deployments() {
    let kit = Kit::of("apps", "v1", "deployments");
    let row = kit.row(&*kit.created(minimal()));
    assert_eq!(row, json!(["web", "0/1", 0, 0, "<unknown>", "web", "registry.example/web:2", "app=web"]));
}

#[test]
fn replica_sets() {
    let kit = Kit::of("apps", "v1", "replicasets");
    let made = kit.golden(minimal());
    assert_eq!((&made["spec"]["replicas"], &made["status"]), (&json!(1), &json!({"replicas": 0})));
    kit.refuses(
        &minimal(),
        &[
            (&[("spec.replicas", json!(-2))], "Invalid spec.replicas"),
            (&[("spec.selector", Value::Null)], "Required spec.selector; Invalid spec.template.metadata.labels"),
        ],
    );
    let old = kit.created(minimal());
    kit.refuses_updates(&*old, "status", &[(&[("status.fullyLabeledReplicas", json!(1))], "Invalid status.fullyLabeledReplicas")]);
}

#[test]
fn daemon_sets() {
    let kit = Kit::of("apps", "v1", "daemonsets");
    let old = kit.created(minimal());
    let made = kit.0.encode(&*old);
    assert_eq!(made["spec"]["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}));
    assert_eq!(
        made["status"],
        json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0})
    );
    let template_generation = |object: &Value| object["metadata"]["annotations"]["deprecated.daemonset.template.generation"].clone();
    assert_eq!(template_generation(&made), "1");
    let patient = kit.updated(&*old, "", &[("spec.minReadySeconds", json!(4))]);
    assert_eq!((template_generation(&patient), &patient["metadata"]["generation"]), (json!("1"), &json!(2)));
    let newer = kit.updated(&*old, "", &[("spec.template.spec.containers.0.image", json!("registry.example/web:3"))]);
    assert_eq!((template_generation(&newer), &newer["metadata"]["generation"]), (json!("2"), &json!(2)));
    kit.refuses(
        &minimal(),
        &[
            (&[("spec.selector", Value::Null)], "Invalid spec.template.metadata.labels"),
            (&[("spec.selector", json!({}))], "Invalid spec.selector"),
            (&[("spec.updateStrategy", json!({"type": "Now"}))], "NotSupported spec.updateStrategy"),
            (&[("spec.updateStrategy.rollingUpdate.maxSurge", json!(1))], "Invalid spec.updateStrategy.rollingUpdate.maxSurge"),
            (
                &[("spec.updateStrategy.rollingUpdate.maxUnavailable", json!(0))],
                "Required spec.updateStrategy.rollingUpdate.maxUnavailable",
            ),
        ],
    );
}

fn ledger() -> Value {
    with(
        &minimal(),
        &[
            ("spec.serviceName", json!("ledger")),
            (
                "spec.volumeClaimTemplates",
                json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}}]),
            ),
            ("spec.template.spec.containers.0.volumeMounts", json!([{"name": "data", "mountPath": "/data"}])),
        ],
    )
}

#[test]
fn stateful_sets_are_defaulted() {
    let made = Kit::of("apps", "v1", "statefulsets").golden(ledger());
    assert_eq!(made["status"], json!({"availableReplicas": 0, "replicas": 0}));
    let spec = &made["spec"];
    assert_eq!(spec["podManagementPolicy"], "OrderedReady");
    assert_eq!(spec["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}));
    assert_eq!(spec["persistentVolumeClaimRetentionPolicy"], json!({"whenDeleted": "Retain", "whenScaled": "Retain"}));
    assert_eq!(
        spec["volumeClaimTemplates"],
        json!([{
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}, "volumeMode": "Filesystem"},
            "status": {"phase": "Pending"},
        }])
    );
}

#[test]
fn bad_stateful_sets_are_refused() {
    let kit = Kit::of("apps", "v1", "statefulsets");
    assert!(!kit.0.validate_name("a.b", false).is_empty());
    let rolling = "spec.updateStrategy.rollingUpdate";
    kit.refuses(
        &ledger(),
        &[
            (&[("spec.podManagementPolicy", json!("Random"))], "Invalid spec.podManagementPolicy"),
            (
                &[("spec.updateStrategy", json!({"type": "OnDelete", "rollingUpdate": {"partition": 1}}))],
                "Invalid spec.updateStrategy.rollingUpdate",
            ),
            (
                &[("spec.updateStrategy.type", json!("RollingUpdate")), (rolling, json!({"partition": -1}))],
                "Invalid spec.updateStrategy.rollingUpdate.partition",
            ),
            (&[("spec.ordinals", json!({"start": -1}))], "Invalid spec.ordinals.start"),
            (
                &[("spec.persistentVolumeClaimRetentionPolicy", json!({"whenDeleted": "Shred"}))],
                "NotSupported spec.persistentVolumeClaimRetentionPolicy.whenDeleted",
            ),
            (&[("spec.replicas", json!(-1)), ("spec.minReadySeconds", json!(-1))], "Invalid spec.replicas; Invalid spec.minReadySeconds"),
            (&[("spec.template.metadata.labels.app", json!("nope"))], "Invalid spec.template.metadata.labels"),
            (&[("spec.selector", Value::Null)], "Required spec.selector; Invalid spec.template.metadata.labels"),
            (&[("spec.serviceName", json!("Not A Name"))], "Invalid spec.serviceName"),
        ],
    );
    let old = kit.created(ledger());
    kit.refuses_updates(
        &*old,
        "",
        &[
            (&[("spec.serviceName", json!("other"))], "Forbidden spec"),
            (&[("spec.podManagementPolicy", json!("Parallel"))], "Forbidden spec"),
            (&[("spec.replicas", json!(4)), ("spec.ordinals", json!({"start": 2}))], ""),
        ],
    );
    kit.refuses_updates(
        &*old,
        "status",
        &[(&[("status.availableReplicas", json!(1))], "Invalid status.availableReplicas; Invalid status.availableReplicas")],
    );
}

#[test]
fn controller_revisions() {
    let kit = Kit::of("apps", "v1", "controllerrevisions");
    let base = json!({"metadata": {"name": "r", "namespace": "n"}, "revision": 1, "data": {"a": "b"}});
    kit.refuses(
        &base,
        &[
            (&[("data", Value::Null)], "Required data"),
            (&[("data", json!("just-a-string"))], "Required data"),
            (&[("revision", json!(-3))], "Invalid revision"),
        ],
    );
    let old = kit.created(base);
    kit.refuses_updates(&*old, "", &[(&[("data.a", json!("c"))], "Invalid data"), (&[("revision", json!(7))], "")]);
}
