//! The linked fields `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy`: writers give some of them, and
//! the rest follows from those, from what was there before, and from the families that the cluster has.

use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use machinery::field::{Error, Errors, Path};

use super::allocation::Family;
use super::validation::check_addresses;
use super::{cluster_ips, has_address, has_health_check, has_node_ports, is_headless, kind, needs_address, ports};
use crate::zero;

const SINGLE: &str = "SingleStack";
const PREFER: &str = "PreferDualStack";
const REQUIRE: &str = "RequireDualStack";

/// What was allocated before stays where an update leaves it out.
pub(super) fn keep_allocated(new: &mut ServiceSpec, old: &ServiceSpec) {
    if needs_address(old) && needs_address(new) {
        if new.cluster_ip.is_none() {
            new.cluster_ip.clone_from(&old.cluster_ip);
        }
        // Also where `clusterIP` alone was changed: the list then follows it, and validation names the list.
        if new.cluster_ips.is_none() {
            new.cluster_ips.clone_from(&old.cluster_ips);
        }
    }
    if has_node_ports(old) && has_node_ports(new) {
        keep_node_ports(new, old);
    }
    if has_health_check(old) && has_health_check(new) && new.health_check_node_port.is_none() {
        new.health_check_node_port = old.health_check_node_port;
    }
}

/// Ports are recognised by name; a node port that another port of the Service asks for is not handed out.
fn keep_node_ports(new: &mut ServiceSpec, old: &ServiceSpec) {
    let asked_for: Vec<i32> = ports(new).iter().filter_map(|port| port.node_port).collect();
    let mut used: Vec<i32> = ports(old).iter().filter_map(|port| port.node_port).filter(|port| asked_for.contains(port)).collect();
    for port in new.ports.iter_mut().flatten().filter(|port| port.node_port.is_none()) {
        let before = ports(old).iter().rfind(|before| before.name == port.name).and_then(|before| before.node_port);
        if let Some(before) = before.filter(|before| !used.contains(before)) {
            port.node_port = Some(before);
            used.push(before);
        }
    }
}

/// Makes `clusterIPs` follow `clusterIP`, which older clients know alone.
pub(super) fn link_addresses(new: &mut ServiceSpec, old: Option<&ServiceSpec>) {
    let Some(old) = old else {
        if new.cluster_ips.is_none() {
            new.cluster_ips = new.cluster_ip.clone().map(|ip| vec![ip]);
        }
        return;
    };
    if new.cluster_ip != old.cluster_ip && new.cluster_ips == old.cluster_ips {
        new.cluster_ips = new.cluster_ip.clone().map(|ip| vec![ip]);
    }
}

/// Fills `ipFamilies` and `ipFamilyPolicy`. `available` has the cluster's families, the preferred one first.
pub(super) fn settle(new: &mut Service, old: Option<&Service>, available: &[Family]) -> Result<(), Errors> {
    let old = old.and_then(|old| old.spec.as_ref());
    let Some(spec) = &mut new.spec else { return Ok(()) };
    if kind(spec) == "ExternalName" || old.is_some_and(|old| is_settled(spec, old)) {
        return Ok(());
    }
    let free = is_headless(spec) && spec.selector.is_none();
    if spec.ip_family_policy.is_none() {
        let before = old.and_then(|old| old.ip_family_policy.clone());
        spec.ip_family_policy = before.or_else(|| Some(if free { REQUIRE } else { SINGLE }.to_owned()));
    }
    // What is plainly wrong would be settled into something odd.
    refuse(check_addresses(spec, old))?;
    let mut errors = old.map(|old| shrink(spec, old)).unwrap_or_default();
    errors.extend(check_count(spec));
    errors.extend(infer_families(spec, available));
    refuse(errors)?;
    if free {
        settle_free(spec, available);
        return Ok(());
    }
    refuse(check_available(spec, available))?;
    let mut families = families_of(spec);
    if families.is_empty() {
        families.extend(available.first());
    }
    if policy(spec) != SINGLE && families.len() == 1 {
        families.extend(available.iter().filter(|family| !families.contains(family)).copied().take(1).collect::<Vec<_>>());
    }
    set_families(spec, &families);
    Ok(())
}

