//! Keeps a ServiceAccount `default` in every namespace.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::controller::{Controller, Key, Wake};
use crate::plan::{Plan, Write};
use crate::world::{Change, Kind, Row, World};

const DEFAULT: &str = "default";

pub struct ServiceAccountController;

impl Controller for ServiceAccountController {
    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("service-account-controller")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Namespace, Kind::ServiceAccount]
    }

    fn wakes(&self, _world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::Namespace(delta) => wake.key(&delta.newest().header().key),
            Change::ServiceAccount(delta) if delta.newest().header().name() == DEFAULT => {
                wake.key(&Key::cluster(delta.newest().header().key.namespace.clone()));
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(namespace) = world.namespaces.get(key) else { return plan };
        if namespace.header().is_terminating() || world.service_accounts.find(&key.name, DEFAULT).is_some() {
            return plan;
        }
        let metadata = ObjectMeta { name: Some(DEFAULT.to_owned()), namespace: Some(key.name.to_string()), ..ObjectMeta::default() };
        plan.write(Write::create(ServiceAccount { metadata, ..ServiceAccount::default() }));
        plan
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controllers::root_ca::{self, RootCaController};
    use crate::laws::{Scenario, check};

    #[test]
    fn what_each_namespace_has_comes_back() {
        let publisher = RootCaController { bundle: "certificate".to_owned() };
        let server = check(&Scenario {
            controllers: &[&ServiceAccountController, &publisher],
            phases: &[
                &|s| s.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})),
                &|s| s.delete("serviceaccounts", DEFAULT),
                &|s| s.change("configmaps", root_ca::NAME, |map| map["data"] = json!({"ca.crt": "forged"})),
                &|s| s.delete("configmaps", root_ca::NAME),
            ],
            ..Scenario::default()
        });
        assert!(server.get("serviceaccounts", "shop", DEFAULT).is_some());
        assert_eq!(server.get("configmaps", "shop", root_ca::NAME).unwrap()["data"]["ca.crt"], "certificate");
    }
}
