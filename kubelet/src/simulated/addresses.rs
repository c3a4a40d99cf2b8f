//! Addresses of simulated nodes and pods. Each node has a number, which gives it an address of its own and a range
//! for its pods, unless the cluster has given the node a range.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Pods' ranges are the /24 networks of 10.128.0.0/9; nodes' addresses lie in 172.16.0.0/12.
const RANGES: u32 = 1 << 15;

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: u32,
    size: u32,
}

impl Range {
    /// Reads `10.244.1.0/24`.
    pub fn parse(cidr: &str) -> Option<Self> {
        let (address, length) = cidr.split_once('/')?;
        let address: Ipv4Addr = address.parse().ok()?;
        let length: u32 = length.parse().ok().filter(|length| *length <= 30)?;
        let size = 1u32 << (32 - length.max(8));
        Some(Self { first: u32::from(address) & !(size - 1), size })
    }

    fn of_number(number: u32) -> Self {
        Self { first: u32::from(Ipv4Addr::new(10, 128, 0, 0)) + (number % RANGES) * 256, size: 256 }
    }
}

/// Who has which address.
#[derive(Default)]
pub struct Addresses {
    nodes: HashMap<Arc<str>, Pool>,
}

struct Pool {
    number: u32,
    range: Range,
    taken: BTreeSet<u32>,
    /// Where to look for the next one: an address that was given back is not used again at once.
    next: u32,
}

impl Addresses {
    /// Adds a node. One that is alone in its process gets a number from its name, so that several processes
    /// rarely meet.
    pub fn add_node(&mut self, node: Arc<str>, number: Option<u32>) {
        let number = number.unwrap_or_else(|| (crate::hash(&node) % u64::from(RANGES)) as u32);
        self.nodes.insert(node, Pool { number, range: Range::of_number(number), taken: BTreeSet::new(), next: 0 });
    }

    /// The node's own address.
    pub fn of_node(&self, node: &str) -> Ipv4Addr {
        let number = self.nodes.get(node).map_or(0, |pool| pool.number);
        // Neither the network's address nor a broadcast one: hosts count from .1 to .254.
        Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 16, 0, 0)) + (number / 254) * 256 + number % 254 + 1)
    }

    /// The range that the cluster gave the node. Addresses that are taken stay so.
    pub fn set_range(&mut self, node: &str, range: Range) {
        if let Some(pool) = self.nodes.get_mut(node) {
            pool.range = range;
        }
    }

    /// A free address for a pod; None where the range is used up.
    pub fn take(&mut self, node: &str) -> Option<String> {
        let pool = self.nodes.get_mut(node)?;
        let usable = pool.range.size.checked_sub(3)?;
        // .0 is the network, .1 its gateway, and the last one its broadcast address.
        let free =
            (0..usable).map(|step| pool.range.first + 2 + (pool.next + step) % usable).find(|address| !pool.taken.contains(address))?;
        pool.taken.insert(free);
        pool.next = free - pool.range.first - 1;
        Some(Ipv4Addr::from(free).to_string())
    }

    /// Notes an address that a pod has already.
    pub fn claim(&mut self, node: &str, address: &str) {
        if let (Some(pool), Ok(address)) = (self.nodes.get_mut(node), address.parse::<Ipv4Addr>()) {
            pool.taken.insert(address.into());
        }
    }

    pub fn give_back(&mut self, node: &str, address: &str) {
        if let (Some(pool), Ok(address)) = (self.nodes.get_mut(node), address.parse::<Ipv4Addr>()) {
            pool.taken.remove(&address.into());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_used_up_and_no_address_is_given_twice() {
        let mut addresses = Addresses::default();
        addresses.add_node("n".into(), Some(7));
        addresses.set_range("n", Range::parse("10.244.3.0/24").unwrap());
        let mut all: Vec<String> = std::iter::from_fn(|| addresses.take("n")).collect();
        assert_eq!((all.len(), &*all[0], &*all[252]), (253, "10.244.3.2", "10.244.3.254"));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 253);
        addresses.give_back("n", "10.244.3.77");
        assert_eq!(addresses.take("n").as_deref(), Some("10.244.3.77"));
    }

    #[test]
    fn nodes_have_addresses_of_their_own() {
        let mut addresses = Addresses::default();
        let mut seen = std::collections::HashSet::new();
        for number in 0..5000 {
            let name: Arc<str> = format!("node-{number}").into();
            addresses.add_node(name.clone(), Some(number));
            assert!(seen.insert(addresses.of_node(&name).to_string()));
            assert!(seen.insert(addresses.take(&name).unwrap()));
        }
    }
}
