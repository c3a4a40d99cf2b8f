use serde_json::{Value, json};

use super::*;
use crate::controllers::claim_protection::ClaimProtectionController;
use crate::controllers::volume_protection::VolumeProtectionController;
use crate::laws::{Scenario, check};
use crate::simulator::Simulator;

fn volume(name: &str, size: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "manual",
            "persistentVolumeReclaimPolicy": "Retain",
        },
    })
}

fn claim(size: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"storageClassName": "manual", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    })
}

fn run(phases: &[&dyn Fn(&mut Simulator)]) -> Simulator {
    let controllers: &[&dyn Controller] = &[&VolumeBinder, &VolumeProtectionController, &ClaimProtectionController];
    check(&Scenario { controllers, phases, ..Scenario::default() })
}

fn phase(server: &Simulator, name: &str) -> String {
    let found = server.all("persistentvolumes").find(|one| one["metadata"]["name"] == name);
    found.map(|one| one["status"]["phase"].as_str().unwrap_or_default().to_owned()).unwrap_or_default()
}

#[test]
fn a_claim_gets_the_smallest_volume_that_fits() {
    let server = run(&[&|s| ["1Gi", "5Gi", "50Gi"].iter().for_each(|size| s.create(volume(&size.to_lowercase(), size))), &|s| {
        s.create(claim("3Gi"));
    }]);
    assert_eq!([phase(&server, "1gi"), phase(&server, "5gi"), phase(&server, "50gi")], ["Available", "Bound", "Available"]);
    let bound = server.all("persistentvolumeclaims").next().unwrap();
    assert_eq!((&bound["status"]["phase"], &bound["status"]["capacity"]["storage"]), (&json!("Bound"), &json!("5Gi")));
}

#[test]
fn a_volume_outlives_its_claim_and_is_not_given_away() {
    let phases: &[&dyn Fn(&mut Simulator)] = &[
        &|s| {
            s.create(volume("disk", "5Gi"));
            s.create(claim("1Gi"));
        },
        &|s| s.delete("persistentvolumeclaims", "data"),
        &|s| s.create(claim("1Gi")),
    ];
    let server = run(&phases[..2]);
    assert_eq!(phase(&server, "disk"), "Released");
    let server = run(phases);
    assert_eq!(phase(&server, "disk"), "Released");
    assert_eq!(server.all("persistentvolumeclaims").next().unwrap()["status"]["phase"], "Pending");
}

#[test]
fn a_claim_that_waits_for_its_consumer_gets_only_what_was_set_aside_for_it() {
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "manual"},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
    });
    let server = run(&[&|s| {
        s.create(class.clone());
        s.create(volume("disk", "5Gi"));
        s.create(claim("1Gi"));
    }]);
    assert_eq!(phase(&server, "disk"), "Available");
    let server = run(&[&|s| {
        s.create(class.clone());
        let mut reserved = volume("disk", "5Gi");
        reserved["spec"]["claimRef"] = json!({"namespace": "default", "name": "data"});
        s.create(reserved);
        s.create(claim("1Gi"));
    }]);
    assert_eq!(phase(&server, "disk"), "Bound");
}
