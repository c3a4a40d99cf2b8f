//! Eviction: deletes a pod if its disruption budget allows that. What is allowed is taken from the budget before the pod
//! is deleted, so that evictions which race do not take more than there is.

use std::sync::{Arc, LazyLock};

use api::Object as _;
use api::object::{downcast_mut, downcast_ref};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::api::policy::v1::{Eviction, PodDisruptionBudget};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, DeleteOptions as GivenOptions};
use machinery::schema::Schema;
use machinery::{GroupResource, Status, labels};

use super::revision::{Decision, Revision};
use super::write::{Ready, Write};
use super::{Body, Caller, DeleteOptions, Shown, Target, WriteOptions, Written, body, delete, delete_options, metadata};
use crate::admission::Operation;
use crate::log::{Entry, path};
use crate::server::ApiServer;

/// A budget that holds more unconfirmed evictions than this is left alone until its controller has caught up.
const MOST_DISRUPTED: usize = 2000;
static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<Eviction>);
const VIOLATES: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// A POST to `pods/<name>/eviction`.
pub(super) async fn create(
    server: &ApiServer,
    caller: &Caller,
    target: &Target,
    given: Body,
    options: &WriteOptions,
) -> Result<Written, Status> {
    let (given, warnings) =
        body::typed::<Eviction>(given, options.field_validation, &SCHEMA, &["policy/v1", "policy/v1beta1"], "Eviction")?;
    caller.trail.requests(Some(&given.metadata), || given.json());
    let name = given.metadata.name.as_deref().unwrap_or_default();
    if name != target.name {
        return Err(Status::bad_request(format!("the eviction's name {name:?} is not that of the request, {:?}", target.name)));
    }
    if given.metadata.namespace.as_deref().is_some_and(|namespace| !namespace.is_empty() && namespace != target.namespace) {
        return Err(Status::bad_request("the namespace of the eviction is not that of the request"));
    }
    let deletion = deletion(given.delete_options.unwrap_or_default(), options.dry_run)?;
    let options = WriteOptions { dry_run: deletion.dry_run, ..options.clone() };
    let write = Write::new(server, caller, target, &options)?;
    server.feed.catch_up().await?;
    write.review(Operation::Create, None, None)?;
    evict(&write, deletion).await?;
    let mut status = Status::success(None);
    status.code = 201;
    let json = serde_json::to_vec(&status).map_err(|error| Status::internal(error.to_string()))?;
    Ok(Written { object: Shown::Json(json.into()), created: true, warnings })
}

fn deletion(given: GivenOptions, dry_run: bool) -> Result<DeleteOptions, Status> {
    let mut errors = Vec::new();
    let propagation = given.propagation_policy.as_deref().filter(|policy| !policy.is_empty());
    let values: Vec<&str> = given.dry_run.iter().flatten().map(String::as_str).collect();
    let preconditions = given.preconditions.unwrap_or_default();
    let options = DeleteOptions {
        propagation: delete_options::propagation(propagation, &mut errors),
        orphan_dependents: given.orphan_dependents,
        grace_period_seconds: given.grace_period_seconds,
        uid: preconditions.uid,
        resource_version: preconditions.resource_version,
        dry_run: delete_options::validate_dry_run(&values, &mut errors) || dry_run,
    };
    delete_options::check_delete(options, errors)
}

async fn evict(write: &Write<'_>, mut deletion: DeleteOptions) -> Result<(), Status> {
    let (entry, pod) = pod(write)?;
    delete::check_preconditions(write.target, &deletion, (&entry, &pod.metadata), false)?;
    if !may_always_go(&pod) {
        match budgets(write, &pod)?.as_slice() {
            [] => {}
            [budget] => {
                if spends(budget, &pod) {
                    take(write, budget, &pod).await?;
                } else {
                    // The verdict holds for the pod as it was read.
                    deletion.resource_version.get_or_insert_with(|| entry.version.to_string());
                }
            }
            _ => {
                return Err(Status::unclassified(
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ));
            }
        }
    }
    remove(write, &deletion).await
}

fn pod(write: &Write<'_>) -> Result<(Arc<Entry>, Pod), Status> {
    let not_found = || Status::not_found(&write.resource().group_resource(), &write.target.name);
    let entry = write.log.get(&path(&write.target.namespace, &write.target.name)).ok_or_else(not_found)?;
    let object = entry.object(write.resource()).map_err(Status::internal)?;
    let pod = downcast_ref::<Pod>(&*object).cloned().ok_or_else(not_found)?;
    Ok((entry, pod))
}

