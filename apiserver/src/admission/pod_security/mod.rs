//! PodSecurity: namespaces say by labels how much their pods may do: `privileged` (anything), `baseline` (nothing that
//! is known to give away the node) or `restricted` (good practice). What violates `enforce` is refused, what violates
//! `warn` is told to the client. The standards have versions, so that a namespace may keep to an older one.

mod baseline;
mod policy;
mod restricted;
mod subject;

use std::collections::HashSet;

use api::Object;
use api::object::downcast_ref;
use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Namespace, Pod, PodSpec};
use machinery::field::{Error, Path};
use machinery::{GroupKind, Status};

use super::{Operation, Plugin, Request};
use policy::{Level, Mode, Policy};
use subject::{Subject, template};

/// How many pods of a namespace are looked at when its level changes.
const MOST_PODS: usize = 3000;

pub(super) struct PodSecurity;

impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>, warnings: &mut Vec<String>) -> Result<(), Status> {
        let Some(object) = object else { return Ok(()) };
        match request.target.subresource.as_deref() {
            None => {}
            Some("ephemeralcontainers") if request.target.resource.names().plural == "pods" => {}
            Some(_) => return Ok(()),
        }
        if let Some(namespace) = downcast_ref::<Namespace>(object) {
            return check_namespace(request, namespace, warnings);
        }
        if let Some(pod) = downcast_ref::<Pod>(object) {
            return check_pod(request, object, pod, warnings);
        }
        if request.operation != Operation::Delete
            && let Some((meta, spec)) = template(object)
        {
            tell(request, &labels_of(request), &Subject { meta, spec }, warnings);
        }
        Ok(())
    }
}

type Labels = std::collections::BTreeMap<String, String>;

/// The labels of the request's namespace.
fn labels_of(request: &Request<'_>) -> Labels {
    let namespace = request.world.get("", "namespaces", "", &request.target.namespace);
    namespace.map(|entry| (*entry.labels).clone()).unwrap_or_default()
}

fn check_pod(request: &Request<'_>, object: &dyn Object, pod: &Pod, warnings: &mut Vec<String>) -> Result<(), Status> {
    let old = request.old.and_then(downcast_ref::<Pod>);
    if old.is_some_and(|old| !is_significant(pod, old)) {
        return Ok(());
    }
    let Some(spec) = &pod.spec else { return Ok(()) };
    let subject = Subject { meta: &pod.metadata, spec };
    let labels = labels_of(request);
    let enforced = Policy::of(&labels, Mode::Enforce);
    request.trail.note("pod-security.kubernetes.io/enforce-policy", || enforced.to_string());
    let violations = enforced.violations(&subject);
    if !violations.is_empty() {
        audit(request, &labels, &subject);
        return Err(request.forbidden(object, format!("violates PodSecurity \"{enforced}\": {}", violations.join(", "))));
    }
    tell(request, &labels, &subject, warnings);
    Ok(())
}

/// What would be refused in a stricter namespace is told to the client and to the audit log.
fn tell(request: &Request<'_>, labels: &Labels, subject: &Subject<'_>, warnings: &mut Vec<String>) {
    audit(request, labels, subject);
    warnings.extend(violation(Policy::of(labels, Mode::Warn), subject));
}

fn audit(request: &Request<'_>, labels: &Labels, subject: &Subject<'_>) {
    if request.trail.is_on()
        && let Some(violation) = violation(Policy::of(labels, Mode::Audit), subject)
    {
        request.trail.note("pod-security.kubernetes.io/audit-violations", || violation);
    }
}

fn violation(policy: Policy, subject: &Subject<'_>) -> Option<String> {
    let violations = policy.violations(subject);
    (!violations.is_empty()).then(|| format!("would violate PodSecurity \"{policy}\": {}", violations.join(", ")))
}

