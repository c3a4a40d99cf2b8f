//! The smaller kinds of the core group, and those of coordination, events, policy, scheduling and node.

use serde_json::json;

use crate::{Kit, with};

#[test]
fn namespaces() {
    let kit = Kit::of("", "v1", "namespaces");
    let base = json!({"metadata": {"name": "shop", "labels": {"kubernetes.io/metadata.name": "other"}}});
    let golden = kit.golden(with(&base, &[("spec.finalizers", json!(["a.io/b"]))]));
    assert_eq!(golden["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "shop"}));
    assert_eq!(golden["spec"]["finalizers"], json!(["a.io/b", "kubernetes"]));
    assert_eq!(golden["status"], json!({"phase": "Active"}));
    kit.refuses(&base, &[(&[("spec.finalizers", json!(["unqualified"]))], "Invalid spec.finalizers")]);
    let mut old = kit.created(base);
    assert!(kit.0.is_kept(&*old));
    kit.refuses_updates(&*old, "status", &[(&[("status.phase", json!("Terminating"))], "Invalid status.Phase")]);
    let same = kit.updated(&*old, "", &[("spec.finalizers", json!([])), ("status.phase", json!("x"))]);
    assert_eq!((&same["spec"]["finalizers"], &same["status"]["phase"]), (&json!(["kubernetes"]), &json!("Active")));
    kit.0.begin_deletion(&mut *old, k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
    assert_eq!(kit.0.encode(&*old)["status"]["phase"], "Terminating");
    let (emptied, _) = kit.update(&*old, "finalize", &[("spec.finalizers", json!([]))]);
    assert!(!kit.0.is_kept(&*emptied));
}

#[test]
fn config_maps_and_secrets() {
    let kit = Kit::of("", "v1", "configmaps");
    let base = json!({"metadata": {"name": "c"}, "data": {"a": "1"}, "immutable": true});
    kit.refuses(
        &base,
        &[
            (&[("data", json!({"no spaces": "x"}))], "Invalid data[no spaces]"),
            (&[("binaryData", json!({"a": "AQ=="}))], "Invalid data[a]"),
            (&[("data.b", json!("x".repeat(1 << 20)))], "TooLong []"),
        ],
    );
    let old = kit.created(base);
    kit.refuses_updates(
        &*old,
        "",
        &[
            (&[("data.a", json!("2"))], "Forbidden data"),
            (&[("immutable", json!(null))], "Forbidden immutable"),
            (&[("metadata.labels.x", json!("y"))], ""),
        ],
    );
    let kit = Kit::of("", "v1", "secrets");
    let base = json!({"metadata": {"name": "s"}, "data": {"both": "b2xk"}, "stringData": {"both": "new"}});
    assert_eq!(kit.golden(base.clone())["data"], json!({"both": "bmV3"}));
    assert_eq!(kit.golden(base.clone())["type"], "Opaque");
    kit.refuses(
        &base,
        &[
            (&[("type", json!("kubernetes.io/basic-auth"))], "Required data[username]; Required data[password]"),
            (&[("type", json!("kubernetes.io/tls"))], "Required data[tls.crt]; Required data[tls.key]"),
            (&[("type", json!("kubernetes.io/ssh-auth"))], "Required data[ssh-privatekey]"),
            (&[("type", json!("kubernetes.io/dockerconfigjson"))], "Required data[.dockerconfigjson]"),
            (
                &[("type", json!("kubernetes.io/service-account-token"))],
                "Required metadata.annotations[kubernetes.io/service-account.name]",
            ),
        ],
    );
    kit.refuses_updates(&*kit.created(base), "", &[(&[("type", json!("x"))], "Invalid type")]);
}

#[test]
fn nodes() {
    let kit = Kit::of("", "v1", "nodes");
    let base = json!({"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "4"}}});
    let golden = kit.golden(base.clone());
    assert_eq!(golden["status"]["allocatable"], json!({"cpu": "4"}));
    assert_eq!(golden["spec"]["taints"], json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]));
    let taints = json!([{"key": "k", "effect": "NoSchedule"}, {"key": "k", "effect": "NoSchedule"}, {"key": "a b", "effect": "No"}]);
    kit.refuses(
        &base,
        &[
            (
                &[("spec.taints", taints)],
                "Duplicate metadata.taints[1]; Invalid metadata.taints[2].key; NotSupported metadata.taints[2].effect",
            ),
            (&[("spec.podCIDR", json!("10.0.0.0/40"))], "Invalid spec.podCIDRs[0]"),
            (&[("spec.podCIDRs", json!(["10.1.0.0/24", "10.2.0.0/24"]))], "Invalid spec.podCIDRs"),
        ],
    );
    let old = kit.created(with(&base, &[("spec.providerID", json!("a://1"))]));
    kit.refuses_updates(&*old, "", &[(&[("spec.providerID", json!("a://2"))], "Forbidden spec.providerID")]);
    let status = kit.updated(&*old, "status", &[("status.conditions", json!([{"type": "Ready", "status": "True"}]))]);
    let (ready, _) = kit.update(&*old, "status", &[("status.conditions", status["status"]["conditions"].clone())]);
    assert_eq!(kit.row(&*ready)[1], "Ready");
}

#[test]
fn leases() {
    let kit = Kit::of("coordination.k8s.io", "v1", "leases");
    let base = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "x", "strategy": "OldestEmulationVersion"}});
    assert_eq!(kit.golden(base.clone())["spec"], json!({"holderIdentity": "x"}));
    kit.refuses(
        &base,
        &[
            (&[("spec.leaseDurationSeconds", json!(0))], "Invalid spec.leaseDurationSeconds"),
            (&[("spec.leaseTransitions", json!(-1))], "Invalid spec.leaseTransitions"),
        ],
    );
}

