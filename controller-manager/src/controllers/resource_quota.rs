//! ResourceQuotas: counts what a namespace uses and writes it down in the status of its quotas. Admission charges new
//! objects by itself; this controller begins a quota, follows its spec, and counts anew when something was given back.

use std::collections::BTreeMap;

use api::quota::{self, Amounts, Counted, DeviceClasses, Subject, Usage, selects};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaSpec, ResourceQuotaStatus};
use k8s_openapi::api::resource::v1::ResourceClaim;
use machinery::quantity::{Format, Quantity};

use crate::controller::{Controller, Key, Wake};
use crate::plan::{Plan, Write};
use crate::world::{Change, Delta, Entry, Kind, PodRow, Tabled, Whole, World};

/// How often a quota is counted anew if nothing is given back.
const RESYNC_SECONDS: i64 = 300;

pub struct ResourceQuotaController;

impl Controller for ResourceQuotaController {
    fn name(&self) -> &'static str {
        "resourcequota-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::ResourceQuota, Kind::Pod, Kind::Service, Kind::PersistentVolumeClaim, Kind::ResourceClaim, Kind::DeviceClass]
    }

    /// What has no table is counted by the graph.
    fn needs_graph(&self) -> bool {
        true
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        let given_back = match change {
            Change::ResourceQuota(delta) => {
                // Charges change the status only.
                if delta.before().is_none_or(|before| delta.after().is_some_and(|after| before.spec != after.spec)) {
                    wake.key(&delta.newest().header().key);
                }
                return;
            }
            Change::Pod(delta) => match delta {
                Delta::Changed { old, new } => {
                    (!old.phase.is_finished() && new.phase.is_finished()) || old.usage != new.usage || old.expires != new.expires
                }
                Delta::Added(_) => false,
                Delta::Removed(_) => true,
            },
            Change::Service(delta) => is_other(delta, |a, b| a.spec == b.spec),
            Change::PersistentVolumeClaim(delta) => is_other(delta, |a, b| a.spec == b.spec && a.status == b.status),
            Change::ResourceClaim(delta) => matches!(delta, Delta::Removed(_)),
            Change::DeviceClass(_) => {
                // What claims of it count for is another now.
                world.quotas.all().for_each(|quota| wake.key(&quota.header().key));
                return;
            }
            _ => false,
        };
        if given_back {
            wake_namespace(world, change.header().namespace(), wake);
        }
    }

    fn wakes_graph(&self, world: &World, old: Option<&Entry>, new: Option<&Entry>, wake: &mut Wake) {
        if let (Some(old), None) = (old, new) {
            wake_namespace(world, old.header().namespace(), wake);
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(row) = world.quotas.get(key) else { return plan };
        let spec = quota::spec(row);
        let (used, changes_at) = count(world, row, &spec, now);
        let status = ResourceQuotaStatus { hard: spec.hard.clone(), used: Some(quota::list(used)) };
        if !is_same(row, &status) {
            let mut object = row.to_object();
            object.status = Some(status);
            plan.write(Write::update_status(object));
        }
        let next = changes_at.map_or(RESYNC_SECONDS, |at| (at.as_second() - now.as_second() + 1).min(RESYNC_SECONDS));
        plan.look_again_in(next);
        plan
    }
}

fn is_other<T: Tabled>(delta: &Delta<'_, T>, same: impl Fn(&T, &T) -> bool) -> bool {
    match delta {
        Delta::Added(_) => false,
        Delta::Changed { old, new } => !same(old, new),
        Delta::Removed(_) => true,
    }
}

fn wake_namespace(world: &World, namespace: &str, wake: &mut Wake) {
    world.quotas.namespace(namespace).for_each(|quota| wake.key(&quota.header().key));
}

/// By value: `1` and `1000m` are the same.
fn is_same(quota: &ResourceQuota, status: &ResourceQuotaStatus) -> bool {
    let present = quota.status.clone().unwrap_or_default();
    let same = |a: &Option<_>, b: &Option<_>| quota::amounts(a.as_ref()) == quota::amounts(b.as_ref());
    same(&present.hard, &status.hard) && same(&present.used, &status.used)
}

