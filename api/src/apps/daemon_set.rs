//! DaemonSet: runs a pod of its template on every node that qualifies.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetStatus, DaemonSetUpdateStrategy, RollingUpdateDaemonSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::{bump_generation, selector, template};
use crate::columns::{self, CONTAINERS, IMAGES, SELECTOR};
use crate::core::pod::drop_gated_in_template;
use crate::counts::{self, non_negative};
use crate::kind::{Column, Kind, Mark, Names, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

/// Counts the template's changes. Superseded by ControllerRevisions, but still there for clients to see.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub struct DaemonSets;

impl Kind for DaemonSets {
    type Object = DaemonSet;

    const NAMES: Names = Names {
        group: "apps",
        version: "v1",
        kind: "DaemonSet",
        plural: "daemonsets",
        singular: "daemonset",
        short: &["ds"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "daemonsets";
    const MARK: Option<Mark> = Some(selector::mark_empty);
    /// Upstream makes it of a field when it makes this version of the object.
    const HIDDEN_ANNOTATION: Option<&'static str> = Some(TEMPLATE_GENERATION);
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::integer("Desired", "Nodes that should run a pod."),
        Column::integer("Current", "Nodes that run a pod and should."),
        Column::integer("Ready", "Nodes whose pod is ready."),
        Column::integer("Up-to-date", "Nodes whose pod is of the current template."),
        Column::integer("Available", "Nodes whose pod has been ready for long enough."),
        Column::text("Node Selector", "The labels that a node needs."),
        Column::AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::dns1123_subdomain(name, prefix)
    }

    fn check_decoded(set: &DaemonSet) -> Result<(), String> {
        let given = set.metadata.annotations.as_ref().and_then(|a| a.get(TEMPLATE_GENERATION));
        let wrong = given.filter(|text| text.parse::<i64>().is_err());
        wrong.map_or(Ok(()), |text| Err(format!("the annotation {TEMPLATE_GENERATION} is {text:?}, and has to be a number")))
    }

    fn default(set: &mut DaemonSet) {
        let spec = zero::keep(&mut set.spec);
        spec.revision_history_limit.get_or_insert(10);
        zero::omit(&mut spec.min_ready_seconds);
        default_update_strategy(zero::keep(&mut spec.update_strategy));
        template::default(&mut spec.template);
        // Who writes a DaemonSet owns this annotation, though its value is the server's.
        zero::keep(&mut set.metadata.annotations).entry(TEMPLATE_GENERATION.to_owned()).or_insert_with(|| "0".to_owned());
        let status = zero::keep(&mut set.status);
        zero::omit(&mut status.observed_generation);
        zero::omit(&mut status.updated_number_scheduled);
        zero::omit(&mut status.number_available);
        zero::omit(&mut status.number_unavailable);
        zero::omit(&mut status.conditions);
    }

    fn drop_unkept(set: &mut DaemonSet) {
        set.spec.iter_mut().for_each(|spec| drop_gated_in_template(&mut spec.template));
    }

    fn prepare_create(_cx: &Context<'_>, set: &mut DaemonSet) {
        set.status = Some(DaemonSetStatus::default());
        set.metadata.generation = Some(1);
        set_template_generation(set, template_generation(set).max(1));
    }

    fn validate_create(_cx: &Context<'_>, set: &DaemonSet) -> Errors {
        check(set)
    }

    fn warnings_create(set: &DaemonSet) -> Vec<String> {
        template_warnings(set)
    }

    fn update() -> &'static dyn UpdateStrategy<DaemonSet> {
        &Update
    }

    fn subresources() -> Vec<Subresource<DaemonSet>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(set: &DaemonSet, now: Timestamp) -> Vec<Value> {
        let spec = set.spec.as_ref();
        let none = DaemonSetStatus::default();
        let status = set.status.as_ref().unwrap_or(&none);
        let [containers, images] = columns::containers_and_images(spec.map(|s| &s.template));
        let nodes = spec.and_then(|s| s.template.spec.as_ref()).and_then(|s| s.node_selector.as_ref());
        let nodes: Vec<String> = nodes.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            columns::name(&set.metadata),
            json!(status.desired_number_scheduled),
            json!(status.current_number_scheduled),
            json!(status.number_ready),
            json!(status.updated_number_scheduled.unwrap_or(0)),
            json!(status.number_available.unwrap_or(0)),
            json!(columns::or_none(nodes.join(","))),
            columns::age(&set.metadata, now),
            containers,
            images,
            json!(selector::cell(spec.map(|s| &s.selector))),
        ]
    }
}

fn default_update_strategy(strategy: &mut DaemonSetUpdateStrategy) {
    zero::fill(&mut strategy.type_, "RollingUpdate");
    if strategy.type_.as_deref() == Some("RollingUpdate") {
        let rolling = zero::keep(&mut strategy.rolling_update);
        rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
    }
    // Unlike the rest, these are there for any type.
    if let Some(rolling) = &mut strategy.rolling_update {
        rolling.max_unavailable.get_or_insert(IntOrString::Int(0));
        rolling.max_surge.get_or_insert(IntOrString::Int(0));
    }
}

