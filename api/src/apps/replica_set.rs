//! ReplicaSet: keeps a number of pods of one template running.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use machinery::field::{Errors, Path};
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::{bump_generation, selector, template};
use crate::columns::{self, CONTAINERS, IMAGES, SELECTOR};
use crate::core::pod::drop_gated_in_template;
use crate::counts::{self, non_negative};
use crate::kind::{Column, Kind, Mark, Names, ScaleView, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

pub struct ReplicaSets;

impl Kind for ReplicaSets {
    type Object = ReplicaSet;

    const NAMES: Names = Names {
        group: "apps",
        version: "v1",
        kind: "ReplicaSet",
        plural: "replicasets",
        singular: "replicaset",
        short: &["rs"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "replicasets";
    const MARK: Option<Mark> = Some(selector::mark_empty);
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::integer("Desired", "Pods wanted."),
        Column::integer("Current", "Pods there are."),
        Column::integer("Ready", "Pods that are ready."),
        Column::AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::dns1123_subdomain(name, prefix)
    }

    fn default(set: &mut ReplicaSet) {
        let spec = zero::keep(&mut set.spec);
        spec.replicas.get_or_insert(1);
        zero::omit(&mut spec.min_ready_seconds);
        template::default(zero::keep(&mut spec.template));
        let status = zero::keep(&mut set.status);
        zero::omit(&mut status.fully_labeled_replicas);
        zero::omit(&mut status.ready_replicas);
        zero::omit(&mut status.available_replicas);
        zero::omit(&mut status.observed_generation);
        zero::omit(&mut status.conditions);
    }

    fn drop_unkept(set: &mut ReplicaSet) {
        set.spec.iter_mut().filter_map(|spec| spec.template.as_mut()).for_each(drop_gated_in_template);
    }

    fn prepare_create(_cx: &Context<'_>, set: &mut ReplicaSet) {
        set.status = Some(ReplicaSetStatus::default());
        set.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, set: &ReplicaSet) -> Errors {
        check(set)
    }

    fn warnings_create(set: &ReplicaSet) -> Vec<String> {
        template::name_warning(&set.metadata).into_iter().chain(template_warnings(set)).collect()
    }

    fn update() -> &'static dyn UpdateStrategy<ReplicaSet> {
        &Update
    }

    fn subresources() -> Vec<Subresource<ReplicaSet>> {
        let scale = ScaleView {
            replicas: |set: &ReplicaSet| set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(0),
            set_replicas: |set, replicas| zero::keep(&mut set.spec).replicas = Some(replicas),
            observed: |set| set.status.as_ref().map_or(0, |s| s.replicas),
            selector: |set| set.spec.as_ref().map(|s| selector::text(&s.selector)).unwrap_or_default(),
            path: || Path::new("spec").child("replicas"),
        };
        vec![Subresource { name: "status", view: View::Object(&Status) }, Subresource { name: "scale", view: View::Scale(scale) }]
    }

    fn row(set: &ReplicaSet, now: Timestamp) -> Vec<Value> {
        let spec = set.spec.as_ref();
        let status = set.status.as_ref();
        let [containers, images] = columns::containers_and_images(spec.and_then(|s| s.template.as_ref()));
        vec![
            columns::name(&set.metadata),
            json!(spec.and_then(|s| s.replicas).unwrap_or(0)),
            json!(status.map_or(0, |s| s.replicas)),
            json!(status.and_then(|s| s.ready_replicas).unwrap_or(0)),
            columns::age(&set.metadata, now),
            containers,
            images,
            json!(selector::cell(spec.map(|s| &s.selector))),
        ]
    }
}

fn template_warnings(set: &ReplicaSet) -> Vec<String> {
    let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    template.map(|template| template::warnings(&Path::new("spec"), template)).unwrap_or_default()
}

struct Update;

impl UpdateStrategy<ReplicaSet> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ReplicaSet, old: &ReplicaSet) {
        new.status.clone_from(&old.status);
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &ReplicaSet, old: &ReplicaSet) -> Errors {
        let mut errors = check(new);
        let none = ReplicaSetSpec::default();
        let (new, old) = (new.spec.as_ref().unwrap_or(&none), old.spec.as_ref().unwrap_or(&none));
        errors.extend(validate::immutable(&Path::new("spec").child("selector"), &new.selector, &old.selector));
        errors
    }

    fn warnings(&self, new: &ReplicaSet, old: &ReplicaSet) -> Vec<String> {
        if template::is_new(&new.metadata, &old.metadata) { template_warnings(new) } else { Vec::new() }
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<ReplicaSet> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ReplicaSet, old: &ReplicaSet) {
        new.spec.clone_from(&old.spec);
    }

    fn validate(&self, _cx: &Context<'_>, new: &ReplicaSet, _old: &ReplicaSet) -> Errors {
        let none = ReplicaSetStatus::default();
        let status = new.status.as_ref().unwrap_or(&none);
        let path = Path::new("status");
        let mut errors = validate::non_negative(&path.child("replicas"), status.replicas.into());
        errors.extend(non_negative(&path.child("fullyLabeledReplicas"), status.fully_labeled_replicas));
        errors.extend(non_negative(&path.child("readyReplicas"), status.ready_replicas));
        errors.extend(non_negative(&path.child("availableReplicas"), status.available_replicas));
        errors.extend(non_negative(&path.child("observedGeneration"), status.observed_generation));
        errors.extend(non_negative(&path.child("terminatingReplicas"), status.terminating_replicas));
        let parts = [
            ("fullyLabeledReplicas", status.fully_labeled_replicas),
            ("readyReplicas", status.ready_replicas),
            ("availableReplicas", status.available_replicas),
        ];
        errors.extend(counts::at_most(&path, &parts, ("replicas", Some(status.replicas))));
        errors.extend(counts::at_most(&path, &parts[2..], ("readyReplicas", status.ready_replicas)));
        errors
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

fn check(set: &ReplicaSet) -> Errors {
    let none = ReplicaSetSpec::default();
    let spec = set.spec.as_ref().unwrap_or(&none);
    let no_template = PodTemplateSpec::default();
    let path = Path::new("spec");
    let mut errors = non_negative(&path.child("replicas"), spec.replicas);
    errors.extend(non_negative(&path.child("minReadySeconds"), spec.min_ready_seconds));
    errors.extend(template::check_selected(&path, &spec.selector, spec.template.as_ref().unwrap_or(&no_template)));
    errors
}