#[test]
fn events_in_both_versions() {
    let old = Kit::of("", "v1", "events");
    let base = json!({"metadata": {"name": "e", "namespace": "n"}, "involvedObject": {"namespace": "n", "kind": "Pod", "name": "p"}});
    let golden = old.golden(base.clone());
    assert_eq!((&golden["eventTime"], &golden["source"], &golden["reportingComponent"]), (&json!(null), &json!({}), &json!("")));
    old.refuses(&base, &[(&[("involvedObject.namespace", json!("x"))], "Invalid involvedObject.namespace")]);

    let new = Kit::of("events.k8s.io", "v1", "events");
    let base = json!({
        "metadata": {"name": "e", "namespace": "n"}, "eventTime": "2026-01-02T03:04:05.000000Z", "type": "Normal",
        "reportingController": "a.io/c", "reportingInstance": "i", "action": "A", "reason": "R", "note": "text",
        "regarding": {"kind": "Pod", "namespace": "n", "name": "p"},
    });
    let golden = new.golden(base.clone());
    assert_eq!((&golden["apiVersion"], &golden["note"]), (&json!("events.k8s.io/v1"), &json!("text")));
    assert_eq!((&golden["regarding"]["name"], golden.get("involvedObject")), (&json!("p"), None));
    new.refuses(
        &base,
        &[
            (&[("eventTime", json!(null))], "Required eventTime"),
            (&[("type", json!("Odd"))], "Invalid type"),
            (&[("reportingController", json!("not qualified!"))], "Invalid reportingController"),
            (&[("deprecatedCount", json!(2))], "Invalid count"),
        ],
    );
    let stored = new.created(base);
    new.refuses_updates(&*stored, "", &[(&[("reason", json!("S"))], "Invalid reason; Invalid reason")]);
    assert_eq!(new.0.stored_field("regarding.name"), Some("involvedObject.name"));
    assert_eq!((new.0.stored_field("involvedObject.name"), new.0.stored_field("source")), (None, None));
    assert_eq!(old.0.encode(&*stored)["message"], "text");
}

