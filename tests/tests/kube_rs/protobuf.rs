//! A typed client that sends and takes protobuf, with the messages of the `k8s-pb` crate: what client-go does by default.

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Request};
use http_body_util::BodyExt;
use k8s_pb::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_pb::api::autoscaling::v1::Scale;
use k8s_pb::api::core::v1::{ConfigMap, ConfigMapList, Container, ContainerPort, PodSpec, PodTemplateSpec};
use k8s_pb::apimachinery::pkg::api::resource::Quantity;
use k8s_pb::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, Status, WatchEvent};
use k8s_pb::apimachinery::pkg::runtime::{TypeMeta, Unknown};
use k8s_pb::apimachinery::pkg::util::intstr::IntOrString;
use kube::Client;
use kube::client::Body;
use prost::Message;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// What stands before every message.
const MAGIC: &[u8] = b"k8s\0";

struct Typed {
    client: Client,
    namespace: String,
}

fn wrap<M: Message>(api_version: &str, kind: &str, message: &M) -> Vec<u8> {
    let type_meta = Some(TypeMeta { api_version: Some(api_version.to_owned()), kind: Some(kind.to_owned()) });
    let unknown = Unknown { type_meta, raw: Some(message.encode_to_vec()), ..Unknown::default() };
    [MAGIC, &unknown.encode_to_vec()].concat()
}

/// The kind of a message, and the message.
fn unwrap<M: Message + Default>(bytes: &[u8]) -> (String, M) {
    let envelope = bytes.strip_prefix(MAGIC).unwrap_or_else(|| panic!("no magic: {}", String::from_utf8_lossy(bytes)));
    let unknown = Unknown::decode(envelope).unwrap();
    let message = M::decode(unknown.raw.as_deref().unwrap_or_default()).unwrap();
    (unknown.type_meta.unwrap().kind.unwrap(), message)
}

impl Typed {
    async fn send(&self, method: Method, path: &str, media: &str, body: Vec<u8>) -> (u16, Bytes) {
        let path = path.replace("{ns}", &format!("namespaces/{}", self.namespace));
        let request = Request::builder().method(method).uri(path).header("accept", PROTOBUF).header("content-type", media);
        let answer = self.client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
        let code = answer.status().as_u16();
        assert_eq!(answer.headers()["content-type"], PROTOBUF);
        (code, answer.into_body().collect().await.unwrap().to_bytes())
    }

    async fn get<M: Message + Default>(&self, path: &str) -> (u16, String, M) {
        let (code, bytes) = self.send(Method::GET, path, PROTOBUF, Vec::new()).await;
        let (kind, message) = unwrap(&bytes);
        (code, kind, message)
    }
}

fn meta(name: &str) -> Option<ObjectMeta> {
    Some(ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() })
}

fn map(name: &str, value: &str) -> ConfigMap {
    ConfigMap { metadata: meta(name), data: [("key".to_owned(), value.to_owned())].into(), ..ConfigMap::default() }
}

pub async fn speak_protobuf(client: Client) {
    let namespace = client.default_namespace().to_owned();
    let typed = Typed { client, namespace };
    let maps = "/api/v1/{ns}/configmaps";
    let mut one = map("one", "1");
    one.binary_data.insert("bytes".to_owned(), vec![0, 159, 255]);
    let (code, bytes) = typed.send(Method::POST, maps, PROTOBUF, wrap("v1", "ConfigMap", &one)).await;
    let (kind, made) = unwrap::<ConfigMap>(&bytes);
    assert_eq!((code, kind.as_str()), (201, "ConfigMap"));
    assert_eq!((&made.data, &made.binary_data), (&one.data, &one.binary_data));

    // What is refused is a Status in protobuf too.
    let (code, bytes) = typed.send(Method::POST, maps, PROTOBUF, wrap("v1", "ConfigMap", &one)).await;
    let (kind, refused) = unwrap::<Status>(&bytes);
    assert_eq!((code, kind.as_str(), refused.reason()), (409, "Status", "AlreadyExists"));
    let (code, bytes) = typed.send(Method::POST, maps, PROTOBUF, wrap("v1", "ConfigMap", &map("Not_A_Name", "")).to_vec()).await;
    let (_, refused) = unwrap::<Status>(&bytes);
    assert_eq!((code, refused.details.unwrap().causes[0].field()), (422, "metadata.name"));
    let (code, bytes) = typed.send(Method::POST, maps, PROTOBUF, b"k8s\0\x0a\xff".to_vec()).await;
    assert_eq!((code, unwrap::<Status>(&bytes).1.reason()), (400, "BadRequest"));

    let mut changed = made.clone();
    changed.data.insert("more".to_owned(), "2".to_owned());
    let one_path = format!("{maps}/one");
    let (code, _) = typed.send(Method::PUT, &one_path, PROTOBUF, wrap("v1", "ConfigMap", &changed)).await;
    assert_eq!(code, 200);
    let (code, bytes) = typed.send(Method::PUT, &one_path, PROTOBUF, wrap("v1", "ConfigMap", &changed)).await;
    assert_eq!((code, unwrap::<Status>(&bytes).1.reason()), (409, "Conflict"));
    let merge = br#"{"data": {"more": null, "patched": "yes"}}"#.to_vec();
    let (code, bytes) = typed.send(Method::PATCH, &one_path, "application/merge-patch+json", merge).await;
    let patched = unwrap::<ConfigMap>(&bytes).1;
    assert_eq!((code, patched.data["patched"].as_str(), patched.data.get("more")), (200, "yes", None));

    let (code, kind, list) = typed.get::<ConfigMapList>(maps).await;
    assert_eq!((code, kind.as_str()), (200, "ConfigMapList"));
    assert!(list.items.contains(&patched), "{list:?}");
    watch(&typed, maps, list.metadata.unwrap().resource_version()).await;
    let (code, bytes) = typed.send(Method::DELETE, &one_path, PROTOBUF, Vec::new()).await;
    assert_eq!((code, unwrap::<Status>(&bytes).1.status()), (200, "Success"));
    let (code, _, gone) = typed.get::<Status>(&one_path).await;
    assert_eq!((code, gone.reason()), (404, "NotFound"));
}

