//! ControllerRevisions: the templates that a DaemonSet or StatefulSet had, numbered, so that pods of an earlier one
//! can be told apart and remade, and a rollback can find it.

use std::collections::HashSet;
use std::sync::Arc;

use api::core::pod::{template_json, template_of};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::{Value, json};

use crate::naming;
use crate::ownership::{claim, controller_reference};
use crate::plan::{Plan, Write};
use crate::world::{Labels, Row, Whole, World};

/// The label by which a pod says which revision it was made from.
pub const HASH_LABEL: &str = "controller-revision-hash";

/// A revision, stored or about to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    pub name: String,
    pub hash: String,
    pub number: i64,
}

/// The revisions of one owner.
pub struct History {
    /// In order of their numbers.
    revisions: Vec<Arc<Whole<ControllerRevision>>>,
    /// The label of a revision object that carries its hash.
    hash_label: &'static str,
}

impl History {
    pub fn of<O: Row>(world: &World, owner: &O, selects: &dyn Fn(&Labels) -> bool, hash_label: &'static str, plan: &mut Plan) -> Self {
        let mut revisions = claim(&world.controller_revisions, owner, selects, &|_| true, plan);
        revisions.sort_by(|a, b| (a.revision, a.header().name()).cmp(&(b.revision, b.header().name())));
        Self { revisions, hash_label }
    }

    /// The revision of a template. One that is not the newest gets a new number; one that is missing is created. None
    /// where its name is taken by something else: the next collision count gives another.
    pub fn revision_of<O: Row>(
        &self,
        world: &World,
        owner: &O,
        template: &PodTemplateSpec,
        collisions: i32,
        plan: &mut Plan,
    ) -> Option<Revision> {
        let data = data(template);
        let newest = self.revisions.last().map_or(0, |revision| revision.revision);
        if let Some(known) = self.revisions.iter().rev().find(|revision| holds(revision, &data)) {
            let mut found = self.describe(known);
            if found.number < newest {
                found.number = newest + 1;
                let mut object = known.to_object();
                object.revision = found.number;
                plan.write(Write::update(object));
            }
            return Some(found);
        }
        let hash = naming::template_hash(data.to_string().as_bytes(), collisions);
        let head = owner.header();
        let name = naming::joined(head.name(), &format!("-{hash}"));
        if world.controller_revisions.find(head.namespace(), &name).is_some() {
            return None;
        }
        let mut labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
        labels.insert(self.hash_label.to_owned(), hash.clone());
        plan.write(Write::create(ControllerRevision {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(head.namespace().to_owned()),
                labels: Some(labels),
                owner_references: Some(vec![controller_reference(owner)]),
                ..ObjectMeta::default()
            },
            data: Some(RawExtension(data)),
            revision: newest + 1,
        }));
        Some(Revision { name, hash, number: newest + 1 })
    }

    pub fn named(&self, name: &str) -> Option<Revision> {
        self.revisions.iter().find(|revision| revision.header().name() == name).map(|revision| self.describe(revision))
    }

    /// The template that a revision holds.
    pub fn template(&self, name: &str) -> Option<PodTemplateSpec> {
        let revision = self.revisions.iter().find(|revision| revision.header().name() == name)?;
        let mut template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
        template.as_object_mut()?.remove("$patch");
        template_of(&template)
    }

    fn describe(&self, revision: &Whole<ControllerRevision>) -> Revision {
        let name = revision.header().name();
        let hash = revision.header().label(self.hash_label).unwrap_or(name);
        Revision { name: name.to_owned(), hash: hash.to_owned(), number: revision.revision }
    }

    /// Deletes the oldest revisions that nobody uses, beyond the limit. `live` holds names and hashes in use.
    pub fn truncate(&self, limit: Option<i32>, live: &HashSet<String>, plan: &mut Plan) {
        let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or(0);
        let unused: Vec<_> = self
            .revisions
            .iter()
            .filter(|revision| !revision.header().is_terminating())
            .filter(|revision| {
                let found = self.describe(revision);
                !live.contains(&found.name) && !live.contains(&found.hash)
            })
            .collect();
        let excess = unused.len().saturating_sub(limit);
        unused[..excess].iter().for_each(|revision| plan.write(Write::delete(&***revision)));
    }
}

/// What a revision holds: a strategic merge patch that puts the template back.
fn data(template: &PodTemplateSpec) -> Value {
    let mut template: Value = serde_json::from_slice(&template_json(template)).unwrap_or_default();
    template["$patch"] = json!("replace");
    json!({"spec": {"template": template}})
}

fn holds(revision: &ControllerRevision, data: &Value) -> bool {
    revision.data.as_ref().is_some_and(|known| known.0 == *data)
}
