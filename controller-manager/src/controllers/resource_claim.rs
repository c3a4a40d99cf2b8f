//! Makes the ResourceClaims that pods ask for by template, tells the pods which ones they got, and takes care that claims are
//! not held for pods that have ended. Allocating devices is the scheduler's; a pod that came to its node without
//! it is given the claims that are allocated already.
//!
//! A key is looked at as a pod's and as a claim's, since both are named alike.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodResourceClaim, PodResourceClaimStatus};
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimConsumerReference, ResourceClaimStatus, ResourceClaimTemplate};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::NamespacedName;
use serde_json::json;

use super::claim_protection::set_finalizers;
use crate::controller::{Controller, Key, Wake};
use crate::naming::Names;
use crate::ownership::controller_reference;
use crate::plan::{Guard, Named, Note, Plan, Write, named, resource_of};
use crate::world::{Change, DeviceClaims, Kind, PodRow, Whole, World};

/// Says which of a pod's claims a ResourceClaim was made for.
const FOR: &str = "resource.kubernetes.io/pod-claim-name";
/// Held while a claim is allocated.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";
/// How many consumers a claim has at most.
const MOST_CONSUMERS: usize = 256;

type Claim = Whole<ResourceClaim>;

pub struct ResourceClaimController;

impl Controller for ResourceClaimController {
    fn name(&self) -> &'static str {
        "resourceclaim-controller"
    }

    fn component(&self) -> &'static str {
        "resource_claim"
    }

    fn account(&self) -> Option<&'static str> {
        Some("resource-claim-controller")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Pod, Kind::ResourceClaim, Kind::ResourceClaimTemplate]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::Pod(delta) => {
                let pod = delta.newest();
                let Some(devices) = &pod.devices else { return };
                let lives = delta.after().is_some_and(|pod| !has_ended(pod));
                if lives {
                    wake.key(&pod.key);
                } else {
                    devices.names().for_each(|name| wake.key(&Key::new(pod.key.namespace.clone(), name)));
                    world.resource_claims.controlled_by(&pod.uid).for_each(|claim| wake.key(&claim.header().key));
                }
            }
            Change::ResourceClaim(delta) => {
                let claim = delta.newest().header();
                wake.key(&claim.key);
                let uses = |devices: &DeviceClaims| devices.names().any(|name| name == claim.name());
                let concerned = |pod: &PodRow| pod.devices.as_deref().is_some_and(uses) || claim.is_controlled_by(&pod.uid);
                let pods = world.pods.namespace(claim.namespace());
                pods.filter(|pod| pod.devices.is_some() && concerned(pod)).for_each(|pod| wake.key(&pod.key));
            }
            Change::ResourceClaimTemplate(delta) => {
                let template = delta.newest().header();
                let asks = |asked: &PodResourceClaim| asked.resource_claim_template_name.as_deref() == Some(template.name());
                let pods = world.pods.namespace(template.namespace());
                pods.filter(|pod| pod.devices.as_deref().is_some_and(|d| d.asked.iter().any(asks))).for_each(|pod| wake.key(&pod.key));
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if let Some(pod) = world.pods.get(key).filter(|pod| !has_ended(pod) && !pod.is_terminating())
            && let Some(devices) = &pod.devices
        {
            serve_pod(world, pod, devices, &mut plan);
        }
        if let Some(claim) = world.resource_claims.get(key) {
            clean_up(world, claim, &mut plan);
        }
        plan
    }
}

/// The pod runs nowhere any more, and never will.
fn has_ended(pod: &PodRow) -> bool {
    pod.phase.is_finished() || (pod.is_terminating() && pod.node.is_none())
}

/// Makes what the pod lacks, tells it what it has, and reserves it if nobody else will.
fn serve_pod(world: &World, pod: &PodRow, devices: &DeviceClaims, plan: &mut Plan) {
    let mut made: Vec<(String, String)> = Vec::new();
    for asked in &devices.asked {
        match devices.name_of(asked) {
            Some(None) => continue,
            Some(Some(name)) => {
                if let Some(claim) = world.resource_claims.find(pod.namespace(), name) {
                    if asked.resource_claim_name.is_none() && !claim.header().is_controlled_by(&pod.uid) {
                        let message = format!("ResourceClaim {name} was not made for this pod");
                        plan.note(Note::warning(pod, "FailedResourceClaimCreation", message));
                    } else if pod.node.is_some() {
                        reserve(pod, claim, plan);
                    }
                    continue;
                }
            }
            None => {}
        }
        let Some(template) = &asked.resource_claim_template_name else { continue };
        if let Some(claim) = claim_for(world, pod, &asked.name) {
            made.push((asked.name.clone(), claim.header().name().to_owned()));
        } else if let Some(template) = world.resource_claim_templates.find(pod.namespace(), template) {
            let claim = make(world, pod, asked, template);
            made.push((asked.name.clone(), claim.metadata.name.clone().unwrap_or_default()));
            let failed = Note::warning(pod, "FailedResourceClaimCreation", format!("the claim for {}", asked.name));
            plan.write(Write::create(claim).guarded(Guard::Alive(named(pod))).failed(failed));
        } else {
            let message = format!("ResourceClaimTemplate {template} of claim {} does not exist", asked.name);
            plan.note(Note::warning(pod, "FailedResourceClaimCreation", message));
        }
    }
    if !made.is_empty() {
        plan.then(vec![tell(pod, devices, made)]);
    }
}

