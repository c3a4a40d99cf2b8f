//! The group `certificates.k8s.io`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::{Kit, with};

/// A PEM block around an empty DER sequence, in the base64 of a JSON field.
fn pem(kind: &str) -> Value {
    json!(STANDARD.encode(format!("-----BEGIN {kind}-----\nMAA=\n-----END {kind}-----\n")))
}

fn base() -> Value {
    let spec = json!({"request": pem("CERTIFICATE REQUEST"), "signerName": "example.com/signer", "usages": ["client auth"], "username": "mallory"});
    json!({"metadata": {"name": "c"}, "spec": spec, "status": {"conditions": [{"type": "Approved", "status": "True"}]}})
}

fn condition(kind: &str, status: &str) -> Value {
    json!({"type": kind, "status": status, "reason": "ByAdmin", "message": "m"})
}

#[test]
fn requests_are_checked() {
    let kit = Kit::of("certificates.k8s.io", "v1", "certificatesigningrequests");
    let made = kit.golden(base());
    assert_eq!((&made["status"], made["spec"].get("username")), (&json!({}), Some(&json!(""))));
    kit.refuses(
        &base(),
        &[
            (&[("spec.request", json!("bm9wZQ=="))], "Invalid spec.request"),
            (&[("spec.request", json!(""))], "Invalid spec.request"),
            (&[("spec.signerName", json!(""))], "Required spec.signerName"),
            (&[("spec.signerName", json!("nodomain"))], "Invalid spec.signerName"),
            (&[("spec.signerName", json!("kubernetes.io/legacy-unknown"))], "Invalid spec.signerName"),
            (&[("spec.usages", json!(["flying"]))], "NotSupported spec.usages[0]"),
            (&[("spec.usages", json!([]))], "Required spec.usages"),
            (&[("spec.usages", json!(["client auth", "client auth"]))], "Duplicate spec.usages[1]"),
            (&[("spec.expirationSeconds", json!(599))], "Invalid spec.expirationSeconds"),
        ],
    );
}

#[test]
fn approval_and_signing_are_apart() {
    let kit = Kit::of("certificates.k8s.io", "v1", "certificatesigningrequests");
    let old = kit.created(with(&base(), &[("spec.expirationSeconds", json!(3600))]));
    let kept = kit.updated(&*old, "", &[("spec.expirationSeconds", json!(7200)), ("status.certificate", json!("YQ=="))]);
    assert_eq!((&kept["spec"]["expirationSeconds"], &kept["status"]), (&json!(3600), &json!({})));
    let conditions = |all: Value| ("status.conditions", all);
    kit.refuses_updates(
        &*old,
        "approval",
        &[
            (&[conditions(json!([condition("Approved", "False")]))], "NotSupported status.conditions[0].status"),
            (&[conditions(json!([condition("Approved", "True"), condition("Denied", "True")]))], "Invalid status.conditions"),
        ],
    );
    kit.refuses_updates(
        &*old,
        "status",
        &[
            (&[conditions(json!([condition("Approved", "True")]))], "Forbidden status.conditions"),
            (&[("status.certificate", json!("YQ=="))], "Invalid status.certificate"),
        ],
    );
    let approve = [conditions(json!([condition("Approved", "True")])), ("status.certificate", pem("CERTIFICATE"))];
    let (approved, errors) = kit.update(&*old, "approval", &approve);
    assert_eq!((errors.len(), kit.0.encode(&*approved)["status"].get("certificate")), (0, None));
    assert_eq!(kit.row(&*approved)[5], "Approved");
    kit.refuses_updates(&*approved, "approval", &[(&[conditions(json!([]))], "Forbidden status.conditions")]);
    let issued = kit.updated(&*approved, "status", &[("status.certificate", pem("CERTIFICATE"))]);
    assert_eq!(issued["status"]["certificate"], pem("CERTIFICATE"));
}
