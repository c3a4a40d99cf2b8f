//! Deployment: rolls out ReplicaSets of one pod template after another.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::{bump_generation, selector, template};
use crate::columns::{self, CONTAINERS, IMAGES, SELECTOR};
use crate::core::pod::drop_gated_in_template;
use crate::counts::{self, non_negative};
use crate::kind::{Column, Kind, Mark, Names, ScaleView, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

pub struct Deployments;

impl Kind for Deployments {
    type Object = Deployment;

    const NAMES: Names = Names {
        group: "apps",
        version: "v1",
        kind: "Deployment",
        plural: "deployments",
        singular: "deployment",
        short: &["deploy"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "deployments";
    const MARK: Option<Mark> = Some(selector::mark_empty);

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::dns1123_subdomain(name, prefix)
    }

    fn default(deployment: &mut Deployment) {
        let spec = zero::keep(&mut deployment.spec);
        spec.replicas.get_or_insert(1);
        spec.revision_history_limit.get_or_insert(10);
        spec.progress_deadline_seconds.get_or_insert(600);
        zero::omit(&mut spec.min_ready_seconds);
        zero::omit(&mut spec.paused);
        default_strategy(zero::keep(&mut spec.strategy));
        template::default(&mut spec.template);
        normalize_status(zero::keep(&mut deployment.status));
    }

    fn drop_unkept(deployment: &mut Deployment) {
        deployment.spec.iter_mut().for_each(|spec| drop_gated_in_template(&mut spec.template));
    }

    fn prepare_create(_cx: &Context<'_>, deployment: &mut Deployment) {
        deployment.status = Some(DeploymentStatus::default());
        deployment.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, deployment: &Deployment) -> Errors {
        check(deployment)
    }

    fn warnings_create(deployment: &Deployment) -> Vec<String> {
        template::name_warning(&deployment.metadata).into_iter().chain(template_warnings(deployment)).collect()
    }

    fn update() -> &'static dyn UpdateStrategy<Deployment> {
        &Update
    }

    fn subresources() -> Vec<Subresource<Deployment>> {
        let scale = ScaleView {
            replicas: |d: &Deployment| d.spec.as_ref().and_then(|s| s.replicas).unwrap_or(0),
            set_replicas: |d, replicas| zero::keep(&mut d.spec).replicas = Some(replicas),
            observed: |d| d.status.as_ref().and_then(|s| s.replicas).unwrap_or(0),
            selector: |d| d.spec.as_ref().map(|s| selector::text(&s.selector)).unwrap_or_default(),
            path: || Path::new("spec").child("replicas"),
        };
        vec![Subresource { name: "status", view: View::Object(&Status) }, Subresource { name: "scale", view: View::Scale(scale) }]
    }

    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Ready", "Ready pods out of those wanted."),
        Column::text("Up-to-date", "Pods of the current template."),
        Column::text("Available", "Pods that have been ready for long enough."),
        Column::AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ];

    fn row(deployment: &Deployment, now: Timestamp) -> Vec<Value> {
        let spec = deployment.spec.as_ref();
        let status = deployment.status.clone().unwrap_or_default();
        let wanted = spec.and_then(|s| s.replicas).unwrap_or(0);
        let [containers, images] = columns::containers_and_images(spec.map(|s| &s.template));
        vec![
            columns::name(&deployment.metadata),
            json!(format!("{}/{wanted}", status.ready_replicas.unwrap_or(0))),
            json!(status.updated_replicas.unwrap_or(0)),
            json!(status.available_replicas.unwrap_or(0)),
            columns::age(&deployment.metadata, now),
            containers,
            images,
            json!(selector::cell(spec.map(|s| &s.selector))),
        ]
    }
}

fn default_strategy(strategy: &mut DeploymentStrategy) {
    zero::fill(&mut strategy.type_, "RollingUpdate");
    if strategy.type_.as_deref() == Some("RollingUpdate") {
        let rolling = zero::keep(&mut strategy.rolling_update);
        let quarter = || IntOrString::String("25%".to_owned());
        rolling.max_unavailable.get_or_insert_with(quarter);
        rolling.max_surge.get_or_insert_with(quarter);
    }
}

fn normalize_status(status: &mut DeploymentStatus) {
    zero::omit(&mut status.observed_generation);
    zero::omit(&mut status.replicas);
    zero::omit(&mut status.updated_replicas);
    zero::omit(&mut status.ready_replicas);
    zero::omit(&mut status.available_replicas);
    zero::omit(&mut status.unavailable_replicas);
    zero::omit(&mut status.conditions);
}

fn template_warnings(deployment: &Deployment) -> Vec<String> {
    deployment.spec.as_ref().map(|spec| template::warnings(&Path::new("spec"), &spec.template)).unwrap_or_default()
}

struct Update;

