//! The API over gRPC: one HTTP/2 connection, opened when it is first needed and again when it breaks, carries all
//! calls and watches of a process.

mod connect;
mod convert;
mod identity;

use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use machinery::{GroupVersionResource, ResourceVersion, Status};
use proto::v1;
use proto::v1::api_client::ApiClient;
use tonic::transport::Channel;

pub use connect::{ConnectError, connect};
pub use identity::Accounts;
use identity::Identity;

use crate::transport::{
    Binding, Body, DeleteOptions, List, ListRequest, Patch, Payload, Result, Target, Transport, WatchRequest, WatchStream, WriteOptions,
};

/// Lists of many thousands of objects come in one message.
const LARGEST_ANSWER_BYTES: usize = 256 << 20;
/// Batches of statuses are the largest that is sent; the server bounds single objects.
const LARGEST_REQUEST_BYTES: usize = 64 << 20;
/// As upstream's servers bound requests that are no watches.
const LONGEST_CALL: Duration = Duration::from_secs(60);

/// A connection to an API server. Clones share it.
#[derive(Clone)]
pub struct Grpc {
    client: ApiClient<Channel>,
    identity: Identity,
}

impl Grpc {
    fn new(channel: Channel, identity: Identity) -> Self {
        let client =
            ApiClient::new(channel).max_decoding_message_size(LARGEST_ANSWER_BYTES).max_encoding_message_size(LARGEST_REQUEST_BYTES);
        Self { client, identity }
    }

    /// A request without a deadline.
    async fn open<T>(&self, message: T) -> Result<tonic::Request<T>> {
        let mut request = tonic::Request::new(message);
        if let Some(authorization) = self.identity.authorization().await? {
            request.metadata_mut().insert("authorization", authorization);
        }
        Ok(request)
    }

    async fn request<T>(&self, message: T) -> Result<tonic::Request<T>> {
        let mut request = self.open(message).await?;
        request.set_timeout(LONGEST_CALL);
        Ok(request)
    }

    fn answer<T>(&self, result: std::result::Result<tonic::Response<T>, tonic::Status>) -> Result<T> {
        if result.as_ref().is_err_and(|status| status.code() == tonic::Code::Unauthenticated) {
            self.identity.refused();
        }
        result.map(tonic::Response::into_inner).map_err(convert::status)
    }

    /// Cloning shares the connection; tonic's methods want a client of their own.
    fn client(&self) -> ApiClient<Channel> {
        self.client.clone()
    }
}

#[async_trait]
impl Transport for Grpc {
    async fn get(&self, target: Target, resource_version: Option<String>) -> Result<Payload> {
        let request = v1::GetRequest {
            resource: Some(convert::resource(&target.resource, target.subresource)),
            namespace: target.namespace,
            name: target.name,
            resource_version: resource_version.unwrap_or_default(),
        };
        self.answer(self.client().get(self.request(request).await?).await).map(convert::payload)
    }

    async fn list(&self, request: ListRequest) -> Result<List> {
        self.answer(self.client().list(self.request(convert::list_request(request)).await?).await).map(convert::list)
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream> {
        let events = self.answer(self.client().watch(self.open(convert::watch_request(request)).await?).await)?;
        let events = events.map_err(convert::status).and_then(|event| std::future::ready(convert::event(event)));
        Ok(events.boxed())
    }

    async fn create(&self, target: Target, body: Body, options: WriteOptions) -> Result<Payload> {
        let request = v1::CreateRequest {
            resource: Some(convert::resource(&target.resource, target.subresource)),
            namespace: target.namespace,
            name: target.name,
            encoding: v1::Encoding::Json.into(),
            data: convert::body(body),
            options: Some(convert::write_options(options)),
        };
        self.answer(self.client().create(self.request(request).await?).await).map(convert::payload)
    }

    async fn update(&self, target: Target, body: Body, options: WriteOptions) -> Result<Payload> {
        let request = v1::UpdateRequest {
            resource: Some(convert::resource(&target.resource, target.subresource)),
            namespace: target.namespace,
            name: target.name,
            encoding: v1::Encoding::Json.into(),
            data: convert::body(body),
            options: Some(convert::write_options(options)),
        };
        self.answer(self.client().update(self.request(request).await?).await).map(convert::payload)
    }

    async fn patch(&self, target: Target, patch: Patch, options: WriteOptions) -> Result<Payload> {
        let resource = Some(convert::resource(&target.resource, target.subresource));
        let options = Some(convert::write_options(options));
        let (kind, patch) = match patch {
            Patch::Json(patch) => (v1::patch_request::Type::JsonPatch, patch),
            Patch::Merge(patch) => (v1::patch_request::Type::MergePatch, patch),
            Patch::Strategic(patch) => (v1::patch_request::Type::StrategicMergePatch, patch),
            Patch::Apply { config, force } => {
                let request = v1::ApplyRequest { resource, namespace: target.namespace, name: target.name, data: config, force, options };
                return self.answer(self.client().apply(self.request(request).await?).await).map(convert::payload);
            }
        };
        let request = v1::PatchRequest { resource, namespace: target.namespace, name: target.name, r#type: kind.into(), patch, options };
        self.answer(self.client().patch(self.request(request).await?).await).map(convert::payload)
    }

    async fn delete(&self, target: Target, options: DeleteOptions) -> Result<()> {
        let request = v1::DeleteRequest {
            resource: Some(convert::resource(&target.resource, target.subresource)),
            namespace: target.namespace,
            name: target.name,
            options: Some(convert::delete_options(options)),
        };
        self.answer(self.client().delete(self.request(request).await?).await).map(drop)
    }

    async fn delete_collection(&self, request: ListRequest, options: DeleteOptions) -> Result<()> {
        let request = v1::DeleteCollectionRequest {
            resource: Some(convert::resource(&request.resource, None)),
            namespace: request.namespace,
            label_selector: request.label_selector,
            field_selector: request.field_selector,
            options: Some(convert::delete_options(options)),
        };
        self.answer(self.client().delete_collection(self.request(request).await?).await).map(drop)
    }

    async fn bind_pods(&self, bindings: Vec<Binding>) -> Result<Vec<Result<ResourceVersion>>> {
        let wanted = bindings.len();
        let bindings =
            bindings.into_iter().map(|Binding { namespace, name, uid, node }| v1::Binding { namespace, name, uid, node }).collect();
        let answered = self.answer(self.client().bind_pods(self.request(v1::BindPodsRequest { bindings }).await?).await)?;
        convert::results(answered.results, wanted)
    }

    async fn update_statuses(&self, resource: GroupVersionResource, objects: Vec<Body>) -> Result<Vec<Result<ResourceVersion>>> {
        let wanted = objects.len();
        let request = v1::UpdateStatusesRequest {
            resource: Some(convert::resource(&resource, None)),
            objects: objects.into_iter().map(convert::object).collect(),
            options: Some(convert::write_options(WriteOptions::default())),
        };
        let answered = self.answer(self.client().update_statuses(self.request(request).await?).await)?;
        convert::results(answered.results, wanted)
    }
}

/// An answer that does not keep to the contract.
fn malformed(why: &str) -> Status {
    Status::internal(format!("the server's answer {why}"))
}
