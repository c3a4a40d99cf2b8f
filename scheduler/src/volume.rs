//! What the scheduler keeps of storage: which claim is bound to which volume, from which nodes that can be reached, and, for
//! claims that wait for their first consumer, which volumes are free and where classes can have some made.

use std::sync::Arc;

use api::scheduling::volumes::{BIND_COMPLETED, NO_PROVISIONER, SELECTED_NODE, annotation, capacity, class_of, phase, requested};
use hashbrown::HashMap;
use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeSpec,
};
use k8s_openapi::api::storage::v1::{CSIDriver, CSIStorageCapacity, StorageClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::NamespacedName;
use machinery::quantity::Quantity;

/// A persistent volume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volume {
    /// The nodes from which it can be reached; None: all.
    pub nodes: Option<NodeSelector>,
    /// What it offers to claims, unless it is on its way out.
    pub offer: Option<Box<Offer>>,
}

/// A volume as a claim sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    pub spec: PersistentVolumeSpec,
    pub labels: std::collections::BTreeMap<String, String>,
    pub size: Quantity,
    pub is_available: bool,
    /// The claim that it is for, and that claim's uid where it is known.
    pub claim: Option<(NamespacedName, Box<str>)>,
}

/// A persistent volume claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// The volume that it is bound to.
    pub volume: Option<Box<str>>,
    pub deleting: bool,
    /// What it asks for, while it is bound to none.
    pub wish: Option<Box<Wish>>,
}

/// What an unbound claim asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    pub uid: Box<str>,
    /// The revision of the claim's last write.
    pub revision: u64,
    pub class: Box<str>,
    pub spec: PersistentVolumeClaimSpec,
    pub size: Quantity,
    /// Where its first consumer is to run, once that is known.
    pub selected: Option<Box<str>>,
}

/// A storage class.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Whether its claims wait for their first consumer.
    pub delays: bool,
    /// Who makes its volumes; None where nobody does.
    pub provisioner: Option<Box<str>>,
    /// Where it has volumes made; None: everywhere.
    pub topologies: Option<NodeSelector>,
}

/// How much of a class is left in a part of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Room {
    pub class: Box<str>,
    /// The largest volume that can be made.
    pub most: Quantity,
    /// Which nodes have it.
    pub nodes: Where,
}

/// Some of the nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum Where {
    Nowhere,
    Everywhere,
    Among(NodeSelector),
}

/// How a claim is to get its volume, as decided with its pod's node.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub claim: NamespacedName,
    pub uid: Box<str>,
    /// The claim's revision when this was decided.
    pub revision: u64,
    /// A volume that there is; None: one that is made for the node.
    pub volume: Option<Arc<str>>,
}

/// What has been decided for a pod and has not come to pass yet.
struct Assumption {
    node: Arc<str>,
    choices: Vec<Choice>,
}

#[derive(Default)]
pub struct Volumes {
    volumes: HashMap<Arc<str>, Arc<Volume>>,
    claims: HashMap<NamespacedName, Arc<Claim>>,
    classes: HashMap<Arc<str>, Arc<Class>>,
    /// Drivers that publish how much they have left.
    drivers: HashMap<Arc<str>, bool>,
    rooms: HashMap<NamespacedName, Arc<Room>>,
    /// By pod.
    assumed: HashMap<NamespacedName, Assumption>,
}

impl Volume {
    pub fn of(volume: &PersistentVolume) -> Self {
        let spec = volume.spec.as_ref();
        let affinity = spec.and_then(|spec| spec.node_affinity.as_ref());
        let offer = spec.filter(|_| volume.metadata.deletion_timestamp.is_none() && phase(volume) != "Bound");
        Self { nodes: affinity.and_then(|affinity| affinity.required.clone()), offer: offer.map(|spec| Box::new(Offer::of(volume, spec))) }
    }
}

impl Offer {
    fn of(volume: &PersistentVolume, spec: &PersistentVolumeSpec) -> Self {
        let claim = spec.claim_ref.as_ref().map(|reference| {
            let key =
                NamespacedName::new(reference.namespace.as_deref().unwrap_or_default(), reference.name.as_deref().unwrap_or_default());
            (key, reference.uid.as_deref().unwrap_or_default().into())
        });
        Self {
            // What matching looks at; of its source nothing is kept.
            spec: PersistentVolumeSpec {
                access_modes: spec.access_modes.clone(),
                capacity: spec.capacity.clone(),
                storage_class_name: spec.storage_class_name.clone(),
                volume_attributes_class_name: spec.volume_attributes_class_name.clone(),
                volume_mode: spec.volume_mode.clone(),
                ..PersistentVolumeSpec::default()
            },
            labels: volume.metadata.labels.clone().unwrap_or_default(),
            size: capacity(spec).unwrap_or_default(),
            is_available: phase(volume) == "Available",
            claim,
        }
    }

    /// Whether it is set aside for the claim.
    pub fn is_for(&self, key: &NamespacedName, uid: &str) -> bool {
        self.claim.as_ref().is_some_and(|(claim, of)| claim == key && (of.is_empty() || **of == *uid))
    }
}

impl Claim {
    pub fn of(claim: &PersistentVolumeClaim) -> Self {
        let spec = claim.spec.as_ref();
        let name = spec.and_then(|spec| spec.volume_name.as_deref()).filter(|name| !name.is_empty());
        // A claim may name its volume before it is bound to it.
        let bound = annotation(&claim.metadata, BIND_COMPLETED).is_some()
            || claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
        let wish = spec.filter(|_| name.is_none()).map(|spec| Wish {
            uid: claim.metadata.uid.as_deref().unwrap_or_default().into(),
            revision: claim.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default(),
            class: class_of(claim).into(),
            spec: spec.clone(),
            size: requested(spec).unwrap_or_default(),
            selected: annotation(&claim.metadata, SELECTED_NODE).map(Into::into),
        });
        Self {
            volume: name.filter(|_| bound).map(Into::into),
            deleting: claim.metadata.deletion_timestamp.is_some(),
            wish: wish.map(Box::new),
        }
    }
}

