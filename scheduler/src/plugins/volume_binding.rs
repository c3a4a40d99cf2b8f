//! VolumeBinding: a pod goes where its volumes can be reached. Claims that are bound decide that; those that wait for their
//! first consumer get a volume that is there, or have one made where that can be done. Which is chosen here; it is carried
//! out, before the pod is bound, by [`crate::volume_binder`].

use std::collections::BTreeSet;

use api::scheduling::volumes::why_unfit;
use machinery::NamespacedName;
use machinery::labels::Selector;
use machinery::quantity::Quantity;

use super::node_affinity::Required;
use crate::cache::{Cluster, Node, NodeId};
use crate::framework::{ClusterEvent, Filter, Help, Plugin, PreFilter, PreFilterPlugin, Rejection};
use crate::pod::Pod;
use crate::volume::{Choice, Class, Offer, Volumes, Where, Wish};

const NO_VOLUME: &str = "node(s) didn't find available persistent volumes to bind";
const NO_ROOM: &str = "node(s) did not have enough free storage";

#[derive(Clone, Copy, Debug)]
pub struct VolumeBinding;

impl Plugin for VolumeBinding {
    const NAME: &'static str = "VolumeBinding";
}

/// What a pod's claims require of the node.
#[derive(Default)]
pub struct Claims {
    /// By their volumes, of those that are bound.
    bound: Vec<Required>,
    /// Those that wait for their first consumer, the smallest first.
    waiting: Vec<Waiting>,
}

struct Waiting {
    key: NamespacedName,
    uid: Box<str>,
    revision: u64,
    size: Quantity,
    /// The node on which another consumer has it made.
    selected: Option<Box<str>>,
    /// The volumes that it could have, the best first.
    offers: Vec<(std::sync::Arc<str>, Option<Required>)>,
    /// Where one can be made; None: nowhere.
    made: Option<Made>,
}

struct Made {
    topologies: Option<Required>,
    /// Where there is enough room, if that is known; a None in it is everywhere.
    rooms: Option<Vec<Option<Required>>>,
}

impl PreFilterPlugin for VolumeBinding {
    type State = Claims;

    fn pre_filter(&self, pod: &Pod, cluster: &Cluster) -> Result<PreFilter<Claims>, Rejection> {
        let claims = Claims::of(pod, cluster)?;
        let nothing = claims.bound.is_empty() && claims.waiting.is_empty();
        Ok(if nothing { PreFilter::Skip } else { PreFilter::each(claims) })
    }
}

