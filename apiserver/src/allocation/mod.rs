//! Allocation: cluster IPs and node ports of Services, each from a range that all Services share.
//!
//! Addresses come from the server's own ranges and from those of ServiceCIDR objects that are ready. What is taken is what the log of Services shows, and what writes under way have reserved. The log is read with a
//! cursor when something is to be reserved, so that deletions, and writes that other processes made, count as well.

pub(crate) mod addresses;
mod range;
mod taking;

use std::net::IpAddr;
use std::sync::Arc;

use api::core::service::allocation::{Family, plan, release};
use api::object::{downcast_mut, downcast_ref};
use api::{Object, Resource};
use hashbrown::{HashMap, HashSet};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use machinery::field::Error;
use machinery::{ResourceVersion, Status};
use parking_lot::Mutex;

pub use range::AddressRange;

use taking::{Refusal, Taking};

use crate::log::{Entry, Feed, Log, Watch};
use crate::verbs::WatchEvent;

/// The ranges and what is taken of them.
pub struct Allocation {
    ranges: Vec<AddressRange>,
    families: Vec<Family>,
    ports: std::ops::RangeInclusive<i32>,
    /// The log of ServiceCIDRs, for more ranges.
    more_ranges: Option<Arc<Log>>,
    /// The log of IPAddresses, for what others than Services hold.
    held_by_others: Option<Arc<Log>>,
    state: Arc<Mutex<State>>,
}

/// The logs that say what there is and what is taken.
pub struct Logs {
    pub services: Option<Arc<Log>>,
    pub service_cidrs: Option<Arc<Log>>,
    pub ip_addresses: Option<Arc<Log>>,
}

struct State {
    feed: Arc<Feed>,
    log: Option<Arc<Log>>,
    cursor: Option<Watch>,
    /// What each Service holds, by its path.
    held: HashMap<Arc<str>, Held>,
    taken: Held,
    reserved: Vec<Reserved>,
    last: u64,
}

#[derive(Default, Clone)]
struct Held {
    addresses: HashSet<IpAddr>,
    ports: HashSet<i32>,
}

/// What a write under way has taken.
struct Reserved {
    id: u64,
    held: Held,
    /// The write happened at this version; the log shows it from there on.
    kept: Option<ResourceVersion>,
}

/// What a write takes of the ranges. Given back when it is dropped, unless it was kept.
pub struct Reservation {
    state: Arc<Mutex<State>>,
    id: u64,
    kept: bool,
}

