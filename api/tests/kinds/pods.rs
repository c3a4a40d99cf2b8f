//! Pods: defaults, every theme of validation, and what each way of updating lets through.

use serde_json::{Value, json};

use crate::{Kit, with};

fn pods() -> Kit {
    Kit::of("", "v1", "pods")
}

fn pod() -> Value {
    json!({
        "metadata": {"name": "p", "namespace": "n", "labels": {"app": "web"}},
        "spec": {
            "serviceAccountName": "default",
            "containers": [{"name": "a", "image": "a:1"}],
            "volumes": [{"name": "v"}, {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}}],
        },
    })
}

#[test]
fn a_minimal_pod_gets_every_default() {
    let pod = pods().golden(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}));
    let container = json!({
        "name": "a", "image": "a", "imagePullPolicy": "Always", "resources": {},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
    });
    assert_eq!(
        pod["spec"],
        json!({
            "containers": [container], "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30,
        })
    );
    assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    assert_eq!(pod["metadata"]["generation"], 1);
}

#[test]
fn probes_volumes_and_ports_get_defaults() {
    let pod = pods().golden(with(
        &pod(),
        &[
            ("spec.containers.0.livenessProbe", json!({"httpGet": {"port": 80}})),
            ("spec.containers.0.ports", json!([{"containerPort": 80}])),
            ("spec.hostNetwork", json!(true)),
            ("spec.containers.0.resources", json!({"limits": {"cpu": "1", "memory": "0.5m"}})),
            ("spec.terminationGracePeriodSeconds", json!(-5)),
            ("spec.volumes.1", json!({"name": "h", "hostPath": {"path": "/x"}})),
        ],
    ));
    let container = &pod["spec"]["containers"][0];
    let probe = json!({
        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
        "failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1,
    });
    assert_eq!(container["livenessProbe"], probe);
    assert_eq!(container["ports"], json!([{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]));
    assert_eq!(container["resources"]["requests"], json!({"cpu": "1", "memory": "1m"}));
    assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 1);
    assert_eq!(pod["spec"]["volumes"][0], json!({"name": "v", "emptyDir": {}}));
    assert_eq!(pod["spec"]["volumes"][1], json!({"name": "h", "hostPath": {"path": "/x", "type": ""}}));
}

#[test]
fn containers_are_checked() {
    let at = "spec.containers.0";
    let field = |name: &str| format!("{at}.{name}");
    pods().refuses(
        &pod(),
        &[
            (&[("spec.containers", json!([]))], "Required spec.containers"),
            (&[(&field("name"), json!("Bad.Name"))], "Invalid spec.containers[0].name"),
            (&[(&field("image"), json!(""))], "Required spec.containers[0].image"),
            (&[(&field("image"), json!(" a "))], "Invalid spec.containers[0].image"),
            (&[(&field("imagePullPolicy"), json!("Maybe"))], "NotSupported spec.containers[0].imagePullPolicy"),
            (
                &[("spec.initContainers", json!([{"name": "a", "image": "i", "livenessProbe": {"tcpSocket": {"port": 1}}}]))],
                "Duplicate spec.initContainers[0].name; Forbidden spec.initContainers[0].livenessProbe",
            ),
            (
                &[(&field("ports"), json!([{"containerPort": 70000}, {"containerPort": 80, "name": "b!"}]))],
                "Invalid spec.containers[0].ports[0].containerPort; Invalid spec.containers[0].ports[1].name",
            ),
            (
                &[(&field("env"), json!([{"name": "A=B", "value": "x", "valueFrom": {}}]))],
                "Invalid spec.containers[0].env[0].name; Invalid spec.containers[0].env[0].valueFrom",
            ),
            (
                &[(&field("env"), json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]))],
                "NotSupported spec.containers[0].env[0].valueFrom.fieldRef.fieldPath",
            ),
            (
                &[(&field("livenessProbe"), json!({"periodSeconds": -1, "exec": {"command": ["x"]}}))],
                "Invalid spec.containers[0].livenessProbe.periodSeconds",
            ),
            (
                &[(&field("lifecycle"), json!({"preStop": {"sleep": {"seconds": 60}}}))],
                "Invalid spec.containers[0].lifecycle.preStop.sleep",
            ),
            (
                &[(&field("securityContext"), json!({"privileged": true, "allowPrivilegeEscalation": false, "runAsUser": -1}))],
                "Invalid spec.containers[0].securityContext.runAsUser; Invalid spec.containers[0].securityContext",
            ),
        ],
    );
}