fn template_generation(set: &DaemonSet) -> i64 {
    let annotation = set.metadata.annotations.as_ref().and_then(|a| a.get(TEMPLATE_GENERATION));
    annotation.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn set_template_generation(set: &mut DaemonSet, generation: i64) {
    zero::keep(&mut set.metadata.annotations).insert(TEMPLATE_GENERATION.to_owned(), generation.to_string());
}

fn template_warnings(set: &DaemonSet) -> Vec<String> {
    set.spec.as_ref().map(|spec| template::warnings(&Path::new("spec"), &spec.template)).unwrap_or_default()
}

struct Update;

impl UpdateStrategy<DaemonSet> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut DaemonSet, old: &DaemonSet) {
        new.status.clone_from(&old.status);
        let template = |set: &DaemonSet| set.spec.as_ref().map(|s| s.template.clone());
        let changed = i64::from(template(new) != template(old));
        set_template_generation(new, template_generation(old) + changed);
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &DaemonSet, old: &DaemonSet) -> Errors {
        let none = DaemonSetSpec::default();
        let selector = |set: &DaemonSet| set.spec.as_ref().unwrap_or(&none).selector.clone();
        let mut errors = validate::immutable(&Path::new("spec").child("selector"), &selector(new), &selector(old));
        errors.extend(check(new));
        errors
    }

    fn warnings(&self, new: &DaemonSet, old: &DaemonSet) -> Vec<String> {
        if template_generation(new) == template_generation(old) { Vec::new() } else { template_warnings(new) }
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<DaemonSet> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut DaemonSet, old: &DaemonSet) {
        new.spec.clone_from(&old.spec);
        set_template_generation(new, template_generation(old));
    }

    fn validate(&self, _cx: &Context<'_>, new: &DaemonSet, old: &DaemonSet) -> Errors {
        let none = DaemonSetStatus::default();
        let (new, old) = (new.status.as_ref().unwrap_or(&none), old.status.as_ref().unwrap_or(&none));
        let path = Path::new("status");
        let mut errors = validate::non_negative(&path.child("currentNumberScheduled"), new.current_number_scheduled.into());
        errors.extend(validate::non_negative(&path.child("numberMisscheduled"), new.number_misscheduled.into()));
        errors.extend(validate::non_negative(&path.child("desiredNumberScheduled"), new.desired_number_scheduled.into()));
        errors.extend(validate::non_negative(&path.child("numberReady"), new.number_ready.into()));
        errors.extend(non_negative(&path.child("observedGeneration"), new.observed_generation));
        errors.extend(non_negative(&path.child("updatedNumberScheduled"), new.updated_number_scheduled));
        errors.extend(non_negative(&path.child("numberAvailable"), new.number_available));
        errors.extend(non_negative(&path.child("numberUnavailable"), new.number_unavailable));
        errors.extend(non_negative(&path.child("collisionCount"), new.collision_count));
        errors.extend(counts::not_decremented(&path.child("collisionCount"), new.collision_count, old.collision_count));
        errors
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

fn check(set: &DaemonSet) -> Errors {
    let none = DaemonSetSpec::default();
    let spec = set.spec.as_ref().unwrap_or(&none);
    let path = Path::new("spec");
    let mut errors = validate::label_selector(&path.child("selector"), &spec.selector);
    let template_path = path.child("template");
    if errors.is_empty() && (selector::is_absent(&spec.selector) || !selector::matches(&spec.selector, template::labels(&spec.template))) {
        errors.push(template::mismatch(&template_path, &spec.template));
    }
    if !selector::is_absent(&spec.selector) && selector::is_empty(&spec.selector) {
        errors.push(Error::invalid(&path.child("selector"), &spec.selector, "an empty selector would match every pod"));
    }
    errors.extend(template::check(&template_path, &spec.template));
    errors.extend(template::runs_forever(&template_path, &spec.template));
    errors.extend(non_negative(&path.child("minReadySeconds"), spec.min_ready_seconds));
    errors.extend(check_update_strategy(&path.child("updateStrategy"), spec.update_strategy.as_ref()));
    errors.extend(non_negative(&path.child("revisionHistoryLimit"), spec.revision_history_limit));
    errors
}

fn check_update_strategy(path: &Path, strategy: Option<&DaemonSetUpdateStrategy>) -> Errors {
    let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
    match strategy.and_then(|s| s.type_.as_deref()).unwrap_or_default() {
        "OnDelete" => Errors::new(),
        "RollingUpdate" => match rolling {
            None => vec![Error::required(&path.child("rollingUpdate"), "")],
            Some(rolling) => check_rolling_update(&path.child("rollingUpdate"), rolling),
        },
        other => vec![Error::not_supported(path, other, &["OnDelete", "RollingUpdate"])],
    }
}

fn check_rolling_update(path: &Path, rolling: &RollingUpdateDaemonSet) -> Errors {
    let (unavailable, surge) = (rolling.max_unavailable.as_ref(), rolling.max_surge.as_ref());
    let (unavailable_path, surge_path) = (path.child("maxUnavailable"), path.child("maxSurge"));
    let mut errors = counts::count_or_percent(&unavailable_path, unavailable);
    errors.extend(counts::count_or_percent(&surge_path, surge));
    errors.extend(counts::at_most_all(&unavailable_path, unavailable));
    errors.extend(counts::at_most_all(&surge_path, surge));
    match (counts::is_zero(unavailable), counts::is_zero(surge)) {
        (false, false) => errors.push(Error::invalid(&surge_path, &surge, "may not be set when maxUnavailable is not 0")),
        (true, true) => errors.push(Error::required(&unavailable_path, "cannot be 0 when maxSurge is 0")),
        _ => {}
    }
    errors
}