/// Whether an update runs anything that did not run before. A pod that runs may be relabelled, whatever it does.
fn is_significant(new: &Pod, old: &Pod) -> bool {
    let has_new_images = !images(new, |spec| &spec.containers).eq(images(old, |spec| &spec.containers));
    let has_new_init_images = !images(new, init_containers).eq(images(old, init_containers));
    let known: HashSet<_> = debuggers(old).map(|one| (&one.name, &one.image)).collect();
    has_new_images || has_new_init_images || debuggers(new).any(|one| !known.contains(&(&one.name, &one.image)))
}

fn images<'p>(pod: &'p Pod, of: impl Fn(&'p PodSpec) -> &'p [Container]) -> impl Iterator<Item = Option<&'p str>> {
    pod.spec.iter().flat_map(of).map(|container| container.image.as_deref())
}

fn init_containers(spec: &PodSpec) -> &[Container] {
    spec.init_containers.as_deref().unwrap_or_default()
}

fn debuggers(pod: &Pod) -> impl Iterator<Item = &EphemeralContainer> {
    pod.spec.iter().flat_map(|spec| spec.ephemeral_containers.iter().flatten())
}

/// Labels must make sense; a stricter level says which pods it would not have let in.
fn check_namespace(request: &Request<'_>, namespace: &Namespace, warnings: &mut Vec<String>) -> Result<(), Status> {
    let no_labels = Labels::new();
    let labels = namespace.metadata.labels.as_ref().unwrap_or(&no_labels);
    let old = request.old.and_then(downcast_ref::<Namespace>);
    let wrong = policy::invalid(labels);
    let old_labels = old.and_then(|old| old.metadata.labels.as_ref()).unwrap_or(&no_labels);
    if !wrong.is_empty() && (old.is_none() || wrong != policy::invalid(old_labels)) {
        let path = Path::new("metadata").child("labels");
        let errors: Vec<Error> = wrong.into_iter().map(|(key, value, why)| Error::invalid(&path.key(key), value, why)).collect();
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        return Err(Status::invalid(&GroupKind::new("", "Namespace"), name, &errors));
    }
    let (new, before) = (Policy::of(labels, Mode::Enforce), Policy::of(old_labels, Mode::Enforce));
    // A level that is relaxed within its version refuses nothing that it let in.
    let is_stricter = new.version != before.version || new.level > before.level;
    if old.is_some() && is_stricter && new.level != Level::Privileged {
        warn_of_pods(request, namespace, &new, warnings);
    }
    Ok(())
}

fn warn_of_pods(request: &Request<'_>, namespace: &Namespace, policy: &Policy, warnings: &mut Vec<String>) {
    let name = namespace.metadata.name.as_deref().unwrap_or_default();
    let Some(log) = request.world.log("", "pods") else { return };
    let mut offenders = std::collections::BTreeMap::<String, Vec<String>>::new();
    for (_, entry) in log.snapshot().range(name, "").take(MOST_PODS) {
        let Ok(object) = entry.object(log.resource()) else { continue };
        let Some(Pod { metadata, spec: Some(spec), .. }) = downcast_ref::<Pod>(&*object) else { continue };
        let violations = policy.violations(&Subject { meta: metadata, spec });
        if !violations.is_empty() {
            // Details name containers, which differ by pod; the reason before them does not.
            let reasons: Vec<&str> = violations.iter().map(|text| text.split(" (").next().unwrap_or(text)).collect();
            offenders.entry(reasons.join(", ")).or_default().push(metadata.name.clone().unwrap_or_default());
        }
    }
    if offenders.is_empty() {
        return;
    }
    warnings.push(format!("existing pods in namespace {name:?} violate the new PodSecurity enforce level \"{policy}\""));
    for (reasons, pods) in offenders {
        let others = match pods.len() - 1 {
            0 => String::new(),
            1 => " (and 1 other pod)".to_owned(),
            more => format!(" (and {more} other pods)"),
        };
        warnings.push(format!("{}{others}: {reasons}", pods[0]));
    }
}

#[cfg(test)]
mod tests;
