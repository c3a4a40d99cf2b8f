//! The methods of `kybern.v1.Api`. Each crosses the chain and calls one verb.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use client::transport::Binding;
use futures::Stream;
use machinery::{Status, status};
use proto::v1;
use proto::v1::api_server::Api;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Response};

use super::asked::{self, Asks};
use super::convert::{self, failed};
use crate::audit::{Answered, Trail};
use crate::auth::Attributes;
use crate::auth::authorize::ResourceAccess;
use crate::chain::{Batch, Chain, Wanted};
use crate::reviews::Review;
use crate::verbs::{Body, Caller, Deleted, Patch, Shown, Target, WriteOptions};

/// Writes of one batch that run at once.
const BATCH_CONCURRENCY: usize = 128;
/// The longest batch.
const MOST_OF_A_BATCH: usize = 5_000;

pub struct Service {
    chain: Arc<Chain>,
}

type Answer<T> = Result<Response<T>, tonic::Status>;

/// A caller who may do what they ask, with a place among the running requests.
struct Admitted {
    caller: Caller,
    target: Target,
    _running: Option<OwnedSemaphorePermit>,
}

impl Service {
    pub fn new(chain: Arc<Chain>) -> Self {
        Self { chain }
    }

    async fn admit<T: Asks>(&self, request: &Request<T>, trail: &mut Trail) -> status::Result<Admitted> {
        let caller = self.permit(request, trail).await?;
        let r = request.get_ref();
        let target = convert::target(&self.chain.api, r.resource(), r.namespace(), r.name()).await?;
        let running = self.chain.running(T::VERB).await?;
        Ok(Admitted { caller, target, _running: running })
    }

    /// A caller who may do what they ask.
    async fn permit<T: Asks>(&self, request: &Request<T>, trail: &mut Trail) -> status::Result<Caller> {
        let r = request.get_ref();
        let id = Chain::request_id(asked::headers(request));
        let named = r.resource().cloned().unwrap_or_default();
        let incoming = asked::incoming(request, &id, T::METHOD);
        let caller = self.chain.admit(&incoming, request.extensions().get(), &asked::wanted(r, &named), trail).await?;
        if r.resource().is_none() {
            return Err(Status::bad_request("the request names no resource"));
        }
        Ok(caller)
    }

    /// Whoever sends a batch, each entry of which is authorized, and recorded, as a request of its own.
    async fn batch<T>(&self, request: &Request<T>, method: &'static str) -> status::Result<Batch> {
        let id = Chain::request_id(asked::headers(request));
        let wanted = Wanted { attributes: Attributes::Path { verb: "post", path: method }, version: "" };
        self.chain.batch(&asked::incoming(request, &id, method), request.extensions().get(), &wanted).await
    }

    async fn get(&self, request: Request<v1::GetRequest>, trail: &mut Trail) -> status::Result<v1::Object> {
        let admitted = self.admit(&request, trail).await?;
        let r = request.get_ref();
        let version = Some(r.resource_version.as_str()).filter(|v| !v.is_empty());
        let shown = self.chain.api.get(&admitted.caller, &admitted.target, version).await?;
        Ok(convert::shown(&*admitted.target.resource, &shown))
    }

    async fn list(&self, request: Request<v1::ListRequest>, trail: &mut Trail) -> status::Result<v1::ListResponse> {
        let admitted = self.admit(&request, trail).await?;
        let options = convert::list_options(request.into_inner());
        let list = self.chain.api.list(&admitted.caller, &admitted.target, &options).await?;
        Ok(list_response(&admitted.target, list))
    }

    async fn open_watch(&self, request: Request<v1::WatchRequest>, trail: &mut Trail) -> status::Result<<Self as Api>::WatchStream> {
        let Admitted { caller, target, .. } = self.admit(&request, trail).await?;
        let options = convert::watch_options(request.into_inner());
        let watch = self.chain.api.watch(&caller, &target, &options).await?;
        // The stream keeps the trail, which ends with it.
        let events = futures::stream::unfold((watch, target.resource, trail.clone()), |(mut watch, resource, trail)| async move {
            let event = watch.next().await?;
            let event = event.map(|e| convert::event(&*resource, &e)).map_err(|status| failed(&status));
            Some((event, (watch, resource, trail)))
        });
        Ok(Box::pin(events))
    }

