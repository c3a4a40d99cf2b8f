//! The list of built-in kinds, a line each, and look-ups over it and over custom resources.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::kind::Kind;
use crate::resource::{Resource, ResourceRef};
use crate::served::Served;
use crate::{
    admissionregistration, apiextensions, apiregistration, apps, autoscaling, batch, certificates, coordination, core, discovery, events,
    flowcontrol, networking, node, policy, rbac, resource_k8s, scheduling, storage_k8s,
};

/// Every built-in resource. A kind served in two versions stands here twice.
static BUILT_IN: LazyLock<Vec<Box<dyn Resource>>> = LazyLock::new(|| {
    vec![
        served::<core::component_status::ComponentStatuses>(),
        served::<core::config_map::ConfigMaps>(),
        served::<core::endpoints::EndpointsKind>(),
        served::<core::event::Events>(),
        served::<core::limit_range::LimitRanges>(),
        served::<core::namespace::Namespaces>(),
        served::<core::node::Nodes>(),
        served::<core::persistent_volume::PersistentVolumes>(),
        served::<core::persistent_volume_claim::PersistentVolumeClaims>(),
        served::<core::pod::Pods>(),
        served::<core::pod_template::PodTemplates>(),
        served::<core::replication_controller::ReplicationControllers>(),
        served::<core::resource_quota::ResourceQuotas>(),
        served::<core::secret::Secrets>(),
        served::<core::service::Services>(),
        served::<core::service_account::ServiceAccounts>(),
        served::<admissionregistration::mutating_admission_policy::MutatingAdmissionPolicies>(),
        served::<admissionregistration::mutating_admission_policy_binding::MutatingAdmissionPolicyBindings>(),
        served::<admissionregistration::mutating_webhook_configuration::MutatingWebhookConfigurations>(),
        served::<admissionregistration::validating_admission_policy::ValidatingAdmissionPolicies>(),
        served::<admissionregistration::validating_admission_policy_binding::ValidatingAdmissionPolicyBindings>(),
        served::<admissionregistration::validating_webhook_configuration::ValidatingWebhookConfigurations>(),
        served::<apiextensions::custom_resource_definition::CustomResourceDefinitions>(),
        served::<apiregistration::api_service::APIServices>(),
        served::<apps::controller_revision::ControllerRevisions>(),
        served::<apps::daemon_set::DaemonSets>(),
        served::<apps::deployment::Deployments>(),
        served::<apps::replica_set::ReplicaSets>(),
        served::<apps::stateful_set::StatefulSets>(),
        served::<autoscaling::horizontal_pod_autoscaler::HorizontalPodAutoscalers>(),
        served::<autoscaling::horizontal_pod_autoscaler_v1::HorizontalPodAutoscalers>(),
        served::<batch::cron_job::CronJobs>(),
        served::<batch::job::Jobs>(),
        served::<certificates::certificate_signing_request::CertificateSigningRequests>(),
        served::<coordination::lease::Leases>(),
        served::<discovery::endpoint_slice::EndpointSlices>(),
        served::<events::event::Events>(),
        served::<flowcontrol::flow_schema::FlowSchemas>(),
        served::<flowcontrol::priority_level_configuration::PriorityLevelConfigurations>(),
        served::<networking::ingress::Ingresses>(),
        served::<networking::ingress_class::IngressClasses>(),
        served::<networking::ip_address::IPAddresses>(),
        served::<networking::network_policy::NetworkPolicies>(),
        served::<networking::service_cidr::ServiceCIDRs>(),
        served::<node::runtime_class::RuntimeClasses>(),
        served::<policy::pod_disruption_budget::PodDisruptionBudgets>(),
        served::<rbac::cluster_role::ClusterRoles>(),
        served::<rbac::cluster_role_binding::ClusterRoleBindings>(),
        served::<rbac::role::Roles>(),
        served::<rbac::role_binding::RoleBindings>(),
        served::<resource_k8s::device_class::DeviceClasses>(),
        served::<resource_k8s::resource_claim::ResourceClaims>(),
        served::<resource_k8s::resource_claim_template::ResourceClaimTemplates>(),
        served::<resource_k8s::resource_slice::ResourceSlices>(),
        served::<scheduling::priority_class::PriorityClasses>(),
        served::<storage_k8s::csi_driver::CSIDrivers>(),
        served::<storage_k8s::csi_node::CSINodes>(),
        served::<storage_k8s::csi_storage_capacity::CSIStorageCapacities>(),
        served::<storage_k8s::storage_class::StorageClasses>(),
        served::<storage_k8s::volume_attachment::VolumeAttachments>(),
        served::<storage_k8s::volume_attributes_class::VolumeAttributesClasses>(),
    ]
});

fn served<K: Kind>() -> Box<dyn Resource> {
    Box::new(Served::<K>::new())
}

/// Resources by group, version and plural name: the built-in ones, and custom ones as they were when this registry was made.
/// A registry does not change; whoever serves custom resources makes another.
pub struct Registry {
    resources: Vec<ResourceRef>,
    by_path: HashMap<(&'static str, &'static str, &'static str), usize>,
}

impl Registry {
    pub fn built_in() -> Self {
        Self::with(Vec::new())
    }

    /// The built-in resources and these. Where both have a name, the built-in one is found.
    pub fn with(custom: Vec<Arc<dyn Resource>>) -> Self {
        let built_in = BUILT_IN.iter().map(|resource| ResourceRef::BuiltIn(&**resource));
        let resources: Vec<ResourceRef> = built_in.chain(custom.into_iter().map(ResourceRef::Custom)).collect();
        let mut by_path = HashMap::with_capacity(resources.len());
        for (at, resource) in resources.iter().enumerate() {
            let names = resource.names();
            by_path.entry((names.group, names.version, names.plural)).or_insert(at);
        }
        Self { resources, by_path }
    }

    pub fn all(&self) -> &[ResourceRef] {
        &self.resources
    }

    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<ResourceRef> {
        self.by_path.get(&(group, version, plural) as &(&str, &str, &str)).map(|at| self.resources[*at].clone())
    }

    /// The resource of a kind named in a body.
    pub fn find_kind(&self, group: &str, version: &str, kind: &str) -> Option<ResourceRef> {
        let mut all = self.resources.iter();
        all.find(|r| r.names().group == group && r.names().version == version && r.names().kind == kind).cloned()
    }
}
