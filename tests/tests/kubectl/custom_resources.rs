//! A definition's life, and its objects': apply, wait, get, explain, scale, apply on the server, delete.

use kybern_tests::cluster::Cluster;

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: lamps.shop.example.org}
spec:
  group: shop.example.org
  scope: Namespaced
  names: {plural: lamps, singular: lamp, kind: Lamp, shortNames: [lp]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.bulbs, statusReplicasPath: .status.bulbs}}
    additionalPrinterColumns:
    - {name: Watts, type: integer, jsonPath: .spec.watts}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What is wanted.
            properties:
              watts: {type: integer, maximum: 100, description: How bright it is.}
              bulbs: {type: integer, default: 1}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
";

fn lamp(name: &str, watts: u32) -> String {
    format!("apiVersion: shop.example.org/v1\nkind: Lamp\nmetadata: {{name: {name}}}\nspec: {{watts: {watts}}}\n")
}

pub fn life_of_a_definition(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("lamps");
    kubectl.feed(&["apply"], DEFINITION);
    kubectl.ok(&["wait", "--for=condition=Established", "crd/lamps.shop.example.org", "--timeout=20s"]);
    assert_eq!(kubectl.feed(&["apply"], &lamp("desk", 9)), "lamp.shop.example.org/desk created\n");
    assert_eq!(kubectl.feed(&["apply"], &lamp("desk", 9)), "lamp.shop.example.org/desk unchanged\n");
    assert_eq!(kubectl.feed(&["apply"], &lamp("desk", 5)), "lamp.shop.example.org/desk configured\n");
    let table = kubectl.ok(&["get", "lp"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["NAME", "WATTS"], ["desk", "5"]], "{table}");
    assert_eq!(kubectl.value("lamp/desk", ".spec.bulbs"), "1", "a default");
    assert!(kubectl.ok(&["explain", "lamp.spec"]).contains("How bright it is."));

    let refused = kubectl.feed_raw(&["apply"], &lamp("desk", 500));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("spec.watts"), "{refused:?}");
    kubectl.ok(&["scale", "lamp", "desk", "--replicas=3"]);
    assert_eq!(kubectl.value("lamp/desk", ".spec.bulbs"), "3");
    kubectl.feed(&["apply", "--server-side", "--field-manager=other"], &lamp("hall", 7));
    let conflict = kubectl.feed_raw(&["apply", "--server-side", "--field-manager=third"], &lamp("hall", 8));
    assert!(String::from_utf8_lossy(&conflict.stderr).contains(".spec.watts"), "{conflict:?}");

    // What a custom object owns goes with it.
    let uid = kubectl.value("lamp/hall", ".metadata.uid");
    let owned = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: shade\n  ownerReferences: [{{apiVersion: shop.example.org/v1, kind: Lamp, name: hall, uid: {uid}}}]\n"
    );
    kubectl.feed(&["apply"], &owned);
    kubectl.ok(&["delete", "lamp", "hall"]);
    kubectl.wait_gone("configmap/shade");

    // So do custom objects with their namespace, and all of them with their definition.
    let other = cluster.kubectl.in_namespace("lamps-elsewhere");
    other.feed(&["apply"], &lamp("attic", 3));
    other.ok(&["delete", "namespace", "lamps-elsewhere", "--timeout=60s"]);
    assert_eq!(kubectl.ok(&["get", "lamps", "--all-namespaces", "-o", "name"]), "lamp.shop.example.org/desk\n");
    kubectl.ok(&["delete", "crd", "lamps.shop.example.org", "--timeout=60s"]);
    kubectl.fails(&["get", "lamps"]);
}
