//! IPAddress: says who holds an address of the cluster's Service ranges. Its name is the address.

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{IPAddress, ParentReference};
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use machinery::{GroupResource, ip, names};
use serde_json::{Map, Value, json};

use super::{GROUP, check_segment};
use crate::columns;
use crate::kind::{Column, Kind, Mark, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

pub struct IPAddresses;

impl Kind for IPAddresses {
    type Object = IPAddress;

    const NAMES: Names = Names {
        group: GROUP,
        version: "v1",
        kind: "IPAddress",
        plural: "ipaddresses",
        singular: "ipaddress",
        short: &["ip"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "ipaddresses";
    const MARK: Option<Mark> = Some(mark_parent);
    const RANDOM_NAMES: bool = false;
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::text("ParentRef", "Who holds the address.")];

    fn validate_name(name: &str, _prefix: bool) -> Vec<String> {
        ip::canonical_address(name)
    }

    /// A parent without a name is told from none.
    fn default(address: &mut IPAddress) {
        zero::omit(&mut address.spec.parent_ref.group);
        zero::omit(&mut address.spec.parent_ref.namespace);
    }

    fn validate_create(_cx: &Context<'_>, address: &IPAddress) -> Errors {
        check(address)
    }

    fn update() -> &'static dyn UpdateStrategy<IPAddress> {
        &Update
    }

    fn row(address: &IPAddress, now: Timestamp) -> Vec<Value> {
        let parent = &address.spec.parent_ref;
        let resource = GroupResource::new(parent.group.clone().unwrap_or_default(), parent.resource.clone());
        let parts = [Some(resource.to_string().to_lowercase()), parent.namespace.clone(), Some(parent.name.clone())];
        let parent = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
        // The age is in a column that Kubernetes does not name.
        vec![columns::name(&address.metadata), json!(parent), columns::age(&address.metadata, now)]
    }
}

fn mark_parent(object: &mut Map<String, Value>) {
    if let Some(Value::Object(parent)) = object.get_mut("spec").and_then(|spec| spec.get_mut("parentRef")) {
        validate::mark_empty(Some(parent.entry("name").or_insert_with(|| "".into())));
    }
}

struct Update;

impl UpdateStrategy<IPAddress> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut IPAddress, _old: &IPAddress) {}

    fn validate(&self, _cx: &Context<'_>, new: &IPAddress, _old: &IPAddress) -> Errors {
        check(new)
    }

    fn validate_change(&self, new: &IPAddress, old: &IPAddress) -> Errors {
        validate::immutable(&Path::new("spec").child("parentRef"), &new.spec.parent_ref, &old.spec.parent_ref)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}

fn check(address: &IPAddress) -> Errors {
    let path = Path::new("spec").child("parentRef");
    if address.spec.parent_ref == ParentReference::default() {
        return vec![Error::required(&path, "")];
    }
    check_parent(&path, &address.spec.parent_ref)
}

fn check_parent(path: &Path, parent: &ParentReference) -> Errors {
    let mut errors = Errors::new();
    if let Some(group) = &parent.group {
        errors.extend(validate::complaints(&path.child("group"), group, names::dns1123_subdomain(group, false)));
    }
    errors.extend(check_segment(&path.child("resource"), &parent.resource));
    errors.extend(check_segment(&path.child("name"), validate::marked(&parent.name).unwrap_or_default()));
    if let Some(namespace) = &parent.namespace {
        errors.extend(check_segment(&path.child("namespace"), namespace));
    }
    errors
}