fn refuse(errors: Errors) -> Result<(), Errors> {
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// A Service that prefers two families keeps what it has when the cluster gains or loses one, until it is asked
/// for something else.
fn is_settled(new: &ServiceSpec, old: &ServiceSpec) -> bool {
    let same = new.type_ == old.type_ && new.cluster_ips == old.cluster_ips && new.ip_families == old.ip_families;
    same && has_address(new) && policy(new) == PREFER && matches!(policy(old), "" | PREFER)
}

/// Asking for a single family is enough to drop the second, unless other values were given too. Leaving the second out
/// without asking is an error.
fn shrink(new: &mut ServiceSpec, old: &ServiceSpec) -> Errors {
    if policy(new) != SINGLE {
        let fewer = |new: &[String], old: &[String]| !new.is_empty() && new.len() < old.len();
        let families = |spec: &ServiceSpec| spec.ip_families.clone().unwrap_or_default();
        let addresses = fewer(cluster_ips(new), cluster_ips(old)).then_some("cluster IP");
        let families = fewer(&families(new), &families(old)).then_some("IP family");
        let dropped = addresses.into_iter().chain(families);
        return dropped.map(|what| wrong_policy(new, format!("must be '{SINGLE}' to release the second {what}"))).collect();
    }
    if new.cluster_ips == old.cluster_ips
        && let Some(ips) = &mut new.cluster_ips
    {
        ips.truncate(1);
    }
    if new.ip_families == old.ip_families
        && let Some(families) = &mut new.ip_families
    {
        families.truncate(1);
    }
    Errors::new()
}

fn wrong_policy(spec: &ServiceSpec, why: String) -> Error {
    Error::invalid(&Path::new("spec").child("ipFamilyPolicy"), policy(spec), why)
}

/// A headless Service whose endpoints are made by hand may have addresses of any family, whatever the cluster has.
fn settle_free(spec: &mut ServiceSpec, available: &[Family]) {
    let mut families = families_of(spec);
    if families.is_empty() {
        families.extend(available.first());
    }
    if policy(spec) != SINGLE
        && let [only] = families.as_slice()
    {
        families.push(only.other());
    }
    set_families(spec, &families);
}

/// A single family allows for one of each.
fn check_count(spec: &ServiceSpec) -> Errors {
    if policy(spec) != SINGLE {
        return Errors::new();
    }
    let families = spec.ip_families.as_ref().map_or(0, Vec::len);
    let counts = [("cluster IPs", cluster_ips(spec).len()), ("IP families", families)].into_iter();
    let several = counts.filter(|(_, count)| *count == 2);
    several.map(|(what, _)| wrong_policy(spec, format!("must be '{REQUIRE}' or '{PREFER}' when several {what} are given"))).collect()
}

/// Adds the families of the addresses that are given beyond them.
fn infer_families(spec: &mut ServiceSpec, available: &[Family]) -> Errors {
    let mut families = families_of(spec);
    let mut errors = Errors::new();
    let path = Path::new("spec").child("clusterIPs");
    for (i, ip) in cluster_ips(spec).iter().enumerate().skip(families.len()) {
        match Family::of_text(ip) {
            Some(family) if available.contains(&family) => families.push(family),
            Some(family) => {
                let why = format!("this cluster does not have {} addresses", family.name());
                errors.push(Error::invalid(&path.index(i), cluster_ips(spec), why));
            }
            None => {}
        }
    }
    if !families.is_empty() {
        set_families(spec, &families);
    }
    errors
}

fn check_available(spec: &ServiceSpec, available: &[Family]) -> Errors {
    let mut errors = Errors::new();
    if policy(spec) == REQUIRE && available.len() < 2 {
        errors.push(wrong_policy(spec, "this cluster has one IP family only".to_owned()));
    }
    for (i, family) in families_of(spec).iter().enumerate().filter(|(_, family)| !available.contains(family)) {
        let path = Path::new("spec").child("ipFamilies").index(i);
        errors.push(Error::invalid(&path, family.name(), "this cluster does not have the family"));
    }
    errors
}

fn families_of(spec: &ServiceSpec) -> Vec<Family> {
    spec.ip_families.iter().flatten().filter_map(|name| Family::named(name)).collect()
}

fn set_families(spec: &mut ServiceSpec, families: &[Family]) {
    *zero::keep(&mut spec.ip_families) = families.iter().map(|family| family.name().to_owned()).collect();
}

fn policy(spec: &ServiceSpec) -> &str {
    spec.ip_family_policy.as_deref().unwrap_or_default()
}
