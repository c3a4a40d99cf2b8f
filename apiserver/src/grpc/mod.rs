//! The gRPC door: `kybern.v1.Api` over the same chain and verbs as the HTTP door, with the health and reflection
//! services by which any gRPC client finds its way.

mod asked;
mod convert;
mod service;

use std::sync::Arc;

use axum::Router;
use futures::FutureExt as _;
use proto::v1::api_server;

use crate::chain::Chain;

/// The largest message, both ways. A page of a list may be large; a request is bounded like an HTTP body.
const MOST_ANSWERED_BYTES: usize = 512 << 20;

/// The routes of the gRPC door.
pub fn router(chain: Arc<Chain>) -> Router {
    let api = api_server::ApiServer::new(service::Service::new(chain))
        .max_decoding_message_size(crate::http::MOST_BODY_BYTES + (64 << 10))
        .max_encoding_message_size(MOST_ANSWERED_BYTES);
    let (reporter, health) = tonic_health::server::health_reporter();
    // Nobody else holds the reporter yet: this is done at once.
    let _ = reporter.set_serving::<api_server::ApiServer<service::Service>>().now_or_never();
    let mut router = Router::new().route_service("/kybern.v1.Api/{*method}", api).route_service("/grpc.health.v1.Health/{*method}", health);
    for version in [reflection_v1(), reflection_v1alpha()].into_iter().flatten() {
        router = router.merge(version);
    }
    router
}

fn reflection_v1() -> Option<Router> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    // The descriptors are this program's own; should they not read, reflection is absent.
    let service = builder.build_v1().ok()?;
    Some(Router::new().route_service("/grpc.reflection.v1.ServerReflection/{*method}", service))
}

/// The older name of the service, which many clients still use.
fn reflection_v1alpha() -> Option<Router> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    let service = builder.build_v1alpha().ok()?;
    Some(Router::new().route_service("/grpc.reflection.v1alpha.ServerReflection/{*method}", service))
}