#[test]
fn volumes_and_claims() {
    let kit = Kit::of("", "v1", "persistentvolumes");
    let base = json!({
        "metadata": {"name": "v"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}},
    });
    let golden = kit.golden(base.clone());
    assert_eq!(golden["metadata"]["finalizers"], json!(["kubernetes.io/pv-protection"]));
    assert_eq!(golden["spec"]["persistentVolumeReclaimPolicy"], "Retain");
    kit.refuses(
        &base,
        &[
            (&[("spec.nfs", json!({"server": "s", "path": "/p"}))], "Forbidden spec.nfs"),
            (&[("spec.capacity", json!({}))], "Required spec.capacity; NotSupported spec.capacity"),
            (&[("spec.accessModes", json!(["ReadWriteOnce", "ReadWriteOncePod"]))], "Forbidden spec.accessModes"),
            (&[("spec.hostPath", json!(null)), ("spec.local", json!({"path": "/x"}))], "Required spec.nodeAffinity"),
            (&[("spec.hostPath", json!(null))], "Required spec"),
        ],
    );
    let changed = json!({"path": "/y", "type": ""});
    kit.refuses_updates(&*kit.created(base), "", &[(&[("spec.hostPath", changed)], "Forbidden spec.persistentvolumesource")]);

    let kit = Kit::of("", "v1", "persistentvolumeclaims");
    let base = json!({
        "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    assert_eq!(kit.golden(base.clone())["status"], json!({"phase": "Pending"}));
    kit.refuses(
        &base,
        &[
            (
                &[("spec.accessModes", json!([])), ("spec.resources", json!({}))],
                "Required spec.accessModes; Required spec.resources[storage]",
            ),
            (&[("spec.volumeMode", json!("Tape"))], "NotSupported spec.volumeMode"),
            (&[("spec.storageClassName", json!("Bad Class"))], "Invalid spec.storageClassName"),
        ],
    );
    let old = kit.created(base);
    let grown = json!("2Gi");
    kit.refuses_updates(&*old, "", &[(&[("spec.resources.requests.storage", grown.clone())], "Forbidden spec")]);
    let (bound, _) = kit.update(&*old, "status", &[("status.phase", json!("Bound")), ("status.capacity", json!({"storage": "1Gi"}))]);
    kit.updated(&*bound, "", &[("spec.resources.requests.storage", grown)]);
    let shrunk = [("spec.resources.requests.storage", json!("1Mi"))];
    kit.refuses_updates(&*bound, "", &[(&shrunk, "Forbidden spec.resources.requests.storage")]);
}

#[test]
fn limits_and_quotas() {
    let kit = Kit::of("", "v1", "limitranges");
    let base = json!({"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}});
    let full = json!({"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "2"}, "defaultRequest": {"cpu": "2"}});
    assert_eq!(kit.golden(base.clone())["spec"]["limits"], json!([full]));
    assert_eq!(kit.golden(json!({"metadata": {"name": "l"}}))["spec"], json!({"limits": null}));
    kit.refuses(
        &base,
        &[
            (
                &[("spec.limits.0.min", json!({"cpu": "3"}))],
                "Invalid spec.limits[0].min[cpu]; \
              Invalid spec.limits[0].defaultRequest[cpu]; Invalid spec.limits[0].default[cpu]",
            ),
            (&[("spec.limits.0.type", json!("Own"))], "Invalid spec.limits[0].type"),
            (&[("spec.limits.0", json!({"type": "PersistentVolumeClaim"}))], "Required spec.limits[0].limits"),
            (&[("spec.limits.0", json!({"type": "Pod", "default": {"cpu": "1"}}))], "Forbidden spec.limits[0].default"),
        ],
    );
    let kit = Kit::of("", "v1", "resourcequotas");
    let base = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}});
    kit.refuses(
        &base,
        &[
            (&[("spec.hard", json!({"unicorns": "3"}))], "Invalid spec.hard[unicorns]; Invalid spec.hard[unicorns]"),
            (&[("spec.hard", json!({"pods": "1500m"}))], "Invalid spec.hard[pods]"),
            (&[("spec.scopes", json!(["Odd"]))], "Invalid spec.scopes"),
            (&[("spec.scopes", json!(["BestEffort", "NotBestEffort"]))], "Invalid spec.scopes"),
            (
                &[("spec.scopeSelector.matchExpressions", json!([{"scopeName": "Terminating", "operator": "In", "values": ["x"]}]))],
                "Invalid spec.scopeSelector.matchExpressions.operator",
            ),
        ],
    );
    kit.refuses_updates(&*kit.created(base), "", &[(&[("spec.scopes", json!(["Terminating"]))], "Invalid spec.scopes")]);
}

#[test]
fn replication_controllers_and_templates() {
    let kit = Kit::of("", "v1", "replicationcontrollers");
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}});
    let base = json!({"metadata": {"name": "r"}, "spec": {"template": template}});
    let golden = kit.golden(base.clone());
    assert_eq!((&golden["spec"]["selector"], &golden["metadata"]["labels"]), (&json!({"app": "x"}), &json!({"app": "x"})));
    assert_eq!((&golden["spec"]["replicas"], &golden["status"]), (&json!(1), &json!({"replicas": 0})));
    kit.refuses(
        &base,
        &[
            (&[("spec.template", json!(null))], "Required spec.selector; Required spec.template"),
            (&[("spec.replicas", json!(-1))], "Invalid spec.replicas"),
            (&[("spec.selector", json!({"app": "y"}))], "Invalid spec.template.metadata.labels"),
            (&[("spec.template.spec.restartPolicy", json!("Never"))], "NotSupported spec.template.spec.restartPolicy"),
        ],
    );
    let old = kit.created(base);
    kit.refuses_updates(&*old, "status", &[(&[("status.readyReplicas", json!(5))], "Invalid status.readyReplicas")]);

    let kit = Kit::of("", "v1", "podtemplates");
    let old = kit.created(json!({"metadata": {"name": "t"}, "template": template}));
    assert_eq!(kit.row(&*old), json!(["t", "a", "a:1", "app=x"]));
    assert_eq!(kit.updated(&*old, "", &[("template.spec.hostname", json!("h"))])["metadata"]["generation"], 2);
}

