//! VolumeBinding: a pod goes where its bound volumes can be reached, and waits until its claims are bound. Claims that
//! wait for their first consumer are not bound here: such a pod waits for whoever binds them.

use machinery::NamespacedName;

use super::node_affinity::Required;
use crate::cache::{Cluster, Node};
use crate::framework::{ClusterEvent, Filter, Help, Plugin, PreFilter, PreFilterPlugin, Rejection};
use crate::pod::Pod;

#[derive(Clone, Copy, Debug)]
pub struct VolumeBinding;

impl Plugin for VolumeBinding {
    const NAME: &'static str = "VolumeBinding";
}

impl PreFilterPlugin for VolumeBinding {
    /// What the volumes require of the node.
    type State = Vec<Required>;

    fn pre_filter(&self, pod: &Pod, cluster: &Cluster) -> Result<PreFilter<Vec<Required>>, Rejection> {
        let mut required = Vec::new();
        for claim in &pod.shape.claims {
            let name = claim.resolve(pod);
            let key = NamespacedName { namespace: pod.key.namespace.clone(), name: name.as_str().into() };
            let claim = cluster.volumes().claim(&key);
            let claim = claim.ok_or_else(|| Rejection::fixed(format!("persistentvolumeclaim {name:?} not found")))?;
            if claim.deleting {
                return Err(Rejection::fixed(format!("persistentvolumeclaim {name:?} is being deleted")));
            }
            let volume = claim.volume.as_deref().ok_or_else(|| Rejection::fixed("pod has unbound immediate PersistentVolumeClaims"))?;
            let volume =
                cluster.volumes().volume(volume).ok_or_else(|| Rejection::fixed(format!("persistentvolume {volume:?} not found")))?;
            required.extend(volume.nodes.as_ref().map(|nodes| Required::of_selector(nodes, cluster)));
        }
        Ok(if required.is_empty() { PreFilter::Skip } else { PreFilter::each(required) })
    }
}

impl Filter for VolumeBinding {
    fn filter(&self, required: &Vec<Required>, _: &Pod, node: Node<'_>) -> Result<(), Rejection> {
        if required.iter().all(|required| required.matches(node)) {
            return Ok(());
        }
        Err(Rejection::fixed("node(s) didn't match PersistentVolume's node affinity"))
    }

    fn helps(&self, pod: &Pod, event: ClusterEvent<'_>, cluster: &Cluster) -> Help {
        let judged = self.pre_filter(pod, cluster);
        match (event, judged) {
            (_, Err(_)) => Help::No,
            (ClusterEvent::VolumesChanged, Ok(_)) => Help::OtherNodes,
            (_, Ok(PreFilter::Skip)) => Help::ThisNode,
            (event, Ok(PreFilter::Check { state, .. })) => match event.node() {
                Some(node) if self.filter(&state, pod, node).is_ok() => Help::ThisNode,
                _ => Help::No,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::fixture::{Nodes, pod};
    use crate::volume::{Claim, Volume};

    #[test]
    fn a_pod_goes_where_its_volume_is_and_waits_for_its_claim() {
        let mut nodes = Nodes::default()
            .with("a", json!({"labels": {"kubernetes.io/hostname": "a"}}))
            .with("b", json!({"labels": {"kubernetes.io/hostname": "b"}}));
        let p = pod("p", json!({"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}));
        assert_eq!(nodes.reasons(&VolumeBinding, &p), ["persistentvolumeclaim \"data\" not found"]);
        let key = NamespacedName::new("shop", "data");
        nodes.0.change_volumes(|volumes| volumes.set_claim(&key, Some(Arc::default())));
        assert_eq!(nodes.reasons(&VolumeBinding, &p), ["pod has unbound immediate PersistentVolumeClaims"]);
        let volume = serde_json::from_value(json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["b"]}]}]}}}}));
        nodes.0.change_volumes(|volumes| {
            volumes.set_claim(&key, Some(Arc::new(Claim { volume: Some("pv".into()), deleting: false })));
            volumes.set_volume(&"pv".into(), Some(Arc::new(Volume::of(&volume.unwrap()))));
        });
        assert_eq!(nodes.passing(&VolumeBinding, &p), ["b"]);
        assert_eq!(nodes.reasons(&VolumeBinding, &p), ["node(s) didn't match PersistentVolume's node affinity"]);
        assert_eq!(nodes.passing(&VolumeBinding, &pod("q", json!({}))), ["a", "b"]);
    }
}
