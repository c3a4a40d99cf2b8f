//! Publishes the cluster's root certificate as ConfigMap `kube-root-ca.crt` in every namespace, and restores it where
//! it was changed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::controller::{Controller, Key, Wake};
use crate::plan::{Plan, Write};
use crate::world::{Change, Kind, Row, World};

/// The name of the published ConfigMap.
pub const NAME: &str = "kube-root-ca.crt";

const DESCRIPTION: (&str, &str) = (
    "kubernetes.io/description",
    // Clients read this text: it is part of the published object.
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the \
     internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes \
     clusters.",
);

pub struct RootCaController {
    /// The certificates, in PEM.
    pub bundle: String,
}

impl Controller for RootCaController {
    fn name(&self) -> &'static str {
        "root-ca-certificate-publisher-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("root-ca-cert-publisher")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Namespace, Kind::ConfigMap]
    }

    fn wakes(&self, _world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::Namespace(delta) => wake.key(&delta.newest().header().key),
            Change::ConfigMap(delta) if delta.newest().header().name() == NAME => {
                wake.key(&Key::cluster(delta.newest().header().key.namespace.clone()));
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let terminating = |status: Option<&str>| status == Some("Terminating");
        let Some(namespace) = world.namespaces.get(key) else { return plan };
        if namespace.header().is_terminating() || terminating(namespace.status.as_ref().and_then(|s| s.phase.as_deref())) {
            return plan;
        }
        let data = BTreeMap::from([("ca.crt".to_owned(), self.bundle.clone())]);
        let known = world.config_maps.find(namespace.header().name(), NAME);
        if known.is_some_and(|map| map.data.as_deref() == Some(&data)) {
            return plan;
        }
        let annotations = BTreeMap::from([(DESCRIPTION.0.to_owned(), DESCRIPTION.1.to_owned())]);
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(namespace.header().name().to_owned()),
                annotations: Some(annotations),
                labels: known.map(|map| (*map.header().labels).clone()).filter(|labels| !labels.is_empty()),
                uid: known.map(|map| map.header().uid.to_string()),
                resource_version: known.map(|map| map.header().version.to_string()),
                ..ObjectMeta::default()
            },
            data: Some(data),
            ..ConfigMap::default()
        };
        plan.write(if known.is_some() { Write::update(map) } else { Write::create(map) });
        plan
    }
}
