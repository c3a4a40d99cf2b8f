//! DefaultIngressClass: an Ingress that names no class gets the default one.

use api::Object;
use api::object::downcast_mut;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use machinery::Status;

use super::{Operation, Plugin, Request, newest_default};

/// How Ingresses named their class before there was a field for it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const DEFAULT_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

pub(super) struct DefaultIngressClass;

impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn mutate(&self, request: &Request<'_>, object: &mut dyn Object) -> Result<(), Status> {
        if request.operation != Operation::Create || !request.is("networking.k8s.io", "ingresses", None) {
            return Ok(());
        }
        let Some(ingress) = downcast_mut::<Ingress>(object) else { return Ok(()) };
        let named_before = ingress.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(CLASS_ANNOTATION));
        let spec = ingress.spec.get_or_insert_default();
        if spec.ingress_class_name.is_none() && !named_before {
            let classes = request.world.objects::<IngressClass>("networking.k8s.io", "ingressclasses", "");
            spec.ingress_class_name = newest_default(classes.iter().map(|class| &class.metadata), &[DEFAULT_ANNOTATION]);
        }
        Ok(())
    }
}
