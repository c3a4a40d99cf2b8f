//! Namespace: a room for names. Its deletion empties it first: `spec.finalizers` keeps a terminating namespace
//! until the namespace controller takes `kubernetes` out, through the `finalize` subresource.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use machinery::{names, table};
use serde_json::{Value, json};

use crate::kind::{Column, Kind, Names, Scope, SelectableField, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate;

const FINALIZER: &str = "kubernetes";
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub struct Namespaces;

impl Kind for Namespaces {
    type Object = Namespace;

    const NAMES: Names =
        Names { group: "", version: "v1", kind: "Namespace", plural: "namespaces", singular: "namespace", short: &["ns"], categories: &[] };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "namespaces";
    const VERBS: &'static [&'static str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
    const SELECTABLE: &'static [&'static str] = &["status.phase"];
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::text("Status", "Active or Terminating."), Column::AGE];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_label(name, prefix)
    }

    fn default(namespace: &mut Namespace) {
        namespace.spec.get_or_insert_default();
        let phase = &mut namespace.status.get_or_insert_default().phase;
        if phase.as_deref().unwrap_or_default().is_empty() {
            *phase = Some("Active".to_owned());
        }
        // Selectors match namespaces by name through this label, so no writer may leave it out or bend it.
        if let Some(name) = namespace.metadata.name.clone().filter(|name| !name.is_empty()) {
            namespace.metadata.labels.get_or_insert_default().insert(NAME_LABEL.to_owned(), name);
        }
    }

    fn prepare_create(_cx: &Context<'_>, namespace: &mut Namespace) {
        namespace.status = Some(NamespaceStatus { phase: Some("Active".to_owned()), ..NamespaceStatus::default() });
        let finalizers = namespace.spec.get_or_insert_default().finalizers.get_or_insert_default();
        if !finalizers.iter().any(|f| f == FINALIZER) {
            finalizers.push(FINALIZER.to_owned());
        }
    }

    fn validate_create(_cx: &Context<'_>, namespace: &Namespace) -> Errors {
        let path = Path::new("spec").child("finalizers");
        finalizers(namespace).flat_map(|f| validate::finalizer(&path, f)).collect()
    }

    fn update() -> &'static dyn UpdateStrategy<Namespace> {
        &Update
    }

    fn subresources() -> Vec<Subresource<Namespace>> {
        vec![Subresource { name: "finalize", view: View::Object(&Finalize) }, Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn selectable_fields(namespace: &Namespace) -> Vec<SelectableField> {
        vec![("status.phase", phase(namespace).to_owned().into())]
    }

    fn row(namespace: &Namespace, now: Timestamp) -> Vec<Value> {
        vec![json!(namespace.metadata.name), json!(phase(namespace)), json!(table::age(&namespace.metadata, now))]
    }

    fn begin_deletion(namespace: &mut Namespace, now: Time) {
        namespace.metadata.deletion_timestamp.get_or_insert(now);
        namespace.status.get_or_insert_default().phase = Some("Terminating".to_owned());
    }

    fn is_kept(namespace: &Namespace) -> bool {
        finalizers(namespace).next().is_some()
    }
}

fn phase(namespace: &Namespace) -> &str {
    namespace.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default()
}

fn finalizers(namespace: &Namespace) -> impl Iterator<Item = &String> {
    namespace.spec.iter().filter_map(|s| s.finalizers.as_ref()).flatten()
}

struct Update;

impl UpdateStrategy<Namespace> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Namespace, old: &Namespace) {
        new.spec = old.spec.clone();
        new.status = old.status.clone();
    }

    fn validate(&self, _cx: &Context<'_>, _new: &Namespace, _old: &Namespace) -> Errors {
        Errors::new()
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Finalize;

impl UpdateStrategy<Namespace> for Finalize {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Namespace, old: &Namespace) {
        new.status = old.status.clone();
    }

    fn validate(&self, _cx: &Context<'_>, new: &Namespace, _old: &Namespace) -> Errors {
        let path = Path::new("spec").child("finalizers");
        finalizers(new).enumerate().flat_map(|(i, f)| validate::finalizer(&path.index(i), f)).collect()
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<Namespace> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Namespace, old: &Namespace) {
        new.spec = old.spec.clone();
    }

    fn validate(&self, _cx: &Context<'_>, new: &Namespace, _old: &Namespace) -> Errors {
        let must = if new.metadata.deletion_timestamp.is_some() { "Terminating" } else { "Active" };
        if phase(new) == must {
            return Errors::new();
        }
        // The odd capital is Kubernetes'.
        vec![Error::invalid(&Path::new("status").child("Phase"), phase(new), format!("must be {must}"))]
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}