#[test]
fn resources_are_checked() {
    let limits = "spec.containers.0.resources.limits";
    let requests = "spec.containers.0.resources.requests";
    let both = "Invalid spec.containers[0].resources.limits[cpu]; Invalid spec.containers[0].resources.requests[cpu]";
    pods().refuses(
        &pod(),
        &[
            (&[(limits, json!({"cpu": "-1"}))], both),
            (&[(limits, json!({"memory": "1Gi"})), (requests, json!({"memory": "2Gi"}))], "Invalid spec.containers[0].resources.requests"),
            (&[(requests, json!({"acme.io/gpu": "1"}))], "Required spec.containers[0].resources.limits"),
            (&[(limits, json!({"hugepages-2Mi": "2Mi"}))], "Forbidden spec.containers[0].resources"),
            (&[(requests, json!({"storage": "1"}))], "Invalid spec.containers[0].resources.requests[storage]"),
            (&[("spec.containers.0.resources.claims", json!([{"name": "ghost"}]))], "NotFound spec.containers[0].resources.claims[0]"),
        ],
    );
}

#[test]
fn volumes_and_mounts_are_checked() {
    let mounts = "spec.containers.0.volumeMounts";
    pods().refuses(
        &pod(),
        &[
            (&[("spec.volumes.0.name", json!("claim"))], "Duplicate spec.volumes[1].name"),
            (&[("spec.volumes.1.hostPath", json!({"path": "/a"}))], "Forbidden spec.volumes[1].persistentVolumeClaim"),
            (&[("spec.volumes.0.secret", json!({"secretName": "s", "defaultMode": 4096}))], "Invalid spec.volumes[0].secret.defaultMode"),
            (&[(mounts, json!([{"name": "x", "mountPath": "/x"}]))], "NotFound spec.containers[0].volumeMounts[0].name"),
            (&[(mounts, json!([{"name": "v", "mountPath": "/x", "subPath": "/abs"}]))], "Invalid spec.containers[0].volumeMounts.subPath"),
            (
                &[(mounts, json!([{"name": "v", "mountPath": "/x", "mountPropagation": "Bidirectional"}]))],
                "Forbidden spec.containers[0].volumeMounts.mountPropagation",
            ),
            (
                &[("spec.containers.0.volumeDevices", json!([{"name": "v", "devicePath": "/dev/x"}]))],
                "Invalid spec.containers[0].volumeDevices[0].name",
            ),
        ],
    );
}

