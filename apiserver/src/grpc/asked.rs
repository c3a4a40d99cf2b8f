//! What the requests of the contract ask for, as the chain wants to know it.

use http::HeaderMap;
use proto::v1;
use tonic::Request;

use crate::audit::{Incoming, PeerAddress};
use crate::auth::Attributes;
use crate::auth::authorize::ResourceAccess;
use crate::chain::Wanted;

/// A request for a resource.
pub trait Asks {
    /// The path of its method.
    const METHOD: &'static str;
    const VERB: &'static str;

    fn resource(&self) -> Option<&v1::Resource>;
    fn namespace(&self) -> &str;

    /// Empty where the verb has no name.
    fn name(&self) -> &str {
        ""
    }

    fn field_selector(&self) -> &str {
        ""
    }
}

macro_rules! asks {
    ($($request:ident $method:literal $verb:literal $($field:ident)?;)*) => {$(
        impl Asks for v1::$request {
            const METHOD: &'static str = concat!("/kybern.v1.Api/", $method);
            const VERB: &'static str = $verb;

            fn resource(&self) -> Option<&v1::Resource> {
                self.resource.as_ref()
            }

            fn namespace(&self) -> &str {
                &self.namespace
            }
            $(
            fn $field(&self) -> &str {
                &self.$field
            })?
        }
    )*};
}

asks! {
    GetRequest "Get" "get" name;
    ListRequest "List" "list" field_selector;
    WatchRequest "Watch" "watch" field_selector;
    CreateRequest "Create" "create" name;
    UpdateRequest "Update" "update" name;
    PatchRequest "Patch" "patch" name;
    ApplyRequest "Apply" "patch" name;
    DeleteRequest "Delete" "delete" name;
    DeleteCollectionRequest "DeleteCollection" "deletecollection" field_selector;
}

/// What a request wants; `named` is its resource.
pub fn wanted<'a, T: Asks>(request: &'a T, named: &'a v1::Resource) -> Wanted<'a> {
    let (namespace, name) = (request.namespace(), request.name());
    let access = ResourceAccess {
        verb: T::VERB,
        group: &named.group,
        resource: &named.resource,
        subresource: Some(named.subresource.as_str()).filter(|s| !s.is_empty()),
        // A namespace is authorized within itself, as at the other door.
        namespace: if named.group.is_empty() && named.resource == "namespaces" { name } else { namespace },
        name,
        field_selector: request.field_selector(),
    };
    Wanted { attributes: Attributes::Resource(access.of_selected()), version: &named.version }
}

/// A request as it came in.
pub fn incoming<'a, T>(request: &'a Request<T>, id: &'a str, method: &'static str) -> Incoming<'a> {
    let address = request.extensions().get::<PeerAddress>().map(|address| address.0);
    Incoming { id, uri: method, headers: headers(request), address }
}

pub fn headers<T>(request: &Request<T>) -> &HeaderMap {
    request.metadata().as_ref()
}