impl Class {
    pub fn of(class: &StorageClass) -> Self {
        let terms = class.allowed_topologies.as_deref().unwrap_or_default().iter().map(|term| NodeSelectorTerm {
            match_expressions: Some(
                term.match_label_expressions.iter().flatten().map(|r| requirement(&r.key, "In", Some(r.values.clone()))).collect(),
            ),
            match_fields: None,
        });
        let terms: Vec<NodeSelectorTerm> = terms.collect();
        Self {
            delays: class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
            provisioner: Some(class.provisioner.as_str()).filter(|name| *name != NO_PROVISIONER).map(Into::into),
            topologies: (!terms.is_empty()).then_some(NodeSelector { node_selector_terms: terms }),
        }
    }
}

impl Room {
    pub fn of(capacity: &CSIStorageCapacity) -> Self {
        let most = capacity.maximum_volume_size.as_ref().or(capacity.capacity.as_ref());
        Self {
            class: capacity.storage_class_name.as_str().into(),
            most: most.map(Quantity::of).unwrap_or_default(),
            nodes: capacity.node_topology.as_ref().map_or(Where::Nowhere, Where::of),
        }
    }
}

impl Where {
    fn of(selector: &LabelSelector) -> Self {
        let labels = selector.match_labels.iter().flatten().map(|(key, value)| requirement(key, "In", Some(vec![value.clone()])));
        let expressions = selector.match_expressions.iter().flatten().map(|e| requirement(&e.key, &e.operator, e.values.clone()));
        let all: Vec<NodeSelectorRequirement> = labels.chain(expressions).collect();
        if all.is_empty() {
            return Self::Everywhere;
        }
        let term = NodeSelectorTerm { match_expressions: Some(all), match_fields: None };
        Self::Among(NodeSelector { node_selector_terms: vec![term] })
    }
}

fn requirement(key: &str, operator: &str, values: Option<Vec<String>>) -> NodeSelectorRequirement {
    NodeSelectorRequirement { key: key.to_owned(), operator: operator.to_owned(), values }
}

/// Whether a driver publishes how much it has left.
pub fn publishes_capacity(driver: &CSIDriver) -> bool {
    driver.spec.storage_capacity == Some(true)
}

impl Volumes {
    pub fn volume(&self, name: &str) -> Option<&Arc<Volume>> {
        self.volumes.get(name)
    }

    pub fn volumes(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Volume>)> {
        self.volumes.iter()
    }

    pub fn claim(&self, key: &NamespacedName) -> Option<&Arc<Claim>> {
        self.claims.get(key)
    }

    pub fn class(&self, name: &str) -> Option<&Arc<Class>> {
        self.classes.get(name)
    }

    /// The room that the class's driver says it has; None where it does not say.
    pub fn rooms(&self, class: &str, driver: &str) -> Option<impl Iterator<Item = &Arc<Room>>> {
        let tells = self.drivers.get(driver).copied().unwrap_or_default();
        tells.then(move || self.rooms.values().filter(move |room| *room.class == *class))
    }

    pub fn set_volume(&mut self, name: &Arc<str>, volume: Option<Arc<Volume>>) {
        set(&mut self.volumes, name, volume);
    }

    pub fn set_claim(&mut self, key: &NamespacedName, claim: Option<Arc<Claim>>) {
        set(&mut self.claims, key, claim);
    }

    pub fn set_class(&mut self, name: &Arc<str>, class: Option<Arc<Class>>) {
        set(&mut self.classes, name, class);
    }

    pub fn set_driver(&mut self, name: &Arc<str>, publishes: Option<bool>) {
        set(&mut self.drivers, name, publishes);
    }

    pub fn set_room(&mut self, key: &NamespacedName, room: Option<Arc<Room>>) {
        set(&mut self.rooms, key, room);
    }

    /// The pod is to run on the node, with its claims' volumes as chosen.
    pub fn assume(&mut self, pod: &NamespacedName, node: &Arc<str>, choices: Vec<Choice>) {
        self.assumed.insert(pod.clone(), Assumption { node: node.clone(), choices });
    }

    /// What was assumed has come to pass, or never will. Returns whether there was anything.
    pub fn forget(&mut self, pod: &NamespacedName) -> bool {
        self.assumed.remove(pod).is_some()
    }

    /// The claim that is to get a volume.
    pub fn taker(&self, volume: &str) -> Option<&NamespacedName> {
        let mut choices = self.assumed.values().flat_map(|assumption| &assumption.choices);
        choices.find(|choice| choice.volume.as_deref() == Some(volume)).map(|choice| &choice.claim)
    }

    /// What is assumed of a claim: the node that it is to be on, and its volume where that is there already.
    pub fn assumed(&self, claim: &NamespacedName) -> Option<(&Arc<str>, Option<&Arc<str>>)> {
        self.assumed.values().find_map(|assumption| {
            let choice = assumption.choices.iter().find(|choice| choice.claim == *claim)?;
            Some((&assumption.node, choice.volume.as_ref()))
        })
    }
}

fn set<K: Clone + Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>, key: &K, value: Option<V>) {
    match value {
        Some(value) => _ = map.insert(key.clone(), value),
        None => _ = map.remove(key),
    }
}