#[test]
fn placement_is_checked() {
    let node = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let spread = json!([{"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "Perhaps"}]);
    pods().refuses(
        &pod(),
        &[
            (&[("spec.nodeSelector", json!({"bad key": "x"}))], "Invalid spec.nodeSelector"),
            (&[(node, json!([]))], &format!("Required {node}")),
            (
                &[("spec.tolerations", json!([{"operator": "Equal"}, {"key": "k", "operator": "Exists", "value": "v"}]))],
                "Invalid spec.tolerations[0].operator; Invalid spec.tolerations[1].operator",
            ),
            (
                &[("spec.topologySpreadConstraints", spread)],
                "Invalid spec.topologySpreadConstraints[0].maxSkew; Required spec.topologySpreadConstraints[0].topologyKey; \
                 NotSupported spec.topologySpreadConstraints[0].whenUnsatisfiable",
            ),
            (
                &[("spec.schedulingGates", json!([{"name": "a"}, {"name": "a"}])), ("spec.nodeName", json!("n1"))],
                "Duplicate spec.schedulingGates[1]; Forbidden spec.nodeName",
            ),
        ],
    );
}

#[test]
fn the_rest_of_a_spec_is_checked() {
    pods().refuses(
        &pod(),
        &[
            (&[("spec.restartPolicy", json!("Maybe"))], "NotSupported spec.restartPolicy"),
            (&[("spec.dnsPolicy", json!("None"))], "Required spec.dnsConfig"),
            (&[("spec.hostname", json!("Not.Host"))], "Invalid spec.hostname"),
            (&[("spec.hostAliases", json!([{"ip": "300.1.1.1"}]))], "Invalid spec.hostAliases[0].ip"),
            (&[("spec.nodeName", json!("Bad_Name"))], "Invalid spec.nodeName"),
            (&[("spec.activeDeadlineSeconds", json!(0))], "Invalid spec.activeDeadlineSeconds"),
            (&[("spec.securityContext", json!({"fsGroup": -1}))], "Invalid spec.securityContext.fsGroup"),
            (&[("spec.overhead", json!({"cpu": "-1"}))], "Invalid spec.overhead.limits[cpu]"),
            (&[("spec.os", json!({"name": "plan9"}))], "NotSupported spec.os"),
            (
                &[("metadata.annotations", json!({"kubernetes.io/config.mirror": "x"}))],
                "Invalid metadata.annotations[kubernetes.io/config.mirror]",
            ),
            (&[("spec.ephemeralContainers", json!([{"name": "d", "image": "d"}]))], "Forbidden spec.ephemeralContainers"),
        ],
    );
}

#[test]
fn updates_change_little() {
    let kit = pods();
    let old = kit.created(with(&pod(), &[("spec.activeDeadlineSeconds", json!(100))]));
    let changed = kit.updated(&*old, "", &[("spec.containers.0.image", json!("a:2"))]);
    assert_eq!(changed["metadata"]["generation"], 2);
    let labelled = kit.updated(&*old, "", &[("metadata.labels.x", json!("y")), ("status.phase", json!("Failed"))]);
    assert_eq!((&labelled["metadata"]["generation"], &labelled["status"]["phase"]), (&json!(1), &json!("Pending")));
    kit.updated(&*old, "", &[("spec.tolerations", json!([{"operator": "Exists"}]))]);
    kit.refuses_updates(
        &*old,
        "",
        &[
            (&[("spec.nodeName", json!("n1"))], "Forbidden spec"),
            (&[("spec.activeDeadlineSeconds", json!(200))], "Invalid spec.activeDeadlineSeconds"),
            (&[("spec.activeDeadlineSeconds", json!(null))], "Invalid spec.activeDeadlineSeconds"),
            (&[("spec.schedulingGates", json!([{"name": "a"}]))], "Forbidden spec.schedulingGates[0].name"),
            (&[("spec.containers", json!([{"name": "a", "image": "a:1"}, {"name": "b", "image": "b"}]))], "Forbidden spec.containers"),
        ],
    );
}

#[test]
fn a_gated_pod_may_become_choosier() {
    let kit = pods();
    let gated = [("spec.schedulingGates", json!([{"name": "a"}])), ("spec.nodeSelector", json!({"disk": "ssd"}))];
    let old = kit.created(with(&pod(), &gated));
    assert_eq!(kit.0.encode(&*old)["status"]["conditions"][0]["reason"], "SchedulingGated");
    kit.updated(&*old, "", &[("spec.nodeSelector.zone", json!("z1"))]);
    kit.updated(&*old, "", &[("spec.schedulingGates", json!([]))]);
    kit.refuses_updates(&*old, "", &[(&[("spec.nodeSelector.disk", json!("hdd"))], "Invalid spec.nodeSelector")]);
}

#[test]
fn status_writes_are_checked() {
    let kit = pods();
    let old = kit.created(with(&pod(), &[("spec.restartPolicy", json!("Never"))]));
    let synced = kit.updated(&*old, "status", &[("status.podIP", json!("fd00::1")), ("spec.containers", json!([]))]);
    assert_eq!(synced["status"]["podIPs"], json!([{"ip": "fd00::1"}]));
    assert_eq!(synced["spec"]["containers"][0]["name"], "a");
    kit.refuses_updates(
        &*old,
        "status",
        &[
            (&[("status.podIP", json!("nowhere"))], "Invalid status.podIPs[0]"),
            (&[("status.qosClass", json!("Guaranteed"))], "Invalid status.qosClass"),
            (&[("status.nominatedNodeName", json!("Bad_Name"))], "Invalid status.nominatedNodeName"),
            (&[("status.conditions", json!([{"type": "bad type!", "status": "True"}]))], "Invalid status.conditions[0].Type"),
        ],
    );
    let state = |state: Value| json!([{"name": "a", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]);
    let (ended, _) = kit.update(&*old, "status", &[("status.containerStatuses", state(json!({"terminated": {"exitCode": 1}})))]);
    let running = state(json!({"running": {}}));
    kit.refuses_updates(&*ended, "status", &[(&[("status.containerStatuses", running)], "Forbidden status.containerStatuses[0].state")]);
}

#[test]
fn debuggers_join_and_stay() {
    let kit = pods();
    let old = kit.created(pod());
    let debuggers = |image: &str| json!([{"name": "dbg", "image": image}]);
    let (joined, errors) = kit.update(&*old, "ephemeralcontainers", &[("spec.ephemeralContainers", debuggers("d:1"))]);
    assert!(errors.is_empty());
    kit.refuses_updates(
        &*joined,
        "ephemeralcontainers",
        &[
            (&[("spec.ephemeralContainers", debuggers("d:2"))], "Forbidden spec.ephemeralContainers"),
            (&[("spec.ephemeralContainers", json!(null))], "Forbidden spec.ephemeralContainers"),
        ],
    );
}

#[test]
fn resizing_changes_sizes_only() {
    let kit = pods();
    let sizes = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}});
    let old = kit.created(with(&pod(), &[("spec.containers.0.resources", sizes)]));
    let resources = "spec.containers.0.resources";
    let bigger = json!({"requests": {"cpu": "150m"}, "limits": {"cpu": "300m"}});
    let resized = kit.updated(&*old, "resize", &[(resources, bigger.clone()), ("spec.containers.0.image", json!("a:2"))]);
    assert_eq!(resized["spec"]["containers"][0]["resources"], bigger);
    assert_eq!(resized["spec"]["containers"][0]["image"], "a:1");
    kit.refuses_updates(
        &*old,
        "resize",
        &[
            (&[(resources, json!({"requests": {"cpu": "100m"}}))], "Forbidden spec.containers[0].resources.limits"),
            (&[(&format!("{resources}.limits.ephemeral-storage"), json!("1Gi"))], "Forbidden spec"),
            (&[(&format!("{resources}.requests.cpu"), json!("2"))], "Invalid spec.containers[0].resources.requests"),
        ],
    );
}

#[test]
fn deletion_gives_a_bound_pod_its_time() {
    let kit = pods();
    let unbound = kit.created(pod());
    assert_eq!(kit.0.deletion_grace_seconds(&*unbound, Some(60)), Some(0));
    let bound = kit.created(with(&pod(), &[("spec.nodeName", json!("n1"))]));
    let grace = |requested| kit.0.deletion_grace_seconds(&*bound, requested);
    assert_eq!((grace(None), grace(Some(5)), grace(Some(0)), grace(Some(-3))), (Some(30), Some(5), Some(0), Some(1)));
}
