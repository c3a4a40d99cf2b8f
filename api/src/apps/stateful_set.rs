//! StatefulSet: pods with a stable name, number and storage each.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy as RetentionPolicy, StatefulSetSpec, StatefulSetStatus,
    StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::{bump_generation, selector, template};
use crate::columns::{self, CONTAINERS, IMAGES};
use crate::core::persistent_volume_claim::{size_warnings, validate_spec};
use crate::core::pod::drop_gated_in_template;
use crate::counts::{self, non_negative};
use crate::kind::{Column, Kind, Mark, Names, ScaleView, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

pub struct StatefulSets;

impl Kind for StatefulSets {
    type Object = StatefulSet;

    const NAMES: Names = Names {
        group: "apps",
        version: "v1",
        kind: "StatefulSet",
        plural: "statefulsets",
        singular: "statefulset",
        short: &["sts"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "statefulsets";
    const MARK: Option<Mark> = Some(selector::mark_empty);
    const COLUMNS: &'static [Column] =
        &[Column::NAME, Column::text("Ready", "Ready pods out of those wanted."), Column::AGE, CONTAINERS, IMAGES];

    /// The pods' host names are the set's name and an ordinal, so that it has to be a label.
    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_label(name, prefix)
    }

    fn default(set: &mut StatefulSet) {
        let spec = zero::keep(&mut set.spec);
        zero::fill(&mut spec.pod_management_policy, "OrderedReady");
        spec.replicas.get_or_insert(1);
        spec.revision_history_limit.get_or_insert(10);
        zero::keep(&mut spec.service_name);
        zero::omit(&mut spec.min_ready_seconds);
        zero::omit(&mut spec.volume_claim_templates);
        let retention = zero::keep(&mut spec.persistent_volume_claim_retention_policy);
        zero::fill(&mut retention.when_deleted, "Retain");
        zero::fill(&mut retention.when_scaled, "Retain");
        if let Some(ordinals) = &mut spec.ordinals {
            // `start` is no pointer upstream, but has no `omitempty` either.
            ordinals.start.get_or_insert(0);
        }
        default_update_strategy(zero::keep(&mut spec.update_strategy));
        template::default(&mut spec.template);
        spec.volume_claim_templates.iter_mut().flatten().for_each(default_claim);
        normalize_status(zero::keep(&mut set.status));
    }

    fn drop_unkept(set: &mut StatefulSet) {
        let Some(spec) = &mut set.spec else { return };
        drop_gated_in_template(&mut spec.template);
        // Kubernetes 1.36 keeps this behind a feature that is off.
        if let Some(rolling) = spec.update_strategy.as_mut().and_then(|strategy| strategy.rolling_update.as_mut()) {
            rolling.max_unavailable = None;
        }
    }

    fn prepare_create(_cx: &Context<'_>, set: &mut StatefulSet) {
        set.status = Some(StatefulSetStatus { available_replicas: Some(0), ..StatefulSetStatus::default() });
        set.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, set: &StatefulSet) -> Errors {
        check(set, New::Set)
    }

    fn warnings_create(set: &StatefulSet) -> Vec<String> {
        [template_warnings(set), warnings(set)].concat()
    }

    fn update() -> &'static dyn UpdateStrategy<StatefulSet> {
        &Update
    }

    fn subresources() -> Vec<Subresource<StatefulSet>> {
        let scale = ScaleView {
            replicas: |set: &StatefulSet| set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(0),
            set_replicas: |set, replicas| zero::keep(&mut set.spec).replicas = Some(replicas),
            observed: |set| set.status.as_ref().map_or(0, |s| s.replicas),
            selector: |set| set.spec.as_ref().map(|s| selector::text(&s.selector)).unwrap_or_default(),
            path: || Path::new("spec").child("replicas"),
        };
        vec![Subresource { name: "status", view: View::Object(&Status) }, Subresource { name: "scale", view: View::Scale(scale) }]
    }

    fn row(set: &StatefulSet, now: Timestamp) -> Vec<Value> {
        let spec = set.spec.as_ref();
        let ready = set.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0);
        let wanted = spec.and_then(|s| s.replicas).unwrap_or(0);
        let [containers, images] = columns::containers_and_images(spec.map(|s| &s.template));
        vec![columns::name(&set.metadata), json!(format!("{ready}/{wanted}")), columns::age(&set.metadata, now), containers, images]
    }
}

fn default_update_strategy(strategy: &mut StatefulSetUpdateStrategy) {
    zero::omit(&mut strategy.type_);
    if strategy.type_.is_none() {
        strategy.type_ = Some("RollingUpdate".to_owned());
        zero::keep(&mut strategy.rolling_update);
    }
    if let (Some("RollingUpdate"), Some(rolling)) = (strategy.type_.as_deref(), &mut strategy.rolling_update) {
        rolling.partition.get_or_insert(0);
    }
}

