//! The list of controllers, a line each.

use std::sync::Arc;

use super::account_token::AccountTokenController;
use super::attributes_class_protection::AttributesClassProtectionController;
use super::certificates::{CertificateApprover, CertificateSigner};
use super::claim_protection::ClaimProtectionController;
use super::cluster_role_aggregation::ClusterRoleAggregationController;
use super::cron_job::CronJobController;
use super::daemon_set::DaemonSetController;
use super::deployment::DeploymentController;
use super::disruption::DisruptionController;
use super::endpoints::{EndpointSliceController, EndpointSliceMirroringController, EndpointsController};
use super::garbage_collector::GarbageCollector;
use super::job::JobController;
use super::namespace::NamespaceController;
use super::node_lifecycle::NodeLifecycleController;
use super::node_ttl::NodeTtlController;
use super::pod_gc::PodGarbageCollector;
use super::replica_set::ReplicaSetController;
use super::replication_controller::ReplicationControllerController;
use super::resource_claim::ResourceClaimController;
use super::resource_quota::ResourceQuotaController;
use super::root_ca::RootCaController;
use super::service_account::ServiceAccountController;
use super::service_cidr::ServiceCidrController;
use super::stateful_set::StatefulSetController;
use super::taint_eviction::TaintEvictionController;
use super::token_cleaner::TokenCleaner;
use super::ttl_after_finished::TimeToLiveController;
use super::volume_binder::VolumeBinder;
use super::volume_protection::VolumeProtectionController;
use runtime::jwt::SigningKey;
use runtime::signing::Authority;

use crate::controller::Controller;
use crate::options::Options;

/// What controllers hand out: certificates and tokens.
#[derive(Default)]
pub struct Authorities {
    /// Published to pods, PEM.
    pub root: Option<String>,
    /// Signs what signing requests ask for.
    pub signing: Option<Arc<Authority>>,
    /// Signs the tokens that are kept in secrets.
    pub tokens: Option<Arc<SigningKey>>,
}

/// The controllers that the options ask for, and how many keys each works on at once.
pub fn controllers(options: &Options, authorities: Authorities) -> Vec<(Arc<dyn Controller>, usize)> {
    let mut all: Vec<(Arc<dyn Controller>, usize)> = vec![
        (Arc::new(GarbageCollector), options.concurrent_gc_syncs),
        (Arc::new(NamespaceController), options.concurrent_namespace_syncs),
        (Arc::new(ServiceAccountController), 1),
        (Arc::new(DeploymentController), options.concurrent_deployment_syncs),
        (Arc::new(ReplicaSetController), options.concurrent_replicaset_syncs),
        (Arc::new(ReplicationControllerController), options.concurrent_replicaset_syncs),
        (Arc::new(DaemonSetController), 2),
        (Arc::new(JobController), options.concurrent_job_syncs),
        (Arc::new(StatefulSetController), options.concurrent_statefulset_syncs),
        (Arc::new(EndpointSliceController), options.concurrent_service_endpoint_syncs),
        (Arc::new(EndpointsController), options.concurrent_service_endpoint_syncs),
        (Arc::new(EndpointSliceMirroringController), options.concurrent_service_endpoint_syncs),
        (Arc::new(NodeLifecycleController { grace_period: options.node_monitor_grace_period }), 5),
        (Arc::new(NodeTtlController), 5),
        (Arc::new(TaintEvictionController), 5),
        (Arc::new(PodGarbageCollector { threshold: options.terminated_pod_gc_threshold }), 5),
        (Arc::new(DisruptionController), 5),
        (Arc::new(ClaimProtectionController), 2),
        (Arc::new(VolumeProtectionController), 2),
        (Arc::new(AttributesClassProtectionController), 1),
        (Arc::new(VolumeBinder), 5),
        (Arc::new(ResourceQuotaController), 5),
        (Arc::new(ResourceClaimController), 10),
        (Arc::new(ClusterRoleAggregationController), 5),
        (Arc::new(CertificateApprover), 5),
        (Arc::new(CronJobController), 5),
        (Arc::new(TimeToLiveController), 5),
        (Arc::new(TokenCleaner), 1),
        (Arc::new(ServiceCidrController), 1),
    ];
    if let Some(authority) = authorities.signing {
        all.push((Arc::new(CertificateSigner { authority, longest: options.cluster_signing_duration }), 5));
    }
    if let Some(key) = authorities.tokens {
        all.push((Arc::new(AccountTokenController { key, root_ca: authorities.root.clone() }), 5));
    }
    if let Some(bundle) = authorities.root {
        all.push((Arc::new(RootCaController { bundle }), 1));
    }
    all.retain(|(controller, _)| options.runs(controller.name()));
    all
}
