//! Priority: gives a pod the priority and the preemption policy of its PriorityClass, or of the default one.

use api::Object;
use api::object::{downcast_mut, downcast_ref};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use machinery::Status;

use super::{Operation, Plugin, Request};
use crate::bootstrap::SYSTEM_PRIORITIES;

const PREEMPTS: &str = "PreemptLowerPriority";

pub(super) struct Priority;

/// What a class says of its pods.
struct Class {
    value: i32,
    preemption_policy: String,
}

impl From<&PriorityClass> for Class {
    fn from(class: &PriorityClass) -> Self {
        Self { value: class.value.unwrap_or(0), preemption_policy: class.preemption_policy.clone().unwrap_or_else(|| PREEMPTS.into()) }
    }
}

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn mutate(&self, request: &Request<'_>, object: &mut dyn Object) -> Result<(), Status> {
        if !request.is("", "pods", None) {
            return Ok(());
        }
        if request.operation == Operation::Update {
            keep(request, object);
        }
        if request.operation != Operation::Create {
            return Ok(());
        }
        let Some(Pod { metadata, spec: Some(spec), .. }) = downcast_mut::<Pod>(object) else { return Ok(()) };
        resolve(request, spec)
            .map_err(|why| Status::forbidden(&request.target.resource.group_resource(), metadata.name.as_deref().unwrap_or_default(), why))
    }

    /// The classes of the system stay, and of all classes one at most is the default.
    fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>, _warnings: &mut Vec<String>) -> Result<(), Status> {
        if !request.is("scheduling.k8s.io", "priorityclasses", None) {
            return Ok(());
        }
        let Some(class) = object.and_then(downcast_ref::<PriorityClass>) else {
            let name = request.target.name.as_str();
            if request.operation == Operation::Delete && SYSTEM_PRIORITIES.iter().any(|(system, ..)| *system == name) {
                let why = "this is a priority class of the system, and cannot be deleted";
                return Err(Status::forbidden(&request.target.resource.group_resource(), name, why));
            }
            return Ok(());
        };
        let other = default_class(request).filter(|_| class.global_default == Some(true)).map(|(name, _)| name);
        match other.filter(|other| request.operation == Operation::Create || class.metadata.name.as_ref() != Some(other)) {
            Some(other) => Err(request.forbidden(class, format!("{other} is the default already, and there can be one only"))),
            None => Ok(()),
        }
    }
}

/// What was given to the pod when it was created stays where an update leaves it out.
fn keep(request: &Request<'_>, object: &mut dyn Object) {
    let Some(was) = request.old.and_then(downcast_ref::<Pod>).and_then(|old| old.spec.as_ref()) else { return };
    if let Some(spec) = downcast_mut::<Pod>(object).and_then(|pod| pod.spec.as_mut()) {
        spec.priority = spec.priority.or(was.priority);
        if spec.preemption_policy.is_none() {
            spec.preemption_policy.clone_from(&was.preemption_policy);
        }
    }
}

fn resolve(request: &Request<'_>, spec: &mut PodSpec) -> Result<(), String> {
    let class = match spec.priority_class_name.clone().filter(|name| !name.is_empty()) {
        Some(name) => named(request, &name).ok_or_else(|| format!("no PriorityClass with name {name} was found"))?,
        None => match default_class(request) {
            Some((name, class)) => {
                spec.priority_class_name = Some(name);
                class
            }
            None => Class { value: 0, preemption_policy: PREEMPTS.into() },
        },
    };
    if let Some(given) = spec.priority.filter(|given| *given != class.value) {
        return Err(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; its class makes it {}",
            class.value
        ));
    }
    if let Some(given) = spec.preemption_policy.as_ref().filter(|given| **given != class.preemption_policy) {
        return Err(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; its class makes it {}",
            class.preemption_policy
        ));
    }
    spec.priority = Some(class.value);
    spec.preemption_policy = Some(class.preemption_policy);
    Ok(())
}

fn named(request: &Request<'_>, name: &str) -> Option<Class> {
    let found = request.world.object::<PriorityClass>("scheduling.k8s.io", "priorityclasses", "", name);
    found.as_ref().map(Class::from).or_else(|| {
        let system = SYSTEM_PRIORITIES.iter().find(|(known, ..)| *known == name);
        system.map(|(_, value, _)| Class { value: *value, preemption_policy: PREEMPTS.into() })
    })
}

/// The global default; if there are several, the one with the lowest value.
fn default_class(request: &Request<'_>) -> Option<(String, Class)> {
    let log = request.world.log("scheduling.k8s.io", "priorityclasses")?;
    let snapshot = log.snapshot();
    let objects = snapshot.entries.values().filter_map(|entry| entry.kept_object(log.resource()).ok());
    objects
        .filter_map(|object| downcast_ref::<PriorityClass>(&*object).filter(|class| class.global_default == Some(true)).cloned())
        .min_by_key(|class| class.value.unwrap_or(0))
        .map(|class| (class.metadata.name.clone().unwrap_or_default(), Class::from(&class)))
}
