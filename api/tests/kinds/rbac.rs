//! The group `rbac.authorization.k8s.io`.

use serde_json::{Value, json};

use crate::{Kit, with};

const GROUP: &str = "rbac.authorization.k8s.io";

#[test]
fn roles() {
    let kit = Kit::of(GROUP, "v1", "roles");
    let base =
        json!({"metadata": {"name": "r", "namespace": "n"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    kit.refuses(
        &base,
        &[
            (&[("rules.0.verbs", json!([]))], "Required rules[0].verbs"),
            (&[("rules.0.apiGroups", Value::Null)], "Required rules[0].apiGroups"),
            (&[("rules.0.resources", json!([]))], "Required rules[0].resources"),
            (&[("rules.0", json!({"nonResourceURLs": ["/metrics"], "verbs": ["get"]}))], "Invalid rules[0].nonResourceURLs"),
        ],
    );
    assert!(kit.0.validate_name("Colons:And.Caps_ok", false).is_empty());
    assert!(!kit.0.validate_name("has/slash", false).is_empty());
    let empty = kit.golden(with(&base, &[("rules", json!([]))]));
    assert_eq!(empty.as_object().unwrap().get("rules"), Some(&Value::Null));
}

#[test]
fn cluster_roles() {
    let urls = json!({"metadata": {"name": "r"}, "rules": [{"nonResourceURLs": ["/metrics", "/logs/*"], "verbs": ["get"]}]});
    Kit::of(GROUP, "v1", "clusterroles").refuses(
        &urls,
        &[
            (&[("rules.0.resources", json!(["pods"]))], "Invalid rules[0].nonResourceURLs"),
            (&[("aggregationRule", json!({"clusterRoleSelectors": []}))], "Required aggregationRule.clusterRoleSelectors"),
        ],
    );
}

#[test]
fn bindings() {
    let kit = Kit::of(GROUP, "v1", "rolebindings");
    let base = json!({
        "metadata": {"name": "b", "namespace": "n"},
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "ann"}, {"kind": "ServiceAccount", "name": "x"}],
    });
    let old = kit.created(base.clone());
    let made = kit.0.encode(&*old);
    assert_eq!(made["roleRef"], json!({"apiGroup": GROUP, "kind": "Role", "name": "r"}));
    assert_eq!(made["subjects"], json!([{"apiGroup": GROUP, "kind": "User", "name": "ann"}, {"kind": "ServiceAccount", "name": "x"}]));
    assert_eq!(kit.row(&*old), json!(["b", "Role/r", "<unknown>", "ann", "", "/x"]));
    let subject = |subject: Value| ("subjects", json!([subject]));
    kit.refuses(
        &base,
        &[
            (&[subject(json!({"kind": "Robot", "name": "x"}))], "NotSupported subjects[0].kind"),
            (&[subject(json!({"kind": "User", "name": ""}))], "Required subjects[0].name"),
            (&[subject(json!({"kind": "ServiceAccount", "name": "Bad_Name"}))], "Invalid subjects[0].name"),
            (&[subject(json!({"kind": "User", "name": "x", "apiGroup": "wrong.io"}))], "NotSupported subjects[0].apiGroup"),
            (&[("roleRef.name", json!(""))], "Required roleRef.name"),
            (&[("roleRef.kind", json!("Thing"))], "NotSupported roleRef.kind"),
            (&[("roleRef.apiGroup", json!("apps"))], "NotSupported roleRef.apiGroup"),
        ],
    );
    kit.refuses_updates(&*old, "", &[(&[("roleRef.name", json!("other"))], "Invalid roleRef")]);
    let cluster = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"}});
    Kit::of(GROUP, "v1", "clusterrolebindings").refuses(
        &cluster,
        &[
            (&[subject(json!({"kind": "ServiceAccount", "name": "x"}))], "Required subjects[0].namespace"),
            (&[("roleRef.kind", json!("Role"))], "NotSupported roleRef.kind"),
        ],
    );
}