    async fn create(&self, request: Request<v1::CreateRequest>, trail: &mut Trail) -> status::Result<v1::Object> {
        let r = request.get_ref();
        let review = r.resource.as_ref().and_then(|named| Review::find(&named.group, &named.version, &named.resource));
        if let Some(review) = review {
            let caller = self.permit(&request, trail).await?;
            if !r.name.is_empty() || review.is_namespaced() == r.namespace.is_empty() {
                return Err(Status::path_not_found());
            }
            let r = request.into_inner();
            let options = convert::write_options(r.options)?;
            let answer = self.chain.api.review(review, &caller, &r.namespace, Body::Json(r.data), &options).await?;
            return Ok(v1::Object { warnings: answer.warnings, ..convert::unstored(answer.json) });
        }
        let admitted = self.admit(&request, trail).await?;
        let r = request.into_inner();
        let options = convert::write_options(r.options)?;
        let written = self.chain.api.create(&admitted.caller, &admitted.target, Body::Json(r.data), &options).await?;
        Ok(convert::written(&*admitted.target.resource, written))
    }

    async fn update(&self, request: Request<v1::UpdateRequest>, trail: &mut Trail) -> status::Result<v1::Object> {
        let admitted = self.admit(&request, trail).await?;
        let r = request.into_inner();
        let options = convert::write_options(r.options)?;
        let written = self.chain.api.update(&admitted.caller, &admitted.target, Body::Json(r.data), &options).await?;
        Ok(convert::written(&*admitted.target.resource, written))
    }