/// What of the quota's resources is used, and when that changes by the passing of time.
fn count(world: &World, row: &Whole<ResourceQuota>, spec: &ResourceQuotaSpec, now: Timestamp) -> (Amounts, Option<Timestamp>) {
    let namespace = row.header().namespace();
    let names = spec.hard.iter().flat_map(BTreeMap::keys);
    let classes: Vec<_> = world.device_classes.all().map(|row| row.to_object()).collect();
    let classes = DeviceClasses::of(classes.iter());
    let counted: Vec<(&String, Counted<'_>)> = names.filter_map(|name| Some((name, Counted::named(name)?))).collect();
    let mut used: Amounts = counted.iter().map(|(name, _)| ((*name).clone(), Quantity::ZERO)).collect();
    let mut changes_at: Option<Timestamp> = None;
    let asks = |what: Counted<'_>| counted.iter().any(|(name, _)| what.is_meant_by(name, &classes));
    let mut take = |amounts: &Amounts| {
        for (name, sum) in &mut used {
            *sum += amounts.get(name).copied().unwrap_or_default();
        }
    };
    if asks(Counted::Pods) {
        for pod in world.pods.namespace(namespace) {
            if selects(spec, &Subject::Pod(pod.usage.traits.clone())) {
                take(&pod.usage.amounts(runs(pod, now)));
            }
            let expires = pod.expires.filter(|at| *at >= now);
            changes_at = changes_at.into_iter().chain(expires).min();
        }
    }
    let mut whole = |what, usages: &mut dyn Iterator<Item = Usage>| {
        if asks(what) {
            usages.filter(|usage| selects(spec, &usage.subject)).for_each(|usage| take(&usage.amounts));
        }
    };
    let (services, claims) = (world.services.namespace(namespace), world.claims.namespace(namespace));
    whole(Counted::Services, &mut services.map(|row| Usage::of(&row.to_object(), "", "services", now)));
    whole(Counted::Claims, &mut claims.map(|row| Usage::of(&row.to_object(), "", "persistentvolumeclaims", now)));
    let devices: Vec<ResourceClaim> = world.resource_claims.namespace(namespace).map(|row| row.to_object()).collect();
    let oldest = quota::oldest_extended_claims(devices.iter());
    whole(
        Counted::ResourceClaims,
        &mut devices.iter().map(|claim| {
            let made_for = quota::extended_claim_of(claim).and_then(|(name, uid)| {
                let pod = world.pods.find(namespace, name).filter(|pod| *pod.uid == *uid)?;
                let is_counted = quota::is_counted_with_pod(claim, pod.extended_claim.as_deref(), &oldest);
                is_counted.then(|| pod.usage.amounts(true))
            });
            Usage::of_devices(claim, &classes, made_for.as_ref())
        }),
    );
    if selects(spec, &Subject::Other) {
        for (name, counted) in &counted {
            if let Counted::Objects { group, plural } = counted {
                used.insert((*name).clone(), objects(world, namespace, group, plural));
            }
        }
    }
    (used, changes_at)
}

fn runs(pod: &PodRow, now: Timestamp) -> bool {
    !pod.phase.is_finished() && pod.expires.is_none_or(|at| now <= at)
}

fn objects(world: &World, namespace: &str, group: &str, plural: &str) -> Quantity {
    let id = world.graph.id(group, plural);
    let of_it = world.graph.contents(namespace).find(|(resource, _)| Some(*resource) == id);
    let total = of_it.map_or(0, |(_, contents)| contents.total);
    Quantity::new(i64::try_from(total).unwrap_or(i64::MAX), Format::DecimalSi)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::laws::{Scenario, check};
    use crate::simulator::Simulator;

    #[test]
    fn a_quota_knows_what_is_used_and_what_was_given_back() {
        let pod = |name: &str| {
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "250m"}}}]},
            })
        };
        let phases: &[&dyn Fn(&mut Simulator)] = &[
            &|s| {
                s.create(pod("a"));
                s.create(pod("b"));
                s.create(json!({
                    "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
                    "spec": {"hard": {"pods": "5", "requests.cpu": "1", "services": "2", "count/jobs.batch": "1"}},
                }));
            },
            &|s| s.delete("pods", "a"),
        ];
        let run = |phases| check(&Scenario { controllers: &[&ResourceQuotaController], phases, ..Scenario::default() });
        let used = |server: &Simulator| server.all("resourcequotas").next().map(|quota| quota["status"]["used"].clone());
        let want = |pods: &str, cpu: &str| Some(json!({"pods": pods, "requests.cpu": cpu, "services": "0", "count/jobs.batch": "0"}));
        assert_eq!(used(&run(&phases[..1])), want("2", "500m"));
        assert_eq!(used(&run(phases)), want("1", "250m"));
    }
}
