//! ServiceCIDRs: says when addresses may be taken from a range, and keeps one that is being deleted until no address
//! depends on it any more.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use machinery::ip::Block;
use serde_json::json;

use super::claim_protection::set_finalizers;
use crate::controller::{Controller, Key, Wake};
use crate::plan::{Plan, Write};
use crate::world::{Change, Kind, Row, Whole, World};

/// Conditions are applied: API servers say something of the same range under another name.
const MANAGER: &str = "service-cidr-controller";
const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";

pub struct ServiceCidrController;

impl Controller for ServiceCidrController {
    fn name(&self) -> &'static str {
        MANAGER
    }

    fn account(&self) -> Option<&'static str> {
        Some("service-cidrs-controller")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::ServiceCIDR, Kind::IPAddress]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        let concerned = |range: &&Arc<Whole<ServiceCIDR>>| match change {
            // Where ranges overlap, one may go as soon as the other is there.
            Change::ServiceCIDR(_) => true,
            Change::IPAddress(delta) => delta.after().is_none() && range.header().is_terminating(),
            _ => false,
        };
        if let Change::ServiceCIDR(delta) = change {
            wake.key(&delta.newest().header().key);
        }
        world.service_cidrs.all().filter(concerned).for_each(|range| wake.key(&range.header().key));
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(range) = world.service_cidrs.get(key) else { return plan };
        let header = range.header();
        let finalizers = || header.finalizers.iter().map(String::as_str);
        if !header.is_terminating() {
            if !header.has_finalizer(FINALIZER) {
                plan.write(set_finalizers(&**range, finalizers().chain([FINALIZER])));
            } else {
                say(range, true, "", "cluster IPs may be taken from this range", now, &mut plan);
            }
        } else if header.has_finalizer(FINALIZER) {
            if is_needed(world, range) {
                let why = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
                say(range, false, "Terminating", why, now, &mut plan);
            } else {
                plan.write(set_finalizers(&**range, finalizers().filter(|one| *one != FINALIZER)));
            }
        }
        plan
    }
}

fn blocks(range: &ServiceCIDR) -> impl Iterator<Item = Block> {
    let cidrs = range.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten());
    cidrs.filter_map(|text| Block::parse(text).ok())
}

/// Whether an address is in use that no other range has.
fn is_needed(world: &World, range: &Whole<ServiceCIDR>) -> bool {
    let others = || world.service_cidrs.all().filter(|other| other.header().uid != range.header().uid && !other.header().is_terminating());
    let addresses = world.ip_addresses.all().filter_map(|address| address.header().name().parse::<IpAddr>().ok());
    let mut depending = addresses.filter(|address| blocks(range).any(|block| block.contains(*address)));
    depending.any(|address| !others().any(|other| blocks(other).any(|block| block.contains(address))))
}

fn say(range: &Whole<ServiceCIDR>, ready: bool, reason: &str, message: &str, now: Timestamp, plan: &mut Plan) {
    let status = if ready { "True" } else { "False" };
    let said = range.status.iter().flat_map(|status| status.conditions.iter().flatten()).find(|one| one.type_ == "Ready");
    if said.is_some_and(|said| said.status == status && said.reason == reason && said.message == message) {
        return;
    }
    let condition = Condition {
        type_: "Ready".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: Time(now),
        observed_generation: None,
    };
    plan.write(Write::apply_status(range, MANAGER, json!({"conditions": [condition]})));
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::laws::{Scenario, check};
    use crate::simulator::Simulator;

    fn range(name: &str, cidr: &str) -> Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": name}, "spec": {"cidrs": [cidr]}})
    }

    #[test]
    fn a_range_goes_when_no_address_depends_on_it() {
        let phases: &[&dyn Fn(&mut Simulator)] = &[
            &|s| {
                s.create(range("small", "10.0.0.0/24"));
                s.create(json!({
                    "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": {"name": "10.0.0.7"},
                    "spec": {"parentRef": {"resource": "services", "name": "web"}},
                }));
            },
            &|s| s.delete("servicecidrs", "small"),
            &|s| s.create(range("large", "10.0.0.0/16")),
        ];
        let run = |phases| check(&Scenario { controllers: &[&ServiceCidrController], phases, ..Scenario::default() });
        let ready =
            |server: &Simulator| server.all("servicecidrs").map(|one| one["status"]["conditions"][0]["status"].clone()).collect::<Vec<_>>();
        assert_eq!(ready(&run(&phases[..1])), ["True"]);
        assert_eq!(ready(&run(&phases[..2])), ["False"]);
        let last = run(phases);
        assert_eq!(last.all("servicecidrs").map(|one| one["metadata"]["name"].clone()).collect::<Vec<_>>(), ["large"]);
    }
}