    async fn patch(&self, request: Request<v1::PatchRequest>, trail: &mut Trail) -> status::Result<v1::Object> {
        use v1::patch_request::Type;
        let admitted = self.admit(&request, trail).await?;
        let r = request.into_inner();
        let patch = match r.r#type() {
            Type::JsonPatch => Patch::Json(r.patch),
            Type::MergePatch => Patch::Merge(r.patch),
            Type::StrategicMergePatch => Patch::Strategic(r.patch),
            Type::Unspecified => return Err(Status::bad_request("the request does not say what kind of patch it has")),
        };
        let options = convert::write_options(r.options)?;
        let written = self.chain.api.patch(&admitted.caller, &admitted.target, patch, &options).await?;
        Ok(convert::written(&*admitted.target.resource, written))
    }

    async fn apply(&self, request: Request<v1::ApplyRequest>, trail: &mut Trail) -> status::Result<v1::Object> {
        let admitted = self.admit(&request, trail).await?;
        let r = request.into_inner();
        let options = convert::write_options(r.options)?;
        let patch = Patch::Apply { config: r.data, force: r.force };
        let written = self.chain.api.patch(&admitted.caller, &admitted.target, patch, &options).await?;
        Ok(convert::written(&*admitted.target.resource, written))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>, trail: &mut Trail) -> status::Result<v1::DeleteResponse> {
        let admitted = self.admit(&request, trail).await?;
        let options = convert::delete_options(request.into_inner().options)?;
        let deleted = self.chain.api.delete(&admitted.caller, &admitted.target, &options).await?;
        let (shown, gone) = match deleted {
            Deleted::Gone(entry) => (Shown::Entry(entry), true),
            Deleted::Pending(shown) => (shown, false),
        };
        Ok(v1::DeleteResponse { object: Some(convert::shown(&*admitted.target.resource, &shown)), gone })
    }

    async fn delete_collection(
        &self,
        request: Request<v1::DeleteCollectionRequest>,
        trail: &mut Trail,
    ) -> status::Result<v1::ListResponse> {
        let admitted = self.admit(&request, trail).await?;
        let r = request.into_inner();
        let selection =
            crate::verbs::ListOptions { label_selector: r.label_selector, field_selector: r.field_selector, ..Default::default() };
        let options = convert::delete_options(r.options)?;
        let list = self.chain.api.delete_collection(&admitted.caller, &admitted.target, &selection, &options).await?;
        Ok(list_response(&admitted.target, list))
    }

    async fn bind_pods(&self, request: Request<v1::BindPodsRequest>) -> status::Result<v1::BindPodsResponse> {
        let batch = self.batch(&request, "/kybern.v1.Api/BindPods").await?;
        let bindings = request.into_inner().bindings;
        bounded(bindings.len())?;
        let results = in_order(bindings, |binding| {
            let (batch, chain) = (&batch, &self.chain);
            async move {
                let access = ResourceAccess::binding(&binding.namespace, &binding.name);
                let caller = batch.entry(chain, &Wanted { attributes: Attributes::Resource(access), version: "v1" }).await?;
                let binding = Binding { namespace: binding.namespace, name: binding.name, uid: binding.uid, node: binding.node };
                let bound = chain.api.bind_pod(&caller, &binding, &WriteOptions::default()).await;
                caller.trail.settles(&bound).await;
                Ok(match bound? {
                    Shown::Entry(pod) => pod.version.0,
                    Shown::Json(_) => 0,
                })
            }
        });
        Ok(v1::BindPodsResponse { results: results.await })
    }

    async fn update_statuses(&self, request: Request<v1::UpdateStatusesRequest>) -> status::Result<v1::UpdateStatusesResponse> {
        let batch = self.batch(&request, "/kybern.v1.Api/UpdateStatuses").await?;
        let request = request.into_inner();
        bounded(request.objects.len())?;
        let mut resource = request.resource.ok_or_else(|| Status::bad_request("the request names no resource"))?;
        resource.subresource = "status".into();
        let options = convert::write_options(request.options)?;
        let results = in_order(request.objects, |object| {
            let (batch, chain, resource, options) = (&batch, &self.chain, &resource, &options);
            async move {
                let (namespace, name) = key_of(&object.data)?;
                let access = ResourceAccess {
                    verb: "update",
                    group: &resource.group,
                    resource: &resource.resource,
                    subresource: Some("status"),
                    namespace: &namespace,
                    name: &name,
                    ..ResourceAccess::default()
                };
                let wanted = Wanted { attributes: Attributes::Resource(access), version: &resource.version };
                let caller = batch.entry(chain, &wanted).await?;
                let written = async {
                    let target = convert::target(&chain.api, Some(resource), &namespace, &name).await?;
                    let written = chain.api.update(&caller, &target, Body::Json(object.data), options).await?;
                    Ok(convert::written(&*target.resource, written))
                };
                let written = written.await;
                caller.trail.settles(&written).await;
                Ok(written?.revision)
            }
        });
        Ok(v1::UpdateStatusesResponse { results: results.await })
    }
}

fn bounded(length: usize) -> status::Result<()> {
    if length > MOST_OF_A_BATCH {
        return Err(Status::bad_request(format!("a batch has {MOST_OF_A_BATCH} entries at most, not {length}")));
    }
    Ok(())
}

/// Runs the writes of a batch, many at a time; the results stand in the batch's order.
async fn in_order<T, F: Future<Output = status::Result<u64>>>(batch: Vec<T>, write: impl FnMut(T) -> F) -> Vec<v1::Result> {
    use futures::StreamExt as _;
    let results = futures::stream::iter(batch.into_iter().map(write)).buffered(BATCH_CONCURRENCY);
    results
        .map(|result| match result {
            Ok(revision) => v1::Result { revision, status: Bytes::new() },
            Err(status) => v1::Result { revision: 0, status: serde_json::to_vec(&status).unwrap_or_default().into() },
        })
        .collect()
        .await
}