#[test]
fn budgets_priorities_and_runtimes() {
    let kit = Kit::of("policy", "v1", "poddisruptionbudgets");
    let base = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": "60%"}});
    let counts = json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
    assert_eq!(kit.golden(base.clone())["status"], counts);
    kit.refuses(
        &base,
        &[
            (&[("spec.maxUnavailable", json!(1))], "Invalid spec"),
            (&[("spec.minAvailable", json!(-1))], "Invalid spec.minAvailable"),
            (&[("spec.minAvailable", json!("101%"))], "Invalid spec.minAvailable"),
            (&[("spec.unhealthyPodEvictionPolicy", json!("Maybe"))], "NotSupported spec.unhealthyPodEvictionPolicy"),
        ],
    );
    let kit = Kit::of("scheduling.k8s.io", "v1", "priorityclasses");
    let base = json!({"metadata": {"name": "high"}, "value": 5});
    assert_eq!(kit.golden(base.clone())["preemptionPolicy"], "PreemptLowerPriority");
    kit.refuses(
        &base,
        &[(&[("metadata.name", json!("system-x"))], "Forbidden metadata.name"), (&[("value", json!(1_000_000_001))], "Forbidden value")],
    );
    kit.refuses_updates(&*kit.created(base), "", &[(&[("value", json!(6))], "Forbidden value")]);
    let kit = Kit::of("node.k8s.io", "v1", "runtimeclasses");
    let base = json!({"metadata": {"name": "kata"}, "handler": "kata"});
    kit.refuses(
        &base,
        &[
            (&[("handler", json!(""))], "Required handler"),
            (&[("overhead.podFixed", json!({"cpu": "-1"}))], "Invalid overhead.limits[cpu]"),
            (&[("scheduling.nodeSelector", json!({"a b": "c"}))], "Invalid scheduling.nodeSelector"),
        ],
    );
    kit.refuses_updates(&*kit.created(base), "", &[(&[("handler", json!("runc"))], "Invalid handler")]);
}
