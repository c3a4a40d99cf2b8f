//! The gRPC transport against a small server of the same contract, over mutual TLS: all verbs, errors with their
//! Status, and a connection that comes back.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use api::object::Object;
use client::grpc::{Grpc, connect};
use client::memory::Memory;
use client::transport::{self, Binding, Body, DeleteOptions, Patch, Target, Transport};
use client::{Api, Informer, Selection};
use futures::StreamExt;
use futures::stream::BoxStream;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::{GroupVersionResource, NamespacedName, Status};
use proto::v1::{self, api_server};
use runtime::kubeconfig::Connection;
use runtime::pki::Pki;
use runtime::tls;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response};

struct Served(Memory);

type Answer<T> = Result<Response<T>, tonic::Status>;

fn failed(status: Status) -> tonic::Status {
    let mut error = tonic::Status::new(tonic::Code::FailedPrecondition, status.to_string());
    let json = serde_json::to_vec(&status).unwrap();
    error.metadata_mut().insert_bin(proto::STATUS_TRAILER, tonic::metadata::MetadataValue::from_bytes(&json));
    error
}

fn target(resource: Option<v1::Resource>, namespace: String, name: String) -> Target {
    let r = resource.unwrap();
    let subresource = (r.subresource == "status").then_some("status");
    Target { resource: GroupVersionResource::new(r.group, r.version, r.resource), subresource, namespace, name }
}

fn object(payload: transport::Payload) -> v1::Object {
    v1::Object { data: payload.json.unwrap(), revision: payload.version.0, ..v1::Object::default() }
}

fn answered(result: transport::Result<transport::Payload>) -> Answer<v1::Object> {
    result.map(|payload| Response::new(object(payload))).map_err(failed)
}

fn results(results: Vec<transport::Result<machinery::ResourceVersion>>) -> Vec<v1::Result> {
    let result = |result: transport::Result<machinery::ResourceVersion>| match result {
        Ok(version) => v1::Result { revision: version.0, ..v1::Result::default() },
        Err(status) => v1::Result { revision: 0, status: serde_json::to_vec(&status).unwrap().into() },
    };
    results.into_iter().map(result).collect()
}