/// Pods that do not run disturb nobody by going.
fn may_always_go(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed" | "Pending") || pod.metadata.deletion_timestamp.is_some()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

/// The budgets that the pod counts for.
fn budgets(write: &Write<'_>, pod: &Pod) -> Result<Vec<PodDisruptionBudget>, Status> {
    let Some(log) = write.server.world().log("policy", "poddisruptionbudgets") else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (_, entry) in log.snapshot().range(&write.target.namespace, "") {
        let object = entry.object(log.resource()).map_err(Status::internal)?;
        let Some(budget) = downcast_ref::<PodDisruptionBudget>(&*object) else { continue };
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        // A selector that does not parse was refused when the budget was written.
        if labels::Selector::of(selector).is_ok_and(|selector| selector.matches_option(pod.metadata.labels.as_ref())) {
            found.push(budget.clone());
        }
    }
    Ok(found)
}

/// Whether the eviction counts against the budget. A pod that is not ready may go for free, by the budget's policy.
fn spends(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    if is_ready(pod) {
        return true;
    }
    let policy = budget.spec.as_ref().and_then(|spec| spec.unhealthy_pod_eviction_policy.as_deref());
    let healthy = budget.status.as_ref().is_some_and(|status| {
        let desired = status.desired_healthy.unwrap_or(0);
        desired > 0 && status.current_healthy.unwrap_or(0) >= desired
    });
    policy != Some("AlwaysAllow") && !healthy
}

/// Takes one disruption from the budget; 429 if it has none left.
async fn take(write: &Write<'_>, budget: &PodDisruptionBudget, pod: &Pod) -> Result<(), Status> {
    let server = write.server;
    let resource = server.served().find("policy", "v1", "poddisruptionbudgets").ok_or_else(Status::path_not_found)?;
    let name = budget.metadata.name.clone().unwrap_or_default();
    let target = Target { resource, subresource: Some("status".into()), namespace: write.target.namespace.clone(), name };
    let inner = Write::new(server, write.caller, &target, write.options)?;
    let mut revision = Revision::begin(&inner, path(&target.namespace, &target.name));
    loop {
        let decision = revision.existing().and_then(|(entry, old)| {
            let mut object = old.clone_boxed();
            let budget = downcast_mut::<PodDisruptionBudget>(&mut *object).ok_or_else(Status::path_not_found)?;
            spend(budget, pod, &inner)?;
            Ok(Decision::Replace(Ready::of(object, entry.managed())))
        });
        if revision.settle(decision).await?.is_some() {
            return Ok(());
        }
    }
}

fn spend(budget: &mut PodDisruptionBudget, pod: &Pod, write: &Write<'_>) -> Result<(), Status> {
    let name = budget.metadata.name.clone().unwrap_or_default();
    let refuse = |why: String, retry_after: i32| Status::too_many_requests(VIOLATES, retry_after).with_cause("DisruptionBudget", why, "");
    let forbidden = |why: &str| Status::forbidden(&GroupResource::new("policy", "poddisruptionbudgets"), &name, why);
    let generation = budget.metadata.generation.unwrap_or(0);
    let status = budget.status.get_or_insert_default();
    if status.observed_generation.unwrap_or(0) < generation {
        return Err(refuse(format!("The disruption budget {name} is still being processed by the server."), 10));
    }
    let disrupted = status.disrupted_pods.get_or_insert_default();
    if disrupted.len() > MOST_DISRUPTED {
        return Err(forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller"));
    }
    let allowed = status.disruptions_allowed.unwrap_or(0);
    match allowed {
        ..0 => return Err(forbidden("pdb disruptions allowed is negative")),
        0 => {
            let (needed, present) = (status.desired_healthy.unwrap_or(0), status.current_healthy.unwrap_or(0));
            return Err(refuse(format!("The disruption budget {name} needs {needed} healthy pods and has {present} currently"), 0));
        }
        _ => status.disruptions_allowed = Some(allowed - 1),
    }
    disrupted.insert(pod.metadata.name.clone().unwrap_or_default(), metadata::seconds(write.now));
    if allowed == 1 {
        let condition = Condition {
            type_: "DisruptionAllowed".into(),
            status: "False".into(),
            reason: "InsufficientPods".into(),
            message: String::new(),
            last_transition_time: metadata::seconds(write.now),
            observed_generation: budget.metadata.generation,
        };
        let conditions = status.conditions.get_or_insert_default();
        match conditions.iter_mut().find(|one| one.type_ == condition.type_) {
            Some(one) if one.status == condition.status => {}
            Some(one) => *one = condition,
            None => conditions.push(condition),
        }
    }
    Ok(())
}

/// Says in the pod why it goes, and deletes it, in one write, or in two if it goes at once.
async fn remove(write: &Write<'_>, deletion: &DeleteOptions) -> Result<(), Status> {
    let mut revision = Revision::begin(write, path(&write.target.namespace, &write.target.name));
    loop {
        let decision = revision.existing().and_then(|(entry, old)| {
            delete::check_preconditions(write.target, deletion, (&entry, old.meta()), revision.has_marked())?;
            let mut object = old.clone_boxed();
            if let Some(pod) = downcast_mut::<Pod>(&mut *object) {
                set_disrupted(pod, write);
            }
            Ok(delete::decide(write.resource(), (&entry, &*object), deletion, write.now))
        });
        if revision.settle(decision).await?.is_some() {
            return Ok(());
        }
    }
}

fn set_disrupted(pod: &mut Pod, write: &Write<'_>) {
    let condition = PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some("EvictionByEvictionAPI".into()),
        message: Some("Eviction API: evicting".into()),
        last_transition_time: Some(metadata::seconds(write.now)),
        ..PodCondition::default()
    };
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    match conditions.iter_mut().find(|one| one.type_ == condition.type_) {
        Some(one) if one.status == condition.status => {}
        Some(one) => *one = condition,
        None => conditions.push(condition),
    }
}