fn key_of(json: &[u8]) -> status::Result<(String, String)> {
    #[derive(serde::Deserialize)]
    struct Head {
        metadata: Meta,
    }
    #[derive(serde::Deserialize)]
    struct Meta {
        #[serde(default)]
        namespace: String,
        name: String,
    }
    let head: Head = serde_json::from_slice(json).map_err(|e| Status::bad_request(format!("an object of the batch does not read: {e}")))?;
    Ok((head.metadata.namespace, head.metadata.name))
}

fn list_response(target: &Target, list: crate::verbs::List) -> v1::ListResponse {
    v1::ListResponse {
        revision: list.version.0,
        items: list.items.iter().map(|e| convert::entry(&*target.resource, e)).collect(),
        r#continue: list.continue_token,
        remaining: list.remaining.unwrap_or(0),
    }
}

/// The answer to a request, once it is recorded.
async fn answered<T: Answered>(trail: &Trail, result: status::Result<T>) -> Answer<T> {
    trail.settles(&result).await;
    result.map(Response::new).map_err(|status| failed(&status))
}

impl Answered for v1::Object {
    fn object(&self) -> Option<&[u8]> {
        Some(&self.data)
    }
}

impl Answered for v1::DeleteResponse {
    fn object(&self) -> Option<&[u8]> {
        self.object.as_ref().map(|object| &object.data[..])
    }
}

impl Answered for v1::ListResponse {
    fn object(&self) -> Option<&[u8]> {
        // This door does not join objects to a list.
        None
    }
}

#[tonic::async_trait]
impl Api for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchEvent, tonic::Status>> + Send>>;

    async fn get(&self, request: Request<v1::GetRequest>) -> Answer<v1::Object> {
        let mut trail = Trail::default();
        let result = self.get(request, &mut trail).await;
        answered(&trail, result).await
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        let mut trail = Trail::default();
        let result = self.list(request, &mut trail).await;
        answered(&trail, result).await
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let mut trail = Trail::default();
        let opened = self.open_watch(request, &mut trail).await;
        trail.started(opened.as_ref().map_or_else(|status| status.code, |_| 200)).await;
        match opened {
            Ok(events) => Ok(Response::new(events)),
            Err(status) => {
                trail.answers(&status);
                Err(failed(&status))
            }
        }
    }

    async fn create(&self, request: Request<v1::CreateRequest>) -> Answer<v1::Object> {
        let mut trail = Trail::default();
        let result = self.create(request, &mut trail).await;
        answered(&trail, result).await
    }

    async fn update(&self, request: Request<v1::UpdateRequest>) -> Answer<v1::Object> {
        let mut trail = Trail::default();
        let result = self.update(request, &mut trail).await;
        answered(&trail, result).await
    }

    async fn patch(&self, request: Request<v1::PatchRequest>) -> Answer<v1::Object> {
        let mut trail = Trail::default();
        let result = self.patch(request, &mut trail).await;
        answered(&trail, result).await
    }

    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Answer<v1::Object> {
        let mut trail = Trail::default();
        let result = self.apply(request, &mut trail).await;
        answered(&trail, result).await
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Answer<v1::DeleteResponse> {
        let mut trail = Trail::default();
        let result = self.delete(request, &mut trail).await;
        answered(&trail, result).await
    }

    async fn delete_collection(&self, request: Request<v1::DeleteCollectionRequest>) -> Answer<v1::ListResponse> {
        let mut trail = Trail::default();
        let result = self.delete_collection(request, &mut trail).await;
        answered(&trail, result).await
    }

    async fn bind_pods(&self, request: Request<v1::BindPodsRequest>) -> Answer<v1::BindPodsResponse> {
        self.bind_pods(request).await.map(Response::new).map_err(|status| failed(&status))
    }

    async fn update_statuses(&self, request: Request<v1::UpdateStatusesRequest>) -> Answer<v1::UpdateStatusesResponse> {
        self.update_statuses(request).await.map(Response::new).map_err(|status| failed(&status))
    }
}
