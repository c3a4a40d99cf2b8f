//! Pruning: fields that the schema does not know are dropped.

use serde_json::Value;

use super::node::{Additional, Node};
use crate::finding::{Finding, MOST_FINDINGS, Path};

/// Fields of every object, and of objects within objects, whatever the schema says.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

pub(super) fn prune(root: &Node, value: &mut Value, findings: &mut Vec<Finding>) {
    Walk { findings }.value(Some(root), value, &Path::Root, false);
}

struct Walk<'f> {
    findings: &'f mut Vec<Finding>,
}

impl Walk<'_> {
    /// Of what no schema describes, every field is unknown. `kept` says that the value is an element of a list whose
    /// unknown fields are kept.
    fn value(&mut self, node: Option<&Node>, value: &mut Value, path: &Path<'_>, kept: bool) {
        let keeps = kept || node.is_some_and(|node| node.preserve_unknown);
        match value {
            Value::Object(fields) => fields.retain(|name, value| self.field(node, keeps, name, value, path)),
            Value::Array(items) => {
                let below = node.and_then(|node| node.items.as_deref());
                if keeps && below.is_none() {
                    return;
                }
                for (index, item) in items.iter_mut().enumerate() {
                    self.value(below, item, &Path::Index(path, index), keeps);
                }
            }
            _ => {}
        }
    }

    /// Whether the field stays.
    fn field(&mut self, node: Option<&Node>, keeps: bool, name: &str, value: &mut Value, path: &Path<'_>) -> bool {
        let below = Path::Key(path, name);
        let Some(node) = node else {
            self.unknown(&below);
            return false;
        };
        if node.embedded && META.contains(&name) {
            return true;
        }
        match (node.properties.get(name), &node.additional) {
            (Some(child), _) => self.value(Some(child), value, &below, false),
            (None, Some(Additional::Schema(child))) => self.value(Some(child), value, &below, false),
            (None, Some(Additional::Allowed(_))) => self.value(None, value, &below, false),
            (None, None) if keeps => {}
            (None, None) => {
                self.unknown(&below);
                return false;
            }
        }
        true
    }

    fn unknown(&mut self, path: &Path<'_>) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(Finding::Unknown(path.shown()));
        }
    }
}
