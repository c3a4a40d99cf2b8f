//! CSINode: the storage drivers of a node, whose name it has.

use jiff::Timestamp;
use k8s_openapi::api::storage::v1::{CSINode, CSINodeDriver};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::GROUP;
use crate::columns;
use crate::counts::non_negative;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

const MOST_NODE_ID_BYTES: usize = 256;

pub struct CSINodes;

impl Kind for CSINodes {
    type Object = CSINode;

    const NAMES: Names =
        Names { group: GROUP, version: "v1", kind: "CSINode", plural: "csinodes", singular: "csinode", short: &[], categories: &[] };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "csinodes";
    const UNCONDITIONAL_UPDATE: bool = false;
    const DELETE_RETURNS_OBJECT: bool = true;
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::integer("Drivers", "How many drivers the node has."), Column::AGE];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(node: &mut CSINode) {
        for driver in &mut node.spec.drivers {
            zero::omit(&mut driver.topology_keys);
        }
    }

    fn validate_create(_cx: &Context<'_>, node: &CSINode) -> Errors {
        check(node)
    }

    fn update() -> &'static dyn UpdateStrategy<CSINode> {
        &Update
    }

    fn row(node: &CSINode, now: Timestamp) -> Vec<Value> {
        vec![columns::name(&node.metadata), json!(node.spec.drivers.len()), columns::age(&node.metadata, now)]
    }
}

struct Update;

impl UpdateStrategy<CSINode> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut CSINode, _old: &CSINode) {}

    /// Drivers come and go; of one that stays, only how many volumes it can attach may change.
    fn validate(&self, _cx: &Context<'_>, new: &CSINode, old: &CSINode) -> Errors {
        let mut errors = check(new);
        let identity = |driver: &CSINodeDriver| (driver.node_id.clone(), driver.topology_keys.clone());
        for driver in &new.spec.drivers {
            let before = old.spec.drivers.iter().find(|before| before.name == driver.name);
            if before.is_some_and(|before| identity(before) != identity(driver)) {
                errors.push(Error::invalid(&Path::new("spec").child("drivers"), driver, "field is immutable"));
            }
        }
        errors
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Whole
    }
}

fn check(node: &CSINode) -> Errors {
    let path = Path::new("spec").child("drivers");
    let mut errors = Errors::new();
    for (i, driver) in node.spec.drivers.iter().enumerate() {
        let path = path.index(i);
        let name = path.child("name");
        errors.extend(validate::driver_name(&name, &driver.name));
        let id = path.child("nodeID");
        if driver.node_id.is_empty() {
            errors.push(Error::required(&id, ""));
        } else if driver.node_id.len() > MOST_NODE_ID_BYTES {
            errors.push(Error::invalid(&id, &driver.node_id, format!("must be {MOST_NODE_ID_BYTES} bytes or less")));
        }
        let count = driver.allocatable.as_ref().and_then(|a| a.count);
        errors.extend(non_negative(&path.child("allocatable").child("count"), count));
        if node.spec.drivers[..i].iter().any(|before| before.name == driver.name) {
            errors.push(Error::duplicate(&name, &driver.name));
        }
        let keys = driver.topology_keys.as_deref().unwrap_or_default();
        // Kubernetes reports these at the driver.
        for (j, key) in keys.iter().enumerate() {
            errors.extend(validate::required(&path, key));
            if keys[..j].contains(key) {
                errors.push(Error::duplicate(&path, key));
            }
            errors.extend(validate::complaints(&path, key, names::qualified_name(key)));
        }
    }
    errors
}
