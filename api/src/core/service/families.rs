//! The linked fields `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy`: writers give some of them, and
//! the rest follows from those, from what was there before, and from the families that the cluster has.

use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use machinery::field::{Error, Errors, Path};

use super::allocation::Family;
use super::validation::check_addresses;
use super::{HEADLESS, cluster_ips, has_address, has_health_check, has_node_ports, is_headless, kind, ports};
use crate::zero;

const SINGLE: &str = "SingleStack";
const PREFER: &str = "PreferDualStack";
const REQUIRE: &str = "RequireDualStack";

/// What was allocated before stays where an update leaves it out.
pub(super) fn keep_allocated(new: &mut ServiceSpec, old: &ServiceSpec) {
    if has_address(old) && has_address(new) {
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
    let old_spec = old.and_then(|old| old.spec.as_ref());
    let Some(spec) = &mut new.spec else { return Ok(()) };
    if kind(spec) == "ExternalName" || old_spec.is_some_and(|old| is_settled(spec, old)) {
        return Ok(());
    }
    if let Some(old) = old_spec {
        shrink(spec, old);
    }
    // What is plainly wrong would be settled into something odd.
    let errors = check_addresses(spec);
    if !errors.is_empty() {
        return Err(errors);
    }
    if is_headless(spec) && spec.selector.is_none() {
        settle_free(spec, available);
        return Ok(());
    }
    settle_policy(spec, available)?;
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

/// A Service that prefers two families keeps what it has when the cluster gains or loses one, until it is asked
/// for something else.
fn is_settled(new: &ServiceSpec, old: &ServiceSpec) -> bool {
    let same = new.type_ == old.type_ && new.cluster_ips == old.cluster_ips && new.ip_families == old.ip_families;
    let prefers = |spec: &ServiceSpec| spec.ip_family_policy.as_deref() == Some(PREFER);
    same && prefers(new) && prefers(old) && !cluster_ips(new).is_empty()
}

/// Asking for a single family is enough to drop the second, unless other values were given too.
fn shrink(new: &mut ServiceSpec, old: &ServiceSpec) {
    if policy(new) != SINGLE || new.ip_family_policy == old.ip_family_policy {
        return;
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
}

/// A headless Service whose endpoints are made by hand may have addresses of any family, whatever the cluster has.
fn settle_free(spec: &mut ServiceSpec, available: &[Family]) {
    if spec.ip_family_policy.is_none() {
        spec.ip_family_policy = Some(REQUIRE.to_owned());
    }
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

fn settle_policy(spec: &mut ServiceSpec, available: &[Family]) -> Result<(), Errors> {
    let path = Path::new("spec");
    let mut errors = Errors::new();
    let families = spec.ip_families.as_ref().map_or(0, Vec::len);
    let addresses = cluster_ips(spec).len();
    if spec.ip_family_policy.is_none() {
        let policy = if families > 1 || addresses > 1 { REQUIRE } else { SINGLE };
        spec.ip_family_policy = Some(policy.to_owned());
    } else if policy(spec) == SINGLE {
        for (name, count) in [("ipFamilies", families), ("clusterIPs", addresses)] {
            if count > 1 {
                let why = format!("must be '{REQUIRE}' or '{PREFER}' when several '{name}' are given");
                errors.push(Error::invalid(&path.child("ipFamilyPolicy"), policy(spec), why));
            }
        }
    }
    if policy(spec) == REQUIRE && available.len() < 2 {
        errors.push(Error::invalid(&path.child("ipFamilyPolicy"), policy(spec), "this cluster has one IP family only"));
    }
    for (i, family) in families_of(spec).iter().enumerate() {
        if !available.contains(family) {
            errors.push(Error::invalid(&path.child("ipFamilies").index(i), family.name(), "this cluster does not have the family"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The families as given, and those of the addresses that are given beyond them.
fn families_of(spec: &ServiceSpec) -> Vec<Family> {
    let mut families: Vec<Family> = spec.ip_families.iter().flatten().filter_map(|name| Family::named(name)).collect();
    let addresses = cluster_ips(spec).iter().skip(families.len()).filter(|ip| *ip != HEADLESS);
    families.extend(addresses.filter_map(|ip| Family::of_text(ip)).collect::<Vec<_>>());
    families
}

fn set_families(spec: &mut ServiceSpec, families: &[Family]) {
    *zero::keep(&mut spec.ip_families) = families.iter().map(|family| family.name().to_owned()).collect();
}

fn policy(spec: &ServiceSpec) -> &str {
    spec.ip_family_policy.as_deref().unwrap_or_default()
}