/// The claim that was made for an entry of the pod, which may not know of it yet.
fn claim_for<'w>(world: &'w World, pod: &PodRow, entry: &str) -> Option<&'w Arc<Claim>> {
    let is_for = |claim: &&Arc<Claim>| {
        let annotations = claim.metadata.annotations.as_ref();
        annotations.and_then(|a| a.get(FOR)).is_some_and(|name| name == entry) && !claim.header().is_terminating()
    };
    world.resource_claims.controlled_by(&pod.uid).find(is_for)
}

fn make(world: &World, pod: &PodRow, asked: &PodResourceClaim, template: &Whole<ResourceClaimTemplate>) -> ResourceClaim {
    let base = format!("{}-{}-", pod.name(), asked.name);
    let taken = |name: &str| world.resource_claims.find(pod.namespace(), name).is_some();
    let name = Names::new(&base, &format!("{}/{}", pod.uid, asked.name), taken).next_free();
    let given = template.spec.metadata.clone().unwrap_or_default();
    let mut annotations = given.annotations.unwrap_or_default();
    annotations.insert(FOR.to_owned(), asked.name.clone());
    ResourceClaim {
        metadata: ObjectMeta {
            generate_name: Some(base),
            name: Some(name),
            namespace: Some(pod.namespace().to_owned()),
            labels: given.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![controller_reference(pod)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.spec.clone(),
        status: None,
    }
}

/// Writes to the pod's status which claims it got. Others write that list too: it is merged by entry.
fn tell(pod: &PodRow, devices: &DeviceClaims, made: Vec<(String, String)>) -> Write {
    let mut all = devices.made.clone();
    for (entry, claim) in made {
        all.retain(|known| known.name != entry);
        all.push(PodResourceClaimStatus { name: entry, resource_claim_name: Some(claim) });
    }
    Write::patch_status(pod, json!({"resourceClaimStatuses": all}))
}

/// Reserves an allocated claim for a pod that has its node already, as the scheduler does for those that it places.
fn reserve(pod: &PodRow, claim: &Claim, plan: &mut Plan) {
    let Some(status) = claim.status.as_ref().filter(|status| status.allocation.is_some()) else { return };
    let reserved = status.reserved_for.as_deref().unwrap_or_default();
    if reserved.iter().any(|consumer| consumer.uid == *pod.uid) || reserved.len() >= MOST_CONSUMERS || claim.header().is_terminating() {
        return;
    }
    let consumer = ResourceClaimConsumerReference {
        api_group: None,
        name: pod.name().to_owned(),
        resource: "pods".to_owned(),
        uid: pod.uid.to_string(),
    };
    let mut object = claim.to_object();
    object.status.get_or_insert_default().reserved_for.get_or_insert_default().push(consumer);
    plan.write(Write::update_status(object).guarded(Guard::Alive(named(pod))));
}

/// Takes away reservations of pods that have ended, then the allocation, then the claim if it was made for one of them.
fn clean_up(world: &World, claim: &Claim, plan: &mut Plan) {
    let header = claim.header();
    let none = ResourceClaimStatus::default();
    let status = claim.status.as_ref().unwrap_or(&none);
    let reserved = status.reserved_for.as_deref().unwrap_or_default();
    let (kept, over): (Vec<_>, Vec<_>) = reserved.iter().cloned().partition(|consumer| holds(world, header.namespace(), consumer));
    let protected = header.has_finalizer(FINALIZER);
    // Devices are given back as soon as nobody uses them: at once, or, where nobody ever did, with the claim.
    let idle = kept.is_empty() && (!over.is_empty() || header.is_terminating());
    let deallocate = idle && protected && status.allocation.is_some();
    if !over.is_empty() || deallocate {
        let mut object = claim.to_object();
        let changed = object.status.get_or_insert_default();
        changed.reserved_for = Some(kept).filter(|kept| !kept.is_empty());
        if deallocate {
            changed.allocation = None;
        }
        let write = Write::update_status(object);
        // A pod that is younger than this world is not one that has ended.
        let gone = over.iter().filter(|consumer| world.pods.find(header.namespace(), &consumer.name).is_none());
        plan.write(gone.fold(write, |write, consumer| write.guarded(Guard::Absent(pod_named(header.namespace(), consumer)))));
    } else if kept.is_empty() && protected && status.allocation.is_none() {
        plan.write(set_finalizers(claim, header.finalizers.iter().map(String::as_str).filter(|f| *f != FINALIZER)));
    } else if kept.is_empty() && !header.is_terminating() && was_made_for_ended(world, claim) {
        plan.write(Write::delete(claim));
    }
}

/// Whether a consumer may still use the claim. What is not a pod is not judged.
fn holds(world: &World, namespace: &str, consumer: &ResourceClaimConsumerReference) -> bool {
    if consumer.api_group.as_deref().is_some_and(|group| !group.is_empty()) || consumer.resource != "pods" {
        return true;
    }
    let pod = world.pods.find(namespace, &consumer.name).filter(|pod| *pod.uid == *consumer.uid);
    pod.is_some_and(|pod| !has_ended(pod))
}

fn pod_named(namespace: &str, consumer: &ResourceClaimConsumerReference) -> Named {
    Named { resource: resource_of::<Pod>(), key: NamespacedName::new(namespace, consumer.name.as_str()), uid: consumer.uid.clone() }
}

/// A claim of a pod that is gone goes by the garbage collector; that of one that has ended is nobody's either.
fn was_made_for_ended(world: &World, claim: &Claim) -> bool {
    let Some(owner) = claim.header().controller().filter(|owner| owner.kind == "Pod" && owner.api_version == "v1") else { return false };
    let pod = world.pods.find(claim.header().namespace(), &owner.name).filter(|pod| *pod.uid == *owner.uid);
    pod.is_some_and(|pod| has_ended(pod))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::laws::{Scenario, check, count};
    use crate::simulator::Simulator;

    fn template() -> Value {
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "gpu"},
            "spec": {
                "metadata": {"labels": {"from": "template"}},
                "spec": {"devices": {"requests": [{"name": "one", "exactly": {"deviceClassName": "gpu"}}]}},
            },
        })
    }

    fn pod(name: &str, claims: Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "image": "i"}], "resourceClaims": claims},
        })
    }

    fn end(server: &mut Simulator, name: &str) {
        server.change("pods", name, |pod| pod["status"]["phase"] = json!("Succeeded"));
    }

    #[test]
    fn a_pod_gets_a_claim_of_its_own_from_a_template_until_it_ends() {
        let phases: &[&dyn Fn(&mut Simulator)] =
            &[&|s| s.create(pod("p", json!([{"name": "g", "resourceClaimTemplateName": "gpu"}]))), &|s| s.create(template()), &|s| {
                end(s, "p")
            }];
        let run = |phases| check(&Scenario { controllers: &[&ResourceClaimController], phases, ..Scenario::default() });
        assert_eq!(count(&run(&phases[..1]), "resourceclaims", |_| true), 0);

        let server = run(&phases[..2]);
        let claims: Vec<&Value> = server.all("resourceclaims").collect();
        assert_eq!(claims.len(), 1);
        let meta = &claims[0]["metadata"];
        assert_eq!(meta["generateName"], "p-g-");
        assert_eq!(meta["labels"], json!({"from": "template"}));
        assert_eq!(meta["annotations"], json!({FOR: "g"}));
        assert_eq!(meta["ownerReferences"][0]["kind"], "Pod");
        let told = &server.get("pods", "default", "p").unwrap()["status"]["resourceClaimStatuses"];
        assert_eq!(*told, json!([{"name": "g", "resourceClaimName": meta["name"]}]));

        assert_eq!(count(&run(phases), "resourceclaims", |_| true), 0);
    }

    #[test]
    fn an_allocated_claim_is_reserved_for_pods_on_nodes_and_freed_with_the_last_of_them() {
        let phases: &[&dyn Fn(&mut Simulator)] = &[
            &|s| {
                s.create(json!({
                    "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
                    "metadata": {"name": "shared", "finalizers": [FINALIZER]}, "spec": {"devices": {}},
                    "status": {"allocation": {"devices": {}}},
                }));
                s.create(pod("a", json!([{"name": "g", "resourceClaimName": "shared"}])));
                s.create(pod("b", json!([{"name": "g", "resourceClaimName": "shared"}])));
            },
            &|s| end(s, "a"),
            &|s| end(s, "b"),
        ];
        let run = |phases| {
            let server = check(&Scenario { controllers: &[&ResourceClaimController], phases, ..Scenario::default() });
            server.get("resourceclaims", "default", "shared").unwrap().clone()
        };
        assert_eq!(run(&phases[..1])["status"]["reservedFor"].as_array().map(Vec::len), Some(2));
        let one = run(&phases[..2]);
        assert_eq!(one["status"]["reservedFor"][0]["name"], "b");
        assert!(one["status"]["allocation"].is_object());
        let free = run(phases);
        assert!(free["status"].get("allocation").is_none() && free["metadata"].get("finalizers").is_none(), "{free}");
    }

    #[test]
    fn a_deleted_claim_gives_back_what_nobody_uses() {
        let phases: &[&dyn Fn(&mut Simulator)] = &[
            &|s| {
                s.create(json!({
                    "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
                    "metadata": {"name": "unused", "finalizers": [FINALIZER]}, "spec": {"devices": {}},
                    "status": {"allocation": {"devices": {}}},
                }));
            },
            &|s| s.delete("resourceclaims", "unused"),
        ];
        let run = |phases| check(&Scenario { controllers: &[&ResourceClaimController], phases, ..Scenario::default() });
        assert!(run(&phases[..1]).get("resourceclaims", "default", "unused").unwrap()["status"]["allocation"].is_object());
        assert_eq!(count(&run(phases), "resourceclaims", |_| true), 0);
    }
}