impl UpdateStrategy<Deployment> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Deployment, old: &Deployment) {
        new.status.clone_from(&old.status);
        // Annotations count: the controller copies them to the ReplicaSets.
        if new.spec != old.spec || new.metadata.annotations != old.metadata.annotations {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &Deployment, old: &Deployment) -> Errors {
        let mut errors = check(new);
        let none = DeploymentSpec::default();
        let (new, old) = (new.spec.as_ref().unwrap_or(&none), old.spec.as_ref().unwrap_or(&none));
        errors.extend(validate::immutable(&Path::new("spec").child("selector"), &new.selector, &old.selector));
        errors
    }

    fn warnings(&self, new: &Deployment, old: &Deployment) -> Vec<String> {
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

impl UpdateStrategy<Deployment> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Deployment, old: &Deployment) {
        new.spec.clone_from(&old.spec);
        new.metadata.labels.clone_from(&old.metadata.labels);
    }

    fn validate(&self, _cx: &Context<'_>, new: &Deployment, old: &Deployment) -> Errors {
        let none = DeploymentStatus::default();
        let (new, old) = (new.status.as_ref().unwrap_or(&none), old.status.as_ref().unwrap_or(&none));
        let path = Path::new("status");
        let mut errors = Errors::new();
        errors.extend(non_negative(&path.child("observedGeneration"), new.observed_generation));
        errors.extend(non_negative(&path.child("replicas"), new.replicas));
        errors.extend(non_negative(&path.child("updatedReplicas"), new.updated_replicas));
        errors.extend(non_negative(&path.child("terminatingReplicas"), new.terminating_replicas));
        errors.extend(non_negative(&path.child("readyReplicas"), new.ready_replicas));
        errors.extend(non_negative(&path.child("availableReplicas"), new.available_replicas));
        errors.extend(non_negative(&path.child("unavailableReplicas"), new.unavailable_replicas));
        errors.extend(non_negative(&path.child("collisionCount"), new.collision_count));
        let parts = [
            ("updatedReplicas", new.updated_replicas),
            ("readyReplicas", new.ready_replicas),
            ("availableReplicas", new.available_replicas),
        ];
        errors.extend(counts::at_most(&path, &parts, ("replicas", new.replicas)));
        errors.extend(counts::at_most(&path, &parts[2..], ("readyReplicas", new.ready_replicas)));
        errors.extend(counts::not_decremented(&path.child("collisionCount"), new.collision_count, old.collision_count));
        errors
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec", "metadata.labels"]
    }
}

fn check(deployment: &Deployment) -> Errors {
    let default = DeploymentSpec::default();
    let spec = deployment.spec.as_ref().unwrap_or(&default);
    let path = Path::new("spec");
    let mut errors = Errors::new();
    errors.extend(non_negative(&path.child("replicas"), spec.replicas));
    errors.extend(template::check_selected(&path, &spec.selector, &spec.template));
    errors.extend(check_strategy(spec.strategy.as_ref(), &path.child("strategy")));
    errors.extend(non_negative(&path.child("minReadySeconds"), spec.min_ready_seconds));
    errors.extend(non_negative(&path.child("revisionHistoryLimit"), spec.revision_history_limit));
    if let Some(deadline) = spec.progress_deadline_seconds {
        let path = path.child("progressDeadlineSeconds");
        errors.extend(validate::non_negative(&path, deadline.into()));
        if deadline <= spec.min_ready_seconds.unwrap_or(0) {
            errors.push(Error::invalid(&path, deadline, "must be greater than minReadySeconds"));
        }
    }
    errors
}

fn check_strategy(strategy: Option<&DeploymentStrategy>, path: &Path) -> Errors {
    let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
    let path_of_rolling = path.child("rollingUpdate");
    match strategy.and_then(|s| s.type_.as_deref()).unwrap_or_default() {
        "Recreate" if rolling.is_some() => {
            vec![Error::forbidden(&path_of_rolling, "may not be specified when the strategy's type is Recreate")]
        }
        "Recreate" => Errors::new(),
        "RollingUpdate" => match rolling {
            None => vec![Error::required(&path_of_rolling, "")],
            Some(rolling) => check_rolling_update(rolling, &path_of_rolling),
        },
        other => vec![Error::not_supported(path, other, &["Recreate", "RollingUpdate"])],
    }
}

fn check_rolling_update(rolling: &RollingUpdateDeployment, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (unavailable, surge) = (rolling.max_unavailable.as_ref(), rolling.max_surge.as_ref());
    let path_of_unavailable = path.child("maxUnavailable");
    errors.extend(counts::count_or_percent(&path_of_unavailable, unavailable));
    errors.extend(counts::count_or_percent(&path.child("maxSurge"), surge));
    if counts::is_zero(unavailable) && counts::is_zero(surge) {
        errors.push(Error::invalid(&path_of_unavailable, &unavailable, "may not be 0 when maxSurge is 0"));
    }
    errors.extend(counts::at_most_all(&path_of_unavailable, unavailable));
    errors
}
