//! DefaultStorageClass: a claim that names no class gets the default one. An empty name is a name: such a claim wants no class.

use api::Object;
use api::object::downcast_mut;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use machinery::Status;

use super::{Operation, Plugin, Request, newest_default};

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_ANNOTATIONS: [&str; 2] = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

pub(super) struct DefaultStorageClass;

impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn mutate(&self, request: &Request<'_>, object: &mut dyn Object) -> Result<(), Status> {
        if request.operation != Operation::Create || !request.is("", "persistentvolumeclaims", None) {
            return Ok(());
        }
        let Some(PersistentVolumeClaim { metadata, spec: Some(spec), .. }) = downcast_mut(object) else { return Ok(()) };
        let named_before = metadata.annotations.as_ref().is_some_and(|all| all.contains_key(CLASS_ANNOTATION));
        if spec.storage_class_name.is_none() && !named_before {
            let classes = request.world.objects::<StorageClass>("storage.k8s.io", "storageclasses", "");
            spec.storage_class_name = newest_default(classes.iter().map(|class| &class.metadata), &DEFAULT_ANNOTATIONS);
        }
        Ok(())
    }
}
