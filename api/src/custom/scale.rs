//! The scale subresource of a custom resource: where its objects keep their replica counts.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceSubresourceScale;
use machinery::field::{Error, Errors, Path};
use serde_json::{Value, json};

use super::jsonpath::JsonPath;
use super::object::{Unstructured, custom, custom_mut};
use crate::object::Object;
use crate::resource::ErasedScale;

/// The paths of a version's scale subresource.
#[derive(Clone)]
pub(super) struct Paths {
    replicas: JsonPath,
    observed: JsonPath,
    selector: Option<JsonPath>,
    /// As the definition has them.
    texts: CustomResourceSubresourceScale,
}

impl Paths {
    pub(super) fn new(scale: &CustomResourceSubresourceScale) -> Option<Self> {
        Some(Self {
            replicas: JsonPath::parse(&scale.spec_replicas_path)?,
            observed: JsonPath::parse(&scale.status_replicas_path)?,
            selector: scale.label_selector_path.as_deref().and_then(JsonPath::parse),
            texts: scale.clone(),
        })
    }

    /// What is wrong with what an object keeps at these paths; `wanted` says whether the wanted count is looked at.
    pub(super) fn validate(&self, object: &Unstructured, wanted: bool) -> Errors {
        let mut errors = Errors::new();
        let mut count = |path: &JsonPath, text: &str| match path.first(object.content()) {
            None => errors.extend(blocked(path, object, text)),
            Some(value) => match value.as_i64() {
                Some(count) if i32::try_from(count).is_ok_and(|count| count >= 0) => {}
                _ => errors.push(Error::invalid(&Path::new(text), value, "must be a count from 0 to 2147483647")),
            },
        };
        if wanted {
            count(&self.replicas, &self.texts.spec_replicas_path);
        }
        count(&self.observed, &self.texts.status_replicas_path);
        if let (Some(path), Some(text)) = (&self.selector, &self.texts.label_selector_path) {
            match path.first(object.content()) {
                None => errors.extend(blocked(path, object, text)),
                Some(Value::String(_)) => {}
                Some(other) => errors.push(Error::invalid(&Path::new(text), other, "must be a label selector in its string form")),
            }
        }
        errors
    }
}

/// What is wrong where something else than an object is in a path's way.
fn blocked(path: &JsonPath, object: &Unstructured, text: &str) -> Option<Error> {
    path.obstacle(object.content()).map(|other| Error::invalid(&Path::new(text), other, "leads through what is no object"))
}

fn count(path: &JsonPath, object: &dyn Object) -> i32 {
    path.first(custom(object).content()).and_then(Value::as_i64).and_then(|count| i32::try_from(count).ok()).unwrap_or(0)
}

impl ErasedScale for Paths {
    fn replicas(&self, object: &dyn Object) -> i32 {
        count(&self.replicas, object)
    }

    fn set_replicas(&self, object: &mut dyn Object, replicas: i32) {
        // Where something else than an object is in the way, validation of the object says so.
        self.replicas.set(custom_mut(object).content_mut(), json!(replicas));
    }

    fn observed(&self, object: &dyn Object) -> i32 {
        count(&self.observed, object)
    }

    fn selector(&self, object: &dyn Object) -> String {
        let found = self.selector.as_ref().and_then(|path| path.first(custom(object).content()));
        found.and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn path(&self) -> Path {
        Path::new(self.texts.spec_replicas_path.trim_start_matches('.'))
    }
}