fn event(event: transport::WatchEvent) -> v1::WatchEvent {
    use v1::watch_event::Type;
    let (kind, payload) = match event {
        transport::WatchEvent::Added(payload) => (Type::Added, payload),
        transport::WatchEvent::Modified(payload) => (Type::Modified, payload),
        transport::WatchEvent::Deleted(payload) => (Type::Deleted, payload),
        transport::WatchEvent::Bookmark { version, initial_state_end } => {
            return v1::WatchEvent { r#type: Type::Bookmark.into(), revision: version.0, object: None, initial_state_end };
        }
    };
    v1::WatchEvent { r#type: kind.into(), revision: payload.version.0, object: Some(object(payload)), initial_state_end: false }
}

#[tonic::async_trait]
impl api_server::Api for Served {
    type WatchStream = BoxStream<'static, Result<v1::WatchEvent, tonic::Status>>;

    async fn get(&self, request: Request<v1::GetRequest>) -> Answer<v1::Object> {
        let r = request.into_inner();
        answered(self.0.get(target(r.resource, r.namespace, r.name), None).await)
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        let r = request.into_inner();
        let list = transport::ListRequest {
            resource: target(r.resource, String::new(), String::new()).resource,
            namespace: r.namespace,
            label_selector: r.label_selector,
            field_selector: r.field_selector,
            resource_version: None,
            limit: 0,
            continue_token: String::new(),
        };
        let list = self.0.list(list).await.map_err(failed)?;
        let items = list.items.into_iter().map(object).collect();
        Ok(Response::new(v1::ListResponse { revision: list.version.0, items, ..v1::ListResponse::default() }))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let r = request.into_inner();
        let watch = transport::WatchRequest {
            resource: target(r.resource, String::new(), String::new()).resource,
            namespace: r.namespace,
            label_selector: r.label_selector,
            field_selector: r.field_selector,
            after: (!r.initial_state).then(|| r.resource_version.parse().unwrap()),
        };
        let stream = self.0.watch(watch).await.map_err(failed)?;
        Ok(Response::new(stream.map(|e| e.map(event).map_err(failed)).boxed()))
    }

    async fn create(&self, request: Request<v1::CreateRequest>) -> Answer<v1::Object> {
        let r = request.into_inner();
        let target = target(r.resource, r.namespace, r.name);
        answered(self.0.create(target, Body::Json(r.data), transport::WriteOptions::default()).await)
    }

    async fn update(&self, request: Request<v1::UpdateRequest>) -> Answer<v1::Object> {
        let r = request.into_inner();
        let target = target(r.resource, r.namespace, r.name);
        answered(self.0.update(target, Body::Json(r.data), transport::WriteOptions::default()).await)
    }

    async fn patch(&self, request: Request<v1::PatchRequest>) -> Answer<v1::Object> {
        let r = request.into_inner();
        let target = target(r.resource, r.namespace, r.name);
        answered(self.0.patch(target, Patch::Merge(r.patch), transport::WriteOptions::default()).await)
    }

    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Answer<v1::Object> {
        let r = request.into_inner();
        let target = target(r.resource, r.namespace, r.name);
        answered(self.0.patch(target, Patch::Apply { config: r.data, force: r.force }, transport::WriteOptions::default()).await)
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Answer<v1::DeleteResponse> {
        let r = request.into_inner();
        let given = r.options.unwrap_or_default();
        let uid = given.preconditions.map(|p| p.uid).filter(|uid| !uid.is_empty());
        let options = DeleteOptions { grace_period_seconds: given.grace_period_seconds, uid, ..DeleteOptions::default() };
        self.0.delete(target(r.resource, r.namespace, r.name), options).await.map_err(failed)?;
        Ok(Response::new(v1::DeleteResponse::default()))
    }

    async fn delete_collection(&self, request: Request<v1::DeleteCollectionRequest>) -> Answer<v1::ListResponse> {
        let r = request.into_inner();
        let list = transport::ListRequest {
            resource: target(r.resource, String::new(), String::new()).resource,
            namespace: r.namespace,
            label_selector: r.label_selector,
            field_selector: r.field_selector,
            resource_version: None,
            limit: 0,
            continue_token: String::new(),
        };
        self.0.delete_collection(list, DeleteOptions::default()).await.map_err(failed)?;
        Ok(Response::new(v1::ListResponse::default()))
    }

    async fn bind_pods(&self, request: Request<v1::BindPodsRequest>) -> Answer<v1::BindPodsResponse> {
        let bindings = request.into_inner().bindings.into_iter();
        let bindings = bindings.map(|b| Binding { namespace: b.namespace, name: b.name, uid: b.uid, node: b.node }).collect();
        let answered = self.0.bind_pods(bindings).await.map_err(failed)?;
        Ok(Response::new(v1::BindPodsResponse { results: results(answered) }))
    }

    async fn update_statuses(&self, request: Request<v1::UpdateStatusesRequest>) -> Answer<v1::UpdateStatusesResponse> {
        let r = request.into_inner();
        let resource = target(r.resource, String::new(), String::new()).resource;
        let bodies = r.objects.into_iter().map(|object| Body::Json(object.data)).collect();
        let answered = self.0.update_statuses(resource, bodies).await.map_err(failed)?;
        Ok(Response::new(v1::UpdateStatusesResponse { results: results(answered) }))
    }
}

/// Serves until the token is cancelled; connections end with it.
async fn serve(listener: TcpListener, memory: Memory, tls: TlsAcceptor, stop: CancellationToken) {
    let routes = tonic::service::Routes::new(api_server::ApiServer::new(Served(memory))).prepare();
    loop {
        let Some(accepted) = stop.run_until_cancelled(listener.accept()).await else { return };
        let (stream, _) = accepted.unwrap();
        let (tls, service, stop) = (tls.clone(), TowerToHyperService::new(routes.clone()), stop.clone());
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            if let Ok(stream) = tls.accept(stream).await {
                let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            }
        }));
    }
}

struct Cluster {
    memory: Memory,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    stop: CancellationToken,
    grpc: Grpc,
    _dir: tempfile::TempDir,
}

