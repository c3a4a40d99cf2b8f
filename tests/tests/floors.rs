//! The floors: a crate depends on crates of lower floors only, never sideways, but where ARCHITECTURE.md says so.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::process::Command;

const FLOORS: &[(&str, u8)] = &[
    ("kybern-proto", 0),
    ("kybern-machinery", 1),
    ("kybern-api", 2),
    ("kybern-storage", 3),
    ("kybern-runtime", 3),
    ("kybern-client", 3),
    ("kybern-apiserver", 4),
    ("kybern-scheduler", 4),
    ("kybern-controller-manager", 4),
    ("kybern-kubelet", 4),
    ("kybern", 5),
    ("kybern-tests", 5),
];

/// The one step sideways: clients need TLS and kubeconfigs.
const SIDEWAYS: &[(&str, &str)] = &[("kybern-client", "kybern-runtime")];

/// Workspace crates and the workspace crates that each depends on, tests aside.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo).args(["metadata", "--format-version=1", "--no-deps", "--offline"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |p: &serde_json::Value| p["name"].as_str().unwrap().to_owned();
    packages
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().unwrap();
            let ours = all.iter().filter(|d| d["path"].is_string() && d["kind"] != "dev");
            (name(package), ours.map(name).collect())
        })
        .collect()
}

#[test]
fn crates_depend_on_lower_floors_only() {
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    for (crate_name, depends_on) in dependencies() {
        let floor = *floors.get(crate_name.as_str()).unwrap_or_else(|| panic!("{crate_name} stands on no floor"));
        for dependency in depends_on {
            let below = floors[dependency.as_str()];
            let sideways = SIDEWAYS.contains(&(crate_name.as_str(), dependency.as_str()));
            assert!(below < floor || sideways, "{crate_name} (floor {floor}) depends on {dependency} (floor {below})");
        }
    }
}

#[test]
fn only_the_api_server_depends_on_storage() {
    // Nothing else can go round admission, validation or revisions.
    for (crate_name, depends_on) in dependencies() {
        let direct = depends_on.iter().any(|d| d == "kybern-storage");
        assert!(!direct || crate_name == "kybern-apiserver", "{crate_name} depends on storage");
    }
}
