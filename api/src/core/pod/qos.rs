//! The quality-of-service class: who is evicted first when a node runs short.

use k8s_openapi::api::core::v1::{Pod, PodSpec, ResourceRequirements};
use machinery::quantity::Quantity;

/// `Guaranteed`, `Burstable` or `BestEffort`, by what the pod's containers request and are limited to.
pub fn quality_of_service(pod: &Pod) -> &'static str {
    let Some(spec) = &pod.spec else { return "BestEffort" };
    let all = considered(spec);
    let nothing = all.iter().all(|r| {
        let lists = [&r.requests, &r.limits];
        lists.iter().all(|list| ["cpu", "memory"].iter().all(|name| amount(list, name).is_zero()))
    });
    if nothing {
        return "BestEffort";
    }
    let guaranteed = all.iter().all(|r| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = amount(&r.limits, name);
            !limit.is_zero() && amount(&r.requests, name) == limit
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

/// What the class depends on: the pod's own resources if it has a field for them, even an empty one, else each container's.
fn considered(spec: &PodSpec) -> Vec<ResourceRequirements> {
    if let Some(pod) = &spec.resources {
        return vec![pod.clone()];
    }
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    containers.map(|c| c.resources.clone().unwrap_or_default()).collect()
}

fn amount(list: &Option<crate::scheduling::resources::List>, name: &str) -> Quantity {
    list.as_ref().and_then(|l| l.get(name)).map(Quantity::of).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn classes() {
        let both = json!({"cpu": "1", "memory": "1Gi"});
        for (resources, class) in [
            (json!([{}]), "BestEffort"),
            (json!([{"requests": {"cpu": "0"}}]), "BestEffort"),
            (json!([{"requests": {"acme.io/gpu": "1"}, "limits": {"acme.io/gpu": "1"}}]), "BestEffort"),
            (json!([{"requests": both, "limits": both}]), "Guaranteed"),
            (json!([{"requests": both, "limits": both}, {}]), "Burstable"),
            (json!([{"requests": {"cpu": "1"}, "limits": both}]), "Burstable"),
            (json!([{"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": both}]), "Guaranteed"),
        ] {
            let containers: Vec<_> = resources.as_array().unwrap().iter().map(|r| json!({"name": "a", "resources": r})).collect();
            let pod: Pod = serde_json::from_value(json!({"spec": {"containers": containers}})).unwrap();
            assert_eq!(quality_of_service(&pod), class, "{resources}");
        }
    }
}
