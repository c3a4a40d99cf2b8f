//! The group `autoscaling`: one object, two versions.

use serde_json::{Value, json};

use crate::{Kit, with};

fn base() -> Value {
    json!({
        "metadata": {"name": "shop", "namespace": "n"},
        "spec": {"maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "storefront"}},
    })
}

fn v1() -> Kit {
    Kit::of("autoscaling", "v1", "horizontalpodautoscalers")
}

fn v2() -> Kit {
    Kit::of("autoscaling", "v2", "horizontalpodautoscalers")
}

#[test]
fn a_v1_object_has_a_cpu_metric_in_v2() {
    let made = v1().created(with(&base(), &[("spec.targetCPUUtilizationPercentage", json!(70))]));
    let old = v1().0.encode(&*made);
    assert_eq!(old["status"], json!({"currentReplicas": 0, "desiredReplicas": 0}));
    assert_eq!((&old["spec"]["targetCPUUtilizationPercentage"], &old["spec"]["minReplicas"]), (&json!(70), &json!(1)));
    let new = v2().0.encode(&*made);
    assert_eq!(
        new["spec"]["metrics"],
        json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}])
    );
    assert_eq!(v1().golden(base())["spec"]["targetCPUUtilizationPercentage"], 80);
    assert_eq!(v2().row(&*made), json!(["shop", "Deployment/storefront", "cpu: <unknown>/70%", "1", 5, 0, "<unknown>"]));
}

#[test]
fn what_v1_has_no_field_for_travels_in_annotations() {
    let metrics = json!([
        {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "300Mi"}}},
        {"type": "Pods", "pods": {
            "metric": {"name": "packets", "selector": {"matchLabels": {"dir": "in"}}}, "target": {"type": "AverageValue", "averageValue": "1k"},
        }},
        {"type": "External", "external": {"metric": {"name": "queue_depth"}, "target": {"type": "Value", "value": "30"}}},
        {"type": "Object", "object": {
            "describedObject": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "front"},
            "metric": {"name": "rps"}, "target": {"type": "Value", "value": "2k"},
        }},
        {"type": "ContainerResource", "containerResource": {
            "name": "cpu", "container": "db", "target": {"type": "Utilization", "averageUtilization": 55},
        }},
    ]);
    let behavior = json!({
        "scaleDown": {"stabilizationWindowSeconds": 30, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
        "scaleUp": {"selectPolicy": "Disabled"},
    });
    let made = v2().created(with(&base(), &[("spec.metrics", metrics.clone()), ("spec.behavior", behavior)]));
    let narrow = v1().0.encode(&*made);
    let annotations = &narrow["metadata"]["annotations"];
    assert_eq!(
        annotations["autoscaling.alpha.kubernetes.io/metrics"],
        concat!(
            r#"[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"300Mi"}},"#,
            r#"{"type":"Pods","pods":{"metricName":"packets","targetAverageValue":"1k","selector":{"matchLabels":{"dir":"in"}}}},"#,
            r#"{"type":"External","external":{"metricName":"queue_depth","targetValue":"30"}},"#,
            r#"{"type":"Object","object":{"target":{"kind":"Ingress","name":"front","apiVersion":"networking.k8s.io/v1"},"#,
            r#""metricName":"rps","targetValue":"2k"}},"#,
            r#"{"type":"ContainerResource","containerResource":{"name":"cpu","targetAverageUtilization":55,"container":"db"}}]"#,
        )
    );
    assert_eq!(
        annotations["autoscaling.alpha.kubernetes.io/behavior"],
        concat!(
            r#"{"ScaleUp":{"StabilizationWindowSeconds":0,"SelectPolicy":"Disabled","Policies":["#,
            r#"{"Type":"Pods","Value":4,"PeriodSeconds":15},{"Type":"Percent","Value":100,"PeriodSeconds":15}],"Tolerance":null},"#,
            r#""ScaleDown":{"StabilizationWindowSeconds":30,"SelectPolicy":"Max","Policies":["#,
            r#"{"Type":"Pods","Value":1,"PeriodSeconds":60}],"Tolerance":null}}"#,
        )
    );
    let wide = v2().0.encode(&*made);
    assert_eq!((&wide["spec"]["metrics"], &wide["metadata"]["annotations"]), (&metrics, &Value::Null));
    assert_eq!(wide["status"], json!({"currentMetrics": null, "desiredReplicas": 0}));
    // A v1 client that writes back what it read loses nothing.
    let again = v2().0.encode(&*v1().decode(narrow));
    assert_eq!((&again["spec"], &again["metadata"]["annotations"]), (&wide["spec"], &Value::Null));
}

#[test]
fn bad_autoscalers_are_refused() {
    let metric = |metric: Value| ("spec.metrics", json!([metric]));
    v2().refuses(
        &base(),
        &[
            (&[("spec.minReplicas", json!(0))], "Invalid spec.minReplicas; Forbidden spec.metrics"),
            (&[("spec.maxReplicas", json!(0))], "Required spec.maxReplicas; Invalid spec.maxReplicas"),
            (&[("spec.scaleTargetRef.name", json!(""))], "Required spec.scaleTargetRef.name"),
            (&[metric(json!({"type": "Resource"}))], "Required spec.metrics[0].resource"),
            (
                &[metric(json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue"}}}))],
                "Required spec.metrics[0].pods.target.averageValue",
            ),
            (
                &[metric(
                    json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 0}}}),
                )],
                "Invalid spec.metrics[0].resource.target.averageUtilization",
            ),
            (&[("spec.behavior", json!({"scaleDown": {"selectPolicy": "Mean"}}))], "NotSupported spec.behavior.scaleDown.selectPolicy"),
        ],
    );
}
