//! RuntimeClass: a pod of a class carries what the class's runtime costs, and goes only to nodes that have it.

use api::Object;
use api::object::downcast_mut;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::api::node::v1::RuntimeClass as Class;
use machinery::Status;
use machinery::quantity::Quantity;

use super::{Operation, Plugin, Request};

pub(super) struct RuntimeClass;

impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn mutate(&self, request: &Request<'_>, object: &mut dyn Object) -> Result<(), Status> {
        if request.operation != Operation::Create || !request.is("", "pods", None) {
            return Ok(());
        }
        let Some(Pod { spec: Some(spec), .. }) = downcast_mut::<Pod>(object) else { return Ok(()) };
        // An empty name is asked for as any other, and that fails without a class of its own.
        if spec.runtime_class_name.as_deref() == Some("") {
            return Err(Status::unclassified("a RuntimeClass without a name cannot be looked up"));
        }
        attach(request, spec).map_err(|why| request.forbidden(object, format!("pod rejected: {why}")))
    }
}

fn attach(request: &Request<'_>, spec: &mut PodSpec) -> Result<(), String> {
    let class = match spec.runtime_class_name.as_deref() {
        None => None,
        Some(name) => {
            let found = request.world.object::<Class>("node.k8s.io", "runtimeclasses", "", name);
            Some(found.ok_or_else(|| format!("RuntimeClass {name:?} not found"))?)
        }
    };
    charge_overhead(class.as_ref(), spec)?;
    class.map_or(Ok(()), |class| restrict_nodes(class, spec))
}

/// Who gives an overhead must give the class's own. An empty one is that of any class which has one at all.
fn charge_overhead(class: Option<&Class>, spec: &mut PodSpec) -> Result<(), String> {
    let overhead = class.and_then(|class| class.overhead.as_ref());
    let own = overhead.and_then(|overhead| overhead.pod_fixed.clone()).unwrap_or_default();
    match &spec.overhead {
        Some(_) if overhead.is_none() => return Err("overhead is given, but its RuntimeClass has none".into()),
        Some(given) if !given.is_empty() => {
            let amounts = |list: &api::scheduling::resources::List| -> Vec<(String, Quantity)> {
                list.iter().map(|(name, amount)| (name.clone(), Quantity::of(amount))).collect()
            };
            if amounts(&own) != amounts(given) {
                return Err("overhead is not that of the RuntimeClass".into());
            }
        }
        _ => spec.overhead = Some(own).filter(|own| !own.is_empty()),
    }
    Ok(())
}

fn restrict_nodes(class: Class, spec: &mut PodSpec) -> Result<(), String> {
    let Some(scheduling) = class.scheduling else { return Ok(()) };
    for (key, value) in scheduling.node_selector.into_iter().flatten() {
        let selector = spec.node_selector.get_or_insert_default();
        match selector.get(&key) {
            Some(given) if *given != value => {
                return Err(format!("the node selector {key}={given} conflicts with that of the RuntimeClass, {key}={value}"));
            }
            Some(_) => {}
            None => {
                selector.insert(key, value);
            }
        }
    }
    for toleration in scheduling.tolerations.into_iter().flatten() {
        let given = spec.tolerations.get_or_insert_default();
        if !given.contains(&toleration) {
            given.push(toleration);
        }
    }
    Ok(())
}