impl Reservation {
    /// The write happened, at this version.
    pub(crate) fn keep(mut self, version: ResourceVersion) {
        self.kept = true;
        let mut state = self.state.lock();
        if let Some(one) = state.reserved.iter_mut().find(|one| one.id == self.id) {
            one.kept = Some(version);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.kept {
            self.state.lock().reserved.retain(|one| one.id != self.id);
        }
    }
}

impl Allocation {
    /// `ranges` has a range of addresses for each family, separated by commas; the first one is preferred.
    pub fn new(ranges: &str, ports: (u16, u16), feed: Arc<Feed>, logs: Logs) -> Result<Self, String> {
        let ranges = ranges.split(',').map(AddressRange::parse).collect::<Result<Vec<_>, _>>()?;
        let state =
            State { feed, log: logs.services, cursor: None, held: HashMap::new(), taken: Held::default(), reserved: Vec::new(), last: 0 };
        Ok(Self {
            families: ranges.iter().map(AddressRange::family).collect(),
            ranges,
            ports: i32::from(ports.0)..=i32::from(ports.1),
            more_ranges: logs.service_cidrs,
            held_by_others: logs.ip_addresses,
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// The first address of the preferred range, which is that of the API server's own Service.
    pub fn first_address(&self) -> Option<IpAddr> {
        self.ranges.first()?.at(1)
    }

    /// Takes what a new or changed object needs and fills it in. Objects of other kinds need nothing.
    pub(crate) fn reserve(
        &self,
        resource: &dyn Resource,
        object: &mut dyn Object,
        old: Option<&dyn Object>,
        dry_run: bool,
    ) -> Result<Option<Reservation>, Status> {
        let Some(service) = downcast_mut::<Service>(object) else { return Ok(None) };
        let old = old.and_then(downcast_ref::<Service>);
        let name = service.metadata.name.clone().unwrap_or_default();
        let invalid = |errors: &[Error]| Status::invalid(&resource.group_kind(), &name, errors);
        let plan = plan(service, old, &self.families).map_err(|errors| invalid(&errors))?;
        if old.is_some()
            && let Some(port) = repeated_port(service)
        {
            // Told before validation can, and without a field, other than at a creation.
            return Err(Status::unclassified(format!("the node port {port} is there twice")));
        }
        if plan.addresses.is_empty() && plan.ports.is_empty() {
            return Ok(None);
        }
        let mut state = self.state.lock();
        state.catch_up();
        let taking = Taking { allocation: self, state: &state, dry_run };
        let held = taking.fill(&plan, service).map_err(|refusal| match refusal {
            Refusal::Field(error) => invalid(&[error]),
            Refusal::Server(why) => Status::internal(why),
        })?;
        if dry_run {
            return Ok(None);
        }
        state.last += 1;
        let id = state.last;
        state.reserved.push(Reserved { id, held, kept: None });
        drop(state);
        Ok(Some(Reservation { state: self.state.clone(), id, kept: false }))
    }

    /// The ranges of a family: the server's own first, then those that were added and are ready, by name.
    fn ranges_of(&self, family: Family) -> Vec<AddressRange> {
        let mut ranges: Vec<AddressRange> = self.ranges.iter().filter(|range| range.family() == family).copied().collect();
        let Some(log) = &self.more_ranges else { return ranges };
        for entry in log.snapshot().entries.values() {
            let Ok(object) = entry.object(log.resource()) else { continue };
            let Some(added) = downcast_ref::<ServiceCIDR>(&*object).filter(|added| is_ready(added)) else { continue };
            let cidrs = added.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten());
            ranges.extend(cidrs.filter_map(|text| AddressRange::parse(text).ok()).filter(|range| range.family() == family));
        }
        ranges
    }

    fn is_held(&self, address: IpAddr) -> bool {
        self.held_by_others.as_ref().is_some_and(|log| log.get(&address.to_string()).is_some())
    }
}

/// A node port that two ports of one protocol name.
fn repeated_port(service: &Service) -> Option<i32> {
    let spec = service.spec.as_ref().filter(|spec| matches!(spec.type_.as_deref(), Some("NodePort" | "LoadBalancer")))?;
    let mut named = HashSet::new();
    let numbers =
        spec.ports.iter().flatten().filter_map(|port| Some((port.node_port.filter(|number| *number != 0)?, port.protocol.as_deref())));
    numbers.into_iter().find(|port| !named.insert(*port)).map(|(number, _)| number)
}

/// Whether addresses may be taken from a range.
fn is_ready(range: &ServiceCIDR) -> bool {
    let conditions = range.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    range.metadata.deletion_timestamp.is_none() && conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True")
}

impl State {
    fn has_address(&self, address: &IpAddr) -> bool {
        self.taken.addresses.contains(address) || self.reserved.iter().any(|one| one.held.addresses.contains(address))
    }

    fn has_port(&self, port: i32) -> bool {
        self.taken.ports.contains(&port) || self.reserved.iter().any(|one| one.held.ports.contains(&port))
    }

    /// Reads what the log has that was not read yet.
    fn catch_up(&mut self) {
        let Some(log) = self.log.clone() else { return };
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => self.begin(&log),
        };
        loop {
            match cursor.ready() {
                Some(Ok(WatchEvent::Added(entry) | WatchEvent::Modified(entry))) => self.observe(&log, &entry),
                Some(Ok(WatchEvent::Deleted(entry))) => self.forget(&entry),
                Some(Ok(WatchEvent::Bookmark { .. })) => {}
                // The cursor was too slow; the present state is all that matters.
                Some(Err(_)) => cursor = self.begin(&log),
                None => break,
            }
        }
        let position = cursor.position();
        self.reserved.retain(|one| one.kept.is_none_or(|kept| kept > position));
        self.cursor = Some(cursor);
    }

    fn begin(&mut self, log: &Arc<Log>) -> Watch {
        self.held.clear();
        self.taken = Held::default();
        Watch::present(self.feed.clone(), log)
    }

    fn observe(&mut self, log: &Log, entry: &Entry) {
        self.forget(entry);
        let Ok(object) = entry.object(log.resource()) else { return };
        let Some(service) = downcast_ref::<Service>(&*object) else { return };
        let given = release(service);
        let held = Held { addresses: given.released_addresses.into_iter().collect(), ports: given.released_ports.into_iter().collect() };
        self.taken.addresses.extend(held.addresses.iter().copied());
        self.taken.ports.extend(held.ports.iter().copied());
        self.held.insert(crate::log::path(&entry.key.namespace, &entry.key.name), held);
    }

    fn forget(&mut self, entry: &Entry) {
        if let Some(held) = self.held.remove(&*crate::log::path(&entry.key.namespace, &entry.key.name)) {
            self.taken.addresses.retain(|address| !held.addresses.contains(address));
            self.taken.ports.retain(|port| !held.ports.contains(port));
        }
    }
}