fn default_claim(claim: &mut PersistentVolumeClaim) {
    let spec = zero::keep(&mut claim.spec);
    zero::fill(&mut spec.volume_mode, "Filesystem");
    zero::omit(&mut spec.access_modes);
    zero::omit(&mut spec.volume_name);
    zero::keep(&mut spec.resources);
    zero::fill(&mut zero::keep(&mut claim.status).phase, "Pending");
}

fn normalize_status(status: &mut StatefulSetStatus) {
    status.available_replicas.get_or_insert(0);
    zero::omit(&mut status.observed_generation);
    zero::omit(&mut status.ready_replicas);
    zero::omit(&mut status.current_replicas);
    zero::omit(&mut status.updated_replicas);
    zero::omit(&mut status.current_revision);
    zero::omit(&mut status.update_revision);
    zero::omit(&mut status.conditions);
}

struct Update;

impl UpdateStrategy<StatefulSet> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut StatefulSet, old: &StatefulSet) {
        new.status.clone_from(&old.status);
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &StatefulSet, old: &StatefulSet) -> Errors {
        let as_before = if check(old, New::Template).is_empty() { New::Template } else { New::Nothing };
        let mut errors = check(new, as_before);
        let mut mutable_as_new = old.spec.clone().unwrap_or_default();
        let spec = new.spec.clone().unwrap_or_default();
        mutable_as_new.replicas = spec.replicas;
        mutable_as_new.template.clone_from(&spec.template);
        mutable_as_new.update_strategy.clone_from(&spec.update_strategy);
        mutable_as_new.min_ready_seconds = spec.min_ready_seconds;
        mutable_as_new.ordinals.clone_from(&spec.ordinals);
        mutable_as_new.revision_history_limit = spec.revision_history_limit;
        mutable_as_new.persistent_volume_claim_retention_policy.clone_from(&spec.persistent_volume_claim_retention_policy);
        if mutable_as_new != spec {
            errors.push(Error::forbidden(
                &Path::new("spec"),
                "only 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', \
                 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' of a StatefulSet may change",
            ));
        }
        errors
    }

    fn warnings(&self, new: &StatefulSet, old: &StatefulSet) -> Vec<String> {
        let of_template = if template::is_new(&new.metadata, &old.metadata) { template_warnings(new) } else { Vec::new() };
        [of_template, warnings(new)].concat()
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<StatefulSet> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut StatefulSet, old: &StatefulSet) {
        new.spec.clone_from(&old.spec);
    }

    fn validate(&self, _cx: &Context<'_>, new: &StatefulSet, _old: &StatefulSet) -> Errors {
        let none = StatefulSetStatus::default();
        let new = new.status.as_ref().unwrap_or(&none);
        let path = Path::new("status");
        let parts = [
            ("readyReplicas", new.ready_replicas),
            ("currentReplicas", new.current_replicas),
            ("updatedReplicas", new.updated_replicas),
            ("availableReplicas", new.available_replicas),
        ];
        let mut errors = validate::non_negative(&path.child("replicas"), new.replicas.into());
        for (name, count) in parts {
            errors.extend(non_negative(&path.child(name), count));
        }
        errors.extend(non_negative(&path.child("observedGeneration"), new.observed_generation));
        errors.extend(non_negative(&path.child("collisionCount"), new.collision_count));
        errors.extend(counts::at_most(&path, &parts, ("replicas", Some(new.replicas))));
        errors.extend(counts::at_most(&path, &parts[3..], ("readyReplicas", new.ready_replicas)));
        errors
    }

    fn validate_change(&self, new: &StatefulSet, old: &StatefulSet) -> Errors {
        let collisions = |set: &StatefulSet| set.status.as_ref().and_then(|status| status.collision_count);
        counts::not_decremented(&Path::new("status").child("collisionCount"), collisions(new), collisions(old)).into_iter().collect()
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::ChangeAfterOwn
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

fn template_warnings(set: &StatefulSet) -> Vec<String> {
    set.spec.as_ref().map(|spec| template::warnings(&Path::new("spec"), &spec.template)).unwrap_or_default()
}

/// Of claims that are no whole number of bytes, and of a limit below zero, which keeps all revisions: neither is meant.
fn warnings(set: &StatefulSet) -> Vec<String> {
    let Some(spec) = &set.spec else { return Vec::new() };
    let path = Path::new("spec").child("volumeClaimTemplates");
    let claims = spec.volume_claim_templates.iter().flatten().enumerate();
    let sizes = claims.flat_map(|(i, claim)| {
        let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
        size_warnings(&path.index(i).child("spec"), resources)
    });
    let mut warnings: Vec<String> = sizes.collect();
    if spec.revision_history_limit.is_some_and(|limit| limit < 0) {
        warnings.push("spec.revisionHistoryLimit: below zero, all revisions are kept; 0 or more is better".to_owned());
    }
    warnings
}

/// What of a set is looked at. Sets that are there keep what was not checked when they came, and what cannot change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum New {
    /// All of it.
    Set,
    /// All but its claims and its service's name.
    Template,
    /// Not the template either, since the old one would not pass.
    Nothing,
}

