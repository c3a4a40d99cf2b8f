//! The group `storage.k8s.io`.

use serde_json::{Value, json};

use crate::{Kit, with};

const GROUP: &str = "storage.k8s.io";

#[test]
fn storage_classes() {
    let kit = Kit::of(GROUP, "v1", "storageclasses");
    let base = json!({"metadata": {"name": "fast"}, "provisioner": "csi.example.com", "parameters": {"type": "ssd"}});
    let old = kit.created(base.clone());
    assert_eq!(kit.row(&*old), json!(["fast", "csi.example.com", "Delete", "Immediate", false, "<unknown>"]));
    let topologies = json!([{"matchLabelExpressions": [{"key": "zone", "values": []}, {"key": "zone", "values": ["a", "a"]}]}]);
    let expression = "allowedTopologies[0].matchLabelExpressions";
    kit.refuses(
        &base,
        &[
            (
                &[
                    ("provisioner", json!("bad provisioner")),
                    ("parameters", json!({"": "x"})),
                    ("reclaimPolicy", json!("Burn")),
                    ("volumeBindingMode", json!("Never")),
                ],
                "Invalid provisioner; Invalid parameters; NotSupported reclaimPolicy; NotSupported volumeBindingMode",
            ),
            (&[("provisioner", json!(""))], "Required provisioner"),
            (
                &[("allowedTopologies", topologies)],
                &format!("Required {expression}[0].values; Duplicate {expression}[1].values[1]; Duplicate {expression}[1].key"),
            ),
        ],
    );
    kit.refuses_updates(
        &*old,
        "",
        &[(
            &[
                ("provisioner", json!("other.example.com")),
                ("parameters", json!({"type": "hdd"})),
                ("reclaimPolicy", json!("Retain")),
                ("volumeBindingMode", json!("WaitForFirstConsumer")),
            ],
            "Invalid parameters; Invalid provisioner; Invalid reclaimPolicy; Invalid volumeBindingMode",
        )],
    );
}

#[test]
fn volume_attachments() {
    let kit = Kit::of(GROUP, "v1", "volumeattachments");
    let base = json!({
        "metadata": {"name": "va"},
        "spec": {"attacher": "none.example.com", "nodeName": "n1", "source": {"persistentVolumeName": "pv"}},
        "status": {"attached": true},
    });
    let old = kit.created(base.clone());
    assert_eq!(kit.0.encode(&*old)["status"], json!({"attached": false}));
    kit.refuses(
        &base,
        &[(
            &[("spec", json!({"attacher": "", "nodeName": "", "source": {}}))],
            "Required spec.attacher; Required spec.source; Invalid spec.nodeName",
        )],
    );
    kit.refuses_updates(&*old, "", &[(&[("spec.nodeName", json!("other"))], "Invalid spec")]);
    let attached = kit.updated(&*old, "status", &[("status.attached", json!(true)), ("metadata.labels", json!({"a": "b"}))]);
    assert_eq!((&attached["status"]["attached"], &attached["metadata"]["labels"]), (&json!(true), &Value::Null));
}

#[test]
fn csi_kinds() {
    let kit = Kit::of(GROUP, "v1", "csidrivers");
    let driver = json!({"metadata": {"name": "csi.example.com"}, "spec": {}});
    let old = kit.created(driver.clone());
    assert_eq!(kit.0.encode(&*old)["spec"]["volumeLifecycleModes"], json!(["Persistent"]));
    kit.refuses(
        &driver,
        &[
            (&[("spec.fsGroupPolicy", json!("Maybe"))], "NotSupported spec.fsGroupPolicy"),
            (
                &[("spec.tokenRequests", json!([{"audience": "", "expirationSeconds": 5}]))],
                "Invalid spec.tokenRequests[0].expirationSeconds",
            ),
        ],
    );
    kit.refuses_updates(&*old, "", &[(&[("spec.attachRequired", json!(false))], "Invalid spec.attachedRequired")]);

    let kit = Kit::of(GROUP, "v1", "csinodes");
    let node = json!({"metadata": {"name": "n1"}, "spec": {"drivers": [{"name": "csi.example.com", "nodeID": "i-1"}]}});
    let old = kit.created(node.clone());
    kit.refuses(&node, &[(&[("spec.drivers.0.nodeID", json!(""))], "Required spec.drivers[0].nodeID")]);
    kit.refuses_updates(
        &*old,
        "",
        &[
            (&[("spec.drivers.0.nodeID", json!("i-2"))], "Invalid spec.drivers"),
            (&[("spec.drivers.0.allocatable", json!({"count": 3}))], ""),
        ],
    );
    let bare = kit.golden(with(&node, &[("spec.drivers", json!([]))]));
    assert_eq!(bare["spec"], json!({"drivers": null}));

    let capacity = json!({"metadata": {"name": "c", "namespace": "n"}, "storageClassName": "fast", "capacity": "1Gi"});
    Kit::of(GROUP, "v1", "csistoragecapacities").refuses(
        &capacity,
        &[(&[("capacity", json!("-1Gi"))], "Invalid capacity"), (&[("storageClassName", json!(""))], "Invalid storageClassName")],
    );
    let class = json!({"metadata": {"name": "gold"}, "driverName": "csi.example.com", "parameters": {"iops": "500"}});
    let kit = Kit::of(GROUP, "v1", "volumeattributesclasses");
    kit.refuses(&class, &[(&[("parameters", json!({}))], "Required parameters"), (&[("driverName", json!(""))], "Required driverName")]);
    kit.refuses_updates(&*kit.created(class), "", &[(&[("parameters.iops", json!("9"))], "Forbidden parameters")]);
}
