//! What one write takes of the ranges. A dry run takes nothing: it looks at less, and makes up what it would get.

use std::net::IpAddr;

use api::core::service::allocation::{AddressRequest, Plan, PortRequest};
use k8s_openapi::api::core::v1::Service;
use machinery::field::Error;
use rand::Rng;

use super::{AddressRange, Allocation, Held, State};

const FULL: &str = "range is full";
const TAKEN: &str = "provided IP is already allocated";
const PORT_TAKEN: &str = "provided port is already allocated";
/// The first node port that a dry run makes up: one that is in no range by default.
const IMAGINED_PORT: i32 = 32_769;

pub(super) struct Taking<'a> {
    pub(super) allocation: &'a Allocation,
    pub(super) state: &'a State,
    pub(super) dry_run: bool,
}

/// Why something cannot be had.
pub(super) enum Refusal {
    Field(Error),
    /// No field is to blame.
    Server(String),
}

impl Taking<'_> {
    /// Fills in what is to be had, until something is not.
    pub(super) fn fill(&self, plan: &Plan, service: &mut Service) -> Result<Held, Refusal> {
        let mut held = Held::default();
        for request in &plan.addresses {
            let address = self.address(request, &held).map_err(|why| match request.wanted {
                Some(_) => Refusal::Field(request.refuse(&why)),
                None => Refusal::Server(format!("no cluster IP can be allocated: {why}")),
            })?;
            held.addresses.insert(address);
            request.grant(service, address);
        }
        for request in &plan.ports {
            let port = self.port(request, &held).map_err(|why| {
                request.refuse(&why).map_or_else(|| Refusal::Server(format!("no node port can be allocated: {why}")), Refusal::Field)
            })?;
            held.ports.insert(port);
            request.grant(service, port);
        }
        Ok(held)
    }

    fn address(&self, request: &AddressRequest, held: &Held) -> Result<IpAddr, String> {
        let ranges = self.allocation.ranges_of(request.family);
        let Some(first) = ranges.first() else { return Err(format!("there is no range of {} addresses", request.family.name())) };
        let free = |address: &IpAddr| {
            let taken = held.addresses.contains(address) || self.state.has_address(address);
            !taken && !self.allocation.is_held(*address)
        };
        match request.wanted {
            Some(wanted) if !ranges.iter().any(|range| range.contains(wanted)) => Err("the provided IP is not in the valid range".into()),
            Some(wanted) if self.dry_run || free(&wanted) => Ok(wanted),
            Some(_) => Err(TAKEN.into()),
            None if self.dry_run => first.at(0).ok_or_else(|| FULL.into()),
            None => {
                let first_free = |range: &AddressRange| {
                    let end = range.end();
                    pick(1..end, band(end, 16, 256)).filter_map(|offset| range.at(offset)).find(free)
                };
                ranges.iter().find_map(first_free).ok_or_else(|| FULL.into())
            }
        }
    }

    fn port(&self, request: &PortRequest, held: &Held) -> Result<i32, String> {
        let ports = &self.allocation.ports;
        let free = |port: &i32| !held.ports.contains(port) && !self.state.has_port(*port);
        let (first, last) = (*ports.start(), *ports.end());
        match request.wanted {
            Some(wanted) if !self.dry_run && !ports.contains(&wanted) => {
                Err(format!("provided port is not in the valid range. The range of valid ports is {first}-{last}"))
            }
            Some(wanted) if free(&wanted) => Ok(wanted),
            Some(_) => Err(PORT_TAKEN.into()),
            None if self.dry_run => Ok(held.ports.iter().max().map_or(IMAGINED_PORT, |last| last.saturating_add(1).max(1))),
            None => {
                let size = usize::try_from(last - first + 1).unwrap_or(0);
                let mut offsets = pick(0..size, band(size, 32, 128)).filter_map(|offset| i32::try_from(offset).ok());
                offsets.find_map(|offset| Some(first + offset).filter(free)).ok_or_else(|| FULL.into())
            }
        }
    }
}

/// How much of the beginning of a range is left to those who ask for a certain value, as long as there is something else.
fn band(size: usize, part: usize, most: usize) -> usize {
    if size < 16 { 0 } else { (size / part).clamp(16, most) }
}

/// All offsets of a range, in an order that begins at random beyond the band and comes to the band last.
fn pick(range: std::ops::Range<usize>, band: usize) -> impl Iterator<Item = usize> {
    let middle = (range.start + band).min(range.end);
    let start = if middle < range.end { rand::rng().random_range(middle..range.end) } else { middle };
    (start..range.end).chain(middle..start).chain(range.start..middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_is_tried_once_and_the_band_last() {
        let mut offsets: Vec<usize> = pick(1..100, 16).collect();
        assert!(offsets[83..].iter().all(|offset| *offset <= 16));
        offsets.sort_unstable();
        assert_eq!(offsets, (1..100).collect::<Vec<_>>());
    }
}