async fn cluster() -> Cluster {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(dir.path()).unwrap();
    let identity = pki.server("apiserver", &["127.0.0.1".to_owned()]).unwrap();
    let acceptor = TlsAcceptor::from(tls::server(&identity, Some(pki.ca().as_bytes())).unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (memory, stop) = (Memory::default(), CancellationToken::new());
    tokio::spawn(serve(listener, memory.clone(), acceptor.clone(), stop.clone()));
    let connection = Connection {
        server: format!("https://{address}"),
        ca: Some(pki.ca().as_bytes().to_vec()),
        tls_server_name: None,
        identity: Some(pki.client("node", "system:node:n1", Some("system:nodes")).unwrap()),
        token: Some("secret".to_owned()),
        namespace: None,
    };
    let grpc = connect(&connection, "kybern-test").unwrap();
    Cluster { memory, address, acceptor, stop, grpc, _dir: dir }
}

fn map(name: &str) -> ConfigMap {
    let metadata = ObjectMeta { namespace: Some("shop".to_owned()), name: Some(name.to_owned()), ..ObjectMeta::default() };
    ConfigMap { metadata, ..ConfigMap::default() }
}

#[tokio::test]
async fn all_verbs_cross_the_wire_and_errors_keep_their_status() {
    let cluster = cluster().await;
    let maps = Api::<ConfigMap>::new(Arc::new(cluster.grpc.clone()), "test");
    let key = NamespacedName::new("shop", "a");
    let mut created = (*maps.create(map("a")).await.unwrap()).clone();
    assert!(created.metadata.uid.is_some());
    assert!(maps.create(map("a")).await.unwrap_err().is_already_exists());
    assert!(maps.get_optional(&NamespacedName::new("shop", "none")).await.unwrap().is_none());

    created.immutable = Some(true);
    let updated = maps.update(created.clone()).await.unwrap();
    assert_eq!(updated.immutable, Some(true));
    let conflict = maps.update(created).await.unwrap_err();
    assert_eq!((conflict.code, conflict.reason.as_str()), (409, "Conflict"));
    assert_eq!(conflict.details.unwrap().name, "a");

    let patched = maps.patch(&key, Patch::Merge(br#"{"data":{"k":"v"}}"#.as_slice().into())).await.unwrap();
    assert_eq!(patched.data.as_ref().unwrap()["k"], "v");
    let (version, items) = maps.list(&Selection::namespace("shop")).await.unwrap();
    assert_eq!((version, items.len()), (cluster.memory.version(), 1));
    maps.delete(&key, DeleteOptions::default()).await.unwrap();
    assert!(maps.get(&key).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn batches_answer_for_each_object() {
    let cluster = cluster().await;
    let pods = Api::<Pod>::new(Arc::new(cluster.grpc.clone()), "test");
    let metadata = ObjectMeta { namespace: Some("shop".to_owned()), name: Some("web".to_owned()), ..ObjectMeta::default() };
    let mut pod = Pod { metadata, ..Pod::default() };
    pods.create(pod.clone()).await.unwrap();
    let binding = |name: &str| Binding { namespace: "shop".into(), name: name.into(), uid: String::new(), node: "n1".into() };
    let bound = cluster.grpc.bind_pods(vec![binding("web"), binding("none")]).await.unwrap();
    assert!(bound[0].is_ok() && bound[1].as_ref().unwrap_err().is_not_found());

    pod.status.get_or_insert_default().phase = Some("Running".to_owned());
    let mut missing = pod.clone();
    missing.meta_mut().name = Some("none".to_owned());
    let updated = pods.update_statuses(vec![missing, pod]).await.unwrap();
    assert!(updated[0].as_ref().unwrap_err().is_not_found() && updated[1].is_ok());
    let seen = pods.get(&NamespacedName::new("shop", "web")).await.unwrap();
    assert_eq!(seen.status.as_ref().unwrap().phase.as_deref(), Some("Running"));
}

#[tokio::test]
async fn an_informer_survives_a_server_that_is_started_again() {
    let cluster = cluster().await;
    let maps = Api::<ConfigMap>::new(Arc::new(cluster.grpc.clone()), "test");
    let informer = Informer::<ConfigMap, _>::whole(Arc::new(cluster.grpc.clone()), Selection::all());
    let store = informer.store();
    let running = CancellationToken::new();
    tokio::spawn(informer.run(running.clone()));
    store.synced().await;
    maps.create(map("a")).await.unwrap();
    store.wait_until(cluster.memory.version()).await;

    cluster.stop.cancel();
    let away = loop {
        match maps.get(&NamespacedName::new("shop", "a")).await {
            Err(status) => break status,
            Ok(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!((away.code, away.reason.as_str()), (503, "ServiceUnavailable"), "{away}");
    cluster.memory.forget_history();

    let listener = TcpListener::bind(cluster.address).await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, cluster.memory.clone(), cluster.acceptor.clone(), stop.clone()));
    while maps.create(map("b")).await.is_err_and(|status| !status.is_already_exists()) {
        tokio::task::yield_now().await;
    }
    store.wait_until(cluster.memory.version()).await;
    assert_eq!(store.snapshot().len(), 2);
    running.cancel();
}
