//! What may be wrong with two annotations of nodes from Kubernetes' early days, which nothing heeds any more but which are
//! checked still.

use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use machinery::field::{Error, Errors, Path};
use serde::Deserialize;

use super::validation::check_taints;

const AVOIDED_PODS: &str = "scheduler.alpha.kubernetes.io/preferAvoidPods";
const TAINTS: &str = "scheduler.alpha.kubernetes.io/taints";

/// Pods that are better placed on other nodes.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AvoidedPods {
    prefer_avoid_pods: Option<Vec<AvoidedPod>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AvoidedPod {
    pod_signature: PodSignature,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodSignature {
    pod_controller: Option<OwnerReference>,
}

pub(super) fn check(node: &Node) -> Errors {
    let Some(annotations) = &node.metadata.annotations else { return Errors::new() };
    let path = Path::new("metadata").child("annotations");
    let given = |name: &str| annotations.get(name).filter(|text| !text.is_empty());
    let mut errors = Errors::new();
    if let Some(text) = given(TAINTS) {
        match serde_json::from_str::<Vec<Taint>>(text) {
            Err(why) => errors.push(Error::invalid(&path, TAINTS, why.to_string())),
            Ok(taints) => errors.extend(check_taints(&path.child(TAINTS), &taints)),
        }
    }
    if let Some(text) = given(AVOIDED_PODS) {
        errors.extend(check_avoided(&path, text));
    }
    errors
}

fn check_avoided(path: &Path, text: &str) -> Errors {
    let avoided = match serde_json::from_str::<AvoidedPods>(text) {
        Ok(avoided) => avoided.prefer_avoid_pods.unwrap_or_default(),
        Err(why) => return vec![Error::invalid(&path.child("AvoidPods"), AVOIDED_PODS, why.to_string())],
    };
    let mut errors = Errors::new();
    for (i, pod) in avoided.iter().enumerate() {
        let path = path.child(AVOIDED_PODS).index(i).child("PodSignature");
        match &pod.pod_signature.pod_controller {
            None => errors.push(Error::required(&path, "")),
            Some(owner) if owner.controller != Some(true) => {
                let path = path.child("PodController").child("Controller");
                errors.push(Error::invalid(&path, false, "must point to a controller"));
            }
            Some(_) => {}
        }
    }
    errors
}