impl Filter for VolumeBinding {
    fn filter(&self, claims: &Claims, _: &Pod, node: Node<'_>) -> Result<(), Rejection> {
        claims.choose(node).map(drop)
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

/// How the pod's claims are to get their volumes on the node; empty where they have them.
///
/// # Errors
/// Why they cannot.
pub fn choose(pod: &Pod, node: NodeId, cluster: &Cluster) -> Result<Vec<Choice>, Rejection> {
    match cluster.node(node) {
        Some(node) if !pod.shape.claims.is_empty() => Claims::of(pod, cluster)?.choose(node),
        _ => Ok(Vec::new()),
    }
}

impl Claims {
    fn of(pod: &Pod, cluster: &Cluster) -> Result<Self, Rejection> {
        let mut claims = Self::default();
        for claim in &pod.shape.claims {
            let name = claim.resolve(pod);
            let key = NamespacedName { namespace: pod.key.namespace.clone(), name: name.as_str().into() };
            let volumes = cluster.volumes();
            let claim = volumes.claim(&key);
            let claim = claim.ok_or_else(|| Rejection::fixed(format!("persistentvolumeclaim {name:?} not found")))?;
            if claim.deleting {
                return Err(Rejection::fixed(format!("persistentvolumeclaim {name:?} is being deleted")));
            }
            if let Some(volume) = claim.volume.as_deref() {
                let missing = || Rejection::fixed(format!("persistentvolume {volume:?} not found"));
                let volume = volumes.volume(volume).ok_or_else(missing)?;
                claims.bound.extend(volume.nodes.as_ref().map(|nodes| Required::of_selector(nodes, cluster)));
                continue;
            }
            let delayed = claim.wish.as_ref().and_then(|wish| Some((wish, volumes.class(&wish.class).filter(|class| class.delays)?)));
            let (wish, class) = delayed.ok_or_else(|| Rejection::fixed("pod has unbound immediate PersistentVolumeClaims"))?;
            claims.waiting.push(Waiting::new(key, wish, class, cluster));
        }
        claims.waiting.sort_by_key(|waiting| waiting.size);
        Ok(claims)
    }

    fn choose(&self, node: Node<'_>) -> Result<Vec<Choice>, Rejection> {
        if !self.bound.iter().all(|required| required.matches(node)) {
            return Err(Rejection::fixed("node(s) didn't match PersistentVolume's node affinity"));
        }
        let mut taken = BTreeSet::new();
        let mut choices = Vec::with_capacity(self.waiting.len());
        for claim in &self.waiting {
            let volume = match &claim.selected {
                Some(selected) if **selected != **node.name() => return Err(Rejection::fixed(NO_VOLUME)),
                Some(_) => None,
                None => {
                    let reachable = |nodes: &Option<Required>| nodes.as_ref().is_none_or(|nodes| nodes.matches(node));
                    claim.offers.iter().find(|(name, nodes)| !taken.contains(name) && reachable(nodes)).map(|(name, _)| name)
                }
            };
            if volume.is_none() {
                claim.made.as_ref().ok_or_else(|| Rejection::fixed(NO_VOLUME))?.on(node)?;
            }
            taken.extend(volume);
            choices.push(Choice { claim: claim.key.clone(), uid: claim.uid.clone(), revision: claim.revision, volume: volume.cloned() });
        }
        Ok(choices)
    }
}

impl Waiting {
    fn new(key: NamespacedName, wish: &Wish, class: &Class, cluster: &Cluster) -> Self {
        let volumes = cluster.volumes();
        let assumed = volumes.assumed(&key);
        let selected = wish.selected.clone().or(assumed.filter(|(_, volume)| volume.is_none()).map(|(node, _)| (&**node).into()));
        let only = assumed.and_then(|(_, volume)| volume.cloned());
        Self {
            uid: wish.uid.clone(),
            revision: wish.revision,
            size: wish.size,
            selected,
            offers: offers(&key, wish, only.as_deref(), cluster),
            made: class.provisioner.as_ref().map(|driver| Made::of(class, driver, wish, cluster)),
            key,
        }
    }
}

/// The volumes that a claim could have: first those that are set aside for it, then what is free, the smallest first.
fn offers(key: &NamespacedName, wish: &Wish, only: Option<&str>, cluster: &Cluster) -> Vec<(std::sync::Arc<str>, Option<Required>)> {
    let volumes = cluster.volumes();
    let mut found: Vec<_> = volumes
        .volumes()
        .filter(|(name, _)| only.is_none_or(|only| *only == ***name))
        .filter_map(|(name, volume)| Some((name, volume, volume.offer.as_ref()?)))
        .filter(|(name, _, offer)| why_unfit(&offer.spec, &wish.spec, &wish.class).is_none() && is_open(name, offer, key, wish, volumes))
        .collect();
    found.sort_by(|(a_name, _, a), (b_name, _, b)| (a.claim.is_none(), a.size, a_name).cmp(&(b.claim.is_none(), b.size, b_name)));
    let nodes = |volume: &crate::volume::Volume| volume.nodes.as_ref().map(|nodes| Required::of_selector(nodes, cluster));
    found.into_iter().map(|(name, volume, _)| (name.clone(), nodes(volume))).collect()
}

/// Whether nobody else has the volume, or is to have it.
fn is_open(name: &str, offer: &Offer, key: &NamespacedName, wish: &Wish, volumes: &Volumes) -> bool {
    if offer.claim.is_some() {
        return offer.is_for(key, &wish.uid);
    }
    let selected = wish
        .spec
        .selector
        .as_ref()
        .is_none_or(|selector| Selector::of(Some(selector)).is_ok_and(|selector| selector.matches(&offer.labels)));
    offer.is_available && selected && volumes.taker(name).is_none_or(|taker| taker == key)
}

impl Made {
    fn of(class: &Class, driver: &str, wish: &Wish, cluster: &Cluster) -> Self {
        let rooms = cluster.volumes().rooms(&wish.class, driver).map(|rooms| {
            let enough = rooms.filter(|room| room.most >= wish.size);
            enough
                .filter_map(|room| match &room.nodes {
                    Where::Nowhere => None,
                    Where::Everywhere => Some(None),
                    Where::Among(nodes) => Some(Some(Required::of_selector(nodes, cluster))),
                })
                .collect()
        });
        Self { topologies: class.topologies.as_ref().map(|nodes| Required::of_selector(nodes, cluster)), rooms }
    }

    /// Whether a volume can be made on the node.
    fn on(&self, node: Node<'_>) -> Result<(), Rejection> {
        if self.topologies.as_ref().is_some_and(|nodes| !nodes.matches(node)) {
            return Err(Rejection::fixed(NO_VOLUME));
        }
        let has_room = |room: &Option<Required>| room.as_ref().is_none_or(|nodes| nodes.matches(node));
        if self.rooms.as_ref().is_some_and(|rooms| !rooms.iter().any(has_room)) {
            return Err(Rejection::fixed(NO_ROOM));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::fixture::{Nodes, pod};
    use crate::volume::{Claim, Class, Room, Volume};

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
            volumes.set_claim(&key, Some(Arc::new(Claim { volume: Some("pv".into()), ..Claim::default() })));
            volumes.set_volume(&"pv".into(), Some(Arc::new(Volume::of(&volume.unwrap()))));
        });
        assert_eq!(nodes.passing(&VolumeBinding, &p), ["b"]);
        assert_eq!(nodes.reasons(&VolumeBinding, &p), ["node(s) didn't match PersistentVolume's node affinity"]);
        assert_eq!(nodes.passing(&VolumeBinding, &pod("q", json!({}))), ["a", "b"]);
    }

    fn on(node: &str) -> serde_json::Value {
        json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "host", "operator": "In", "values": [node]}]}]})
    }

    fn waiting(name: &str, class: &str, size: &str) -> Arc<Claim> {
        let claim = json!({
            "metadata": {"name": name, "uid": format!("uid-{name}"), "resourceVersion": "5"},
            "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
        });
        Arc::new(Claim::of(&serde_json::from_value(claim).unwrap()))
    }

    fn free(size: &str, node: &str) -> Arc<Volume> {
        let volume = json!({
            "spec": {"storageClassName": "manual", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "nodeAffinity": {"required": on(node)}},
            "status": {"phase": "Available"},
        });
        Arc::new(Volume::of(&serde_json::from_value(volume).unwrap()))
    }

    fn class(provisioner: &str) -> Arc<Class> {
        Arc::new(Class { delays: true, provisioner: Some(provisioner).filter(|name| !name.is_empty()).map(Into::into), topologies: None })
    }

    fn two_nodes() -> Nodes {
        Nodes::default().with("a", json!({"labels": {"host": "a"}})).with("b", json!({"labels": {"host": "b"}}))
    }

    #[test]
    fn waiting_claims_get_the_smallest_volumes_that_the_node_can_reach() {
        let mut nodes = two_nodes();
        let volumes = json!([{"name": "x", "persistentVolumeClaim": {"claimName": "large"}}, {"name": "y", "persistentVolumeClaim": {"claimName": "small"}}]);
        let p = pod("p", json!({"volumes": volumes}));
        nodes.0.change_volumes(|volumes| {
            volumes.set_class(&"manual".into(), Some(class("")));
            volumes.set_claim(&NamespacedName::new("shop", "large"), Some(waiting("large", "manual", "5Gi")));
            volumes.set_claim(&NamespacedName::new("shop", "small"), Some(waiting("small", "manual", "1Gi")));
            volumes.set_volume(&"a-9".into(), Some(free("9Gi", "a")));
            volumes.set_volume(&"b-2".into(), Some(free("2Gi", "b")));
            volumes.set_volume(&"b-6".into(), Some(free("6Gi", "b")));
        });
        assert_eq!(nodes.passing(&VolumeBinding, &p), ["b"]);
        assert_eq!(nodes.reasons(&VolumeBinding, &p), [NO_VOLUME]);
        let b = nodes.0.by_name("b").unwrap().id();
        let choices = choose(&p, b, &nodes.0).unwrap();
        let chosen: Vec<_> = choices.iter().map(|choice| (&*choice.claim.name, choice.volume.as_deref())).collect();
        assert_eq!(chosen, [("small", Some("b-2")), ("large", Some("b-6"))]);
        // What was promised to these is not there for others.
        nodes.0.change_volumes(|volumes| {
            volumes.assume(&p.key, &"b".into(), choices);
            volumes.set_claim(&NamespacedName::new("shop", "other"), Some(waiting("other", "manual", "1Gi")));
        });
        let q = pod("q", json!({"volumes": [{"name": "x", "persistentVolumeClaim": {"claimName": "other"}}]}));
        assert_eq!(nodes.passing(&VolumeBinding, &q), ["a"]);
        nodes.0.change_volumes(|volumes| _ = volumes.forget(&p.key));
        assert_eq!(nodes.passing(&VolumeBinding, &q), ["a", "b"]);
    }

    #[test]
    fn volumes_are_made_where_there_is_room() {
        let mut nodes = two_nodes();
        let p = pod("p", json!({"volumes": [{"name": "x", "persistentVolumeClaim": {"claimName": "data"}}]}));
        let capacity =
            json!({"metadata": {}, "storageClassName": "fast", "capacity": "2Gi", "nodeTopology": {"matchLabels": {"host": "b"}}});
        nodes.0.change_volumes(|volumes| {
            volumes.set_class(&"fast".into(), Some(class("disk.example.com")));
            volumes.set_claim(&NamespacedName::new("shop", "data"), Some(waiting("data", "fast", "1Gi")));
        });
        assert_eq!(nodes.passing(&VolumeBinding, &p), ["a", "b"]);
        nodes.0.change_volumes(|volumes| volumes.set_driver(&"disk.example.com".into(), Some(true)));
        assert_eq!(nodes.reasons(&VolumeBinding, &p), [NO_ROOM]);
        let room = Arc::new(Room::of(&serde_json::from_value(capacity).unwrap()));
        nodes.0.change_volumes(|volumes| volumes.set_room(&NamespacedName::new("driver", "room"), Some(room)));
        assert_eq!(nodes.passing(&VolumeBinding, &p), ["b"]);
        let choices = choose(&p, nodes.0.by_name("b").unwrap().id(), &nodes.0).unwrap();
        assert_eq!(choices[0].volume, None);
        // Another pod with the same claim follows the first.
        nodes.0.change_volumes(|volumes| {
            volumes.set_driver(&"disk.example.com".into(), None);
            volumes.assume(&p.key, &"a".into(), choices);
        });
        let q = pod("q", json!({"volumes": [{"name": "x", "persistentVolumeClaim": {"claimName": "data"}}]}));
        assert_eq!(nodes.passing(&VolumeBinding, &q), ["a"]);
    }
}
