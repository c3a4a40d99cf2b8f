//! CSIStorageCapacity: how much storage of a class is left in a part of the cluster.

use jiff::Timestamp;
use k8s_openapi::api::storage::v1::CSIStorageCapacity;
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use machinery::quantity::Quantity;
use machinery::{labels, names};
use serde_json::Value;

use super::GROUP;
use crate::columns;
use crate::core::node_labels;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate;

pub struct CSIStorageCapacities;

impl Kind for CSIStorageCapacities {
    type Object = CSIStorageCapacity;

    const NAMES: Names = Names {
        group: GROUP,
        version: "v1",
        kind: "CSIStorageCapacity",
        plural: "csistoragecapacities",
        singular: "csistoragecapacity",
        short: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "csistoragecapacities";
    const UNCONDITIONAL_UPDATE: bool = false;
    const COLUMNS: &'static [Column] = &[Column::NAME, columns::CREATED_AT];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn validate_create(_cx: &Context<'_>, capacity: &CSIStorageCapacity) -> Errors {
        check(capacity)
    }

    fn warnings_create(capacity: &CSIStorageCapacity) -> Vec<String> {
        warnings(capacity)
    }

    fn update() -> &'static dyn UpdateStrategy<CSIStorageCapacity> {
        &Update
    }

    fn row(capacity: &CSIStorageCapacity, _now: Timestamp) -> Vec<Value> {
        vec![columns::name(&capacity.metadata), columns::created_at(&capacity.metadata)]
    }
}

struct Update;

impl UpdateStrategy<CSIStorageCapacity> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut CSIStorageCapacity, _old: &CSIStorageCapacity) {}

    fn validate(&self, _cx: &Context<'_>, new: &CSIStorageCapacity, _old: &CSIStorageCapacity) -> Errors {
        check(new)
    }

    fn validate_change(&self, new: &CSIStorageCapacity, old: &CSIStorageCapacity) -> Errors {
        let mut errors = validate::immutable(&Path::new("nodeTopology"), &new.node_topology, &old.node_topology);
        errors.extend(validate::immutable(&Path::new("storageClassName"), &new.storage_class_name, &old.storage_class_name));
        errors
    }

    fn warnings(&self, new: &CSIStorageCapacity, _old: &CSIStorageCapacity) -> Vec<String> {
        warnings(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}

fn warnings(capacity: &CSIStorageCapacity) -> Vec<String> {
    let path = Path::new("nodeTopology");
    capacity.node_topology.iter().flat_map(|topology| node_labels::warn_of_labels(&path, topology)).collect()
}

fn check(capacity: &CSIStorageCapacity) -> Errors {
    let mut errors = Errors::new();
    if let Some(topology) = &capacity.node_topology {
        errors.extend(labels::validate(topology, &Path::new("nodeTopology")));
    }
    let class = &capacity.storage_class_name;
    errors.extend(validate::complaints(&Path::new("storageClassName"), class, names::dns1123_subdomain(class, false)));
    // Kubernetes leaves `maximumVolumeSize` to whoever publishes it.
    if let Some(amount) = capacity.capacity.as_ref().filter(|amount| Quantity::of(amount).is_negative()) {
        errors.push(Error::invalid(&Path::new("capacity"), &amount.0, "must be greater than or equal to 0"));
    }
    errors
}