/// Frames are length-delimited; what they hold has an envelope of its own.
async fn watch(typed: &Typed, maps: &str, from: &str) {
    let (created, _) = typed.send(Method::POST, maps, PROTOBUF, wrap("v1", "ConfigMap", &map("watched", "1"))).await;
    assert_eq!(created, 201);
    let path =
        format!("{maps}?watch=true&timeoutSeconds=1&resourceVersion={from}").replace("{ns}", &format!("namespaces/{}", typed.namespace));
    let request = Request::get(path).header("accept", format!("{PROTOBUF};stream=watch")).body(Body::empty()).unwrap();
    let answer = typed.client.send(request).await.unwrap();
    assert_eq!(answer.headers()["content-type"], format!("{PROTOBUF};stream=watch"));
    let mut frames = BytesMut::from(answer.into_body().collect().await.unwrap().to_bytes());
    let mut seen = Vec::new();
    while !frames.is_empty() {
        let length = frames.get_u32() as usize;
        // A frame is an envelope's content without the magic: the event itself.
        let event = WatchEvent::decode(frames.split_to(length)).unwrap();
        let (_, object) = unwrap::<ConfigMap>(&event.object.as_ref().unwrap().raw.clone().unwrap());
        seen.push((event.r#type().to_owned(), object.metadata.unwrap().name.unwrap_or_default()));
    }
    assert!(seen.contains(&("ADDED".to_owned(), "watched".to_owned())), "{seen:?}");
}

/// Quantities, what is a number or a text, defaults, and a subresource of another kind.
pub async fn deploy_in_protobuf(client: Client) {
    let namespace = client.default_namespace().to_owned();
    let typed = Typed { client, namespace };
    let labels = [("app".to_owned(), "web".to_owned())];
    let quantity = |text: &str| Quantity { string: Some(text.to_owned()) };
    let mut container =
        Container { name: Some("web".to_owned()), image: Some("registry.example/web:1".to_owned()), ..Container::default() };
    container.resources.get_or_insert_default().requests.insert("cpu".to_owned(), quantity("0.1"));
    container.ports.push(ContainerPort { container_port: Some(80), ..ContainerPort::default() });
    let probe = container.readiness_probe.get_or_insert_default();
    let action = probe.handler.get_or_insert_default().http_get.get_or_insert_default();
    action.port = Some(IntOrString { r#type: Some(1), str_val: Some("http".to_owned()), ..IntOrString::default() });
    container.ports[0].name = Some("http".to_owned());
    let spec = DeploymentSpec {
        replicas: Some(2),
        selector: Some(LabelSelector { match_labels: labels.clone().into(), ..LabelSelector::default() }),
        template: Some(PodTemplateSpec {
            metadata: Some(ObjectMeta { labels: labels.into(), ..ObjectMeta::default() }),
            spec: Some(PodSpec { containers: vec![container], termination_grace_period_seconds: Some(0), ..PodSpec::default() }),
        }),
        ..DeploymentSpec::default()
    };
    let web = Deployment { metadata: meta("web"), spec: Some(spec), ..Deployment::default() };
    let path = "/apis/apps/v1/{ns}/deployments";
    let (code, bytes) = typed.send(Method::POST, path, PROTOBUF, wrap("apps/v1", "Deployment", &web)).await;
    assert_eq!(code, 201);
    let made = unwrap::<Deployment>(&bytes).1.spec.unwrap();
    assert_eq!((made.progress_deadline_seconds(), made.strategy.unwrap().r#type()), (600, "RollingUpdate"));
    let container = made.template.unwrap().spec.unwrap().containers.remove(0);
    assert_eq!(container.resources.unwrap().requests["cpu"], quantity("100m"));
    assert_eq!(container.ports[0].protocol(), "TCP");
    let port = container.readiness_probe.unwrap().handler.unwrap().http_get.unwrap().port.unwrap();
    assert_eq!((port.r#type(), port.str_val()), (1, "http"));

    let scale_path = format!("{path}/web/scale");
    let (_, kind, mut scale) = typed.get::<Scale>(&scale_path).await;
    assert_eq!((kind.as_str(), scale.spec.as_ref().unwrap().replicas()), ("Scale", 2));
    scale.spec.as_mut().unwrap().replicas = Some(1);
    scale.metadata.as_mut().unwrap().resource_version = None;
    let (code, bytes) = typed.send(Method::PUT, &scale_path, PROTOBUF, wrap("autoscaling/v1", "Scale", &scale)).await;
    assert_eq!((code, unwrap::<Scale>(&bytes).1.spec.unwrap().replicas()), (200, 1));
    let (_, _, web) = typed.get::<Deployment>(&format!("{path}/web")).await;
    assert_eq!(web.spec.unwrap().replicas(), 1);
}