fn check(set: &StatefulSet, new: New) -> Errors {
    let none = StatefulSetSpec::default();
    let spec = set.spec.as_ref().unwrap_or(&none);
    let path = Path::new("spec");
    let mut errors = Errors::new();
    match spec.pod_management_policy.as_deref().unwrap_or_default() {
        "OrderedReady" | "Parallel" => {}
        other => errors.push(Error::invalid(&path.child("podManagementPolicy"), other, "must be 'OrderedReady' or 'Parallel'")),
    }
    errors.extend(check_update_strategy(&path.child("updateStrategy"), spec.update_strategy.as_ref()));
    errors.extend(check_retention(
        &path.child("persistentVolumeClaimRetentionPolicy"),
        spec.persistent_volume_claim_retention_policy.as_ref(),
    ));
    let claims = spec.volume_claim_templates.as_deref().unwrap_or_default();
    if new == New::Set {
        let at = path.child("volumeClaimTemplates");
        let spec_of = |claim: &PersistentVolumeClaim| claim.spec.clone().unwrap_or_default();
        errors.extend(claims.iter().enumerate().flat_map(|(i, claim)| validate_spec(&at.index(i).child("spec"), &spec_of(claim))));
    }
    errors.extend(non_negative(&path.child("replicas"), spec.replicas));
    errors.extend(non_negative(&path.child("minReadySeconds"), spec.min_ready_seconds));
    let ordinals = spec.ordinals.as_ref();
    errors.extend(non_negative(&path.child("ordinals").child("start"), ordinals.and_then(|o| o.start)));
    if new == New::Set {
        let name = spec.service_name.as_deref().unwrap_or_default();
        let wrong = if name.is_empty() { Vec::new() } else { names::dns1123_label(name, false) };
        errors.extend(validate::complaints(&path.child("serviceName"), name, wrong));
    }
    errors.extend(check_selected(&path, spec, claims, new));
    errors.extend(template::runs_forever(&path.child("template"), &spec.template));
    errors
}

fn check_selected(path: &Path, spec: &StatefulSetSpec, claims: &[PersistentVolumeClaim], new: New) -> Errors {
    let template = template::with_identity(&spec.template, claims);
    let (mut errors, sound) = template::check_match(path, &spec.selector, &template);
    if !sound {
        return errors;
    }
    let path = path.child("template");
    if new != New::Nothing {
        errors.extend(template::check(&path, &template));
    }
    // Kubernetes looks at these once more, and reports them at paths that are not there.
    let none = ObjectMeta::default();
    let meta = template.metadata.as_ref().unwrap_or(&none);
    errors.extend(validate::labels(&path.child("labels"), meta.labels.as_ref()));
    errors.extend(validate::annotations(&path.child("annotations"), meta.annotations.as_ref()));
    errors
}

fn check_update_strategy(path: &Path, strategy: Option<&StatefulSetUpdateStrategy>) -> Errors {
    let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
    let rolling_path = path.child("rollingUpdate");
    match strategy.and_then(|s| s.type_.as_deref()).unwrap_or_default() {
        "OnDelete" if rolling.is_some() => {
            vec![Error::invalid(&rolling_path, &rolling, "only allowed when the strategy's type is RollingUpdate")]
        }
        "OnDelete" => Errors::new(),
        "RollingUpdate" => non_negative(&rolling_path.child("partition"), rolling.and_then(|r| r.partition)),
        other => vec![Error::invalid(path, other, "must be 'RollingUpdate' or 'OnDelete'")],
    }
}

fn check_retention(path: &Path, policy: Option<&RetentionPolicy>) -> Errors {
    let Some(policy) = policy else { return Errors::new() };
    let mut errors = Errors::new();
    for (name, value) in [("whenDeleted", &policy.when_deleted), ("whenScaled", &policy.when_scaled)] {
        errors.extend(validate::supported_value(&path.child(name), value.as_deref().unwrap_or_default(), &["Delete", "Retain"]));
    }
    errors
}
