//! IP addresses and blocks of them.

use std::fmt;
use std::net::IpAddr;

use super::native;
use crate::cel::Stop;
use crate::cel::library::{Cost, Function, ONE, global, member};
use crate::cel::value::Value as V;
use crate::ip;

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    global("ip", "string", "ip", Cost::Read, ip),
    global("isIP", "string", "bool", Cost::Read, is_ip),
    global("ip.isCanonical", "string", "bool", Cost::ReadWrite, is_canonical),
    member("family", "ip", "int", ONE, family),
    member("isUnspecified", "ip", "bool", ONE, is_unspecified),
    member("isLoopback", "ip", "bool", ONE, is_loopback),
    member("isLinkLocalMulticast", "ip", "bool", ONE, is_link_local_multicast),
    member("isLinkLocalUnicast", "ip", "bool", ONE, is_link_local_unicast),
    member("isGlobalUnicast", "ip", "bool", ONE, is_global_unicast),
    global("cidr", "string", "cidr", Cost::Read, cidr),
    global("isCIDR", "string", "bool", Cost::Read, is_cidr),
    member("containsIP", "cidr, ip", "bool", Cost::Fixed(4), contains_ip),
    member("containsIP", "cidr, string", "bool", Cost::Fixed(9), contains_ip),
    member("containsCIDR", "cidr, cidr", "bool", Cost::Fixed(7), contains_cidr),
    member("containsCIDR", "cidr, string", "bool", Cost::Fixed(12), contains_cidr),
    member("ip", "cidr", "ip", ONE, address),
    member("masked", "cidr", "cidr", ONE, masked_block),
    member("prefixLength", "cidr", "int", ONE, prefix_length),
];

/// An address with a length of prefix; unlike in API fields there may be bits beyond the prefix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cidr {
    address: IpAddr,
    prefix_bits: u8,
}

impl Cidr {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address = ip::parse(address).ok()?;
        let prefix_bits: u8 = bits.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        (prefix_bits <= width && prefix_bits.to_string() == bits).then_some(Self { address, prefix_bits })
    }

    fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && masked(self.address, self.prefix_bits) == masked(address, self.prefix_bits)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)).into()),
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, Stop> {
    ip::parse(text).map_err(|why| Stop::failed(format!("IP address {text:?}: {why}")))
}

fn parse_cidr(text: &str) -> Result<Cidr, Stop> {
    Cidr::parse(text).ok_or_else(|| Stop::failed(format!("{text:?} is no block of addresses")))
}

native! {
    ip(_run: V::String(text)) parse_ip(text).map(V::Ip);
    is_ip(_run: V::String(text)) Ok(V::Bool(ip::parse(text).is_ok()));
    is_canonical(_run: V::String(text)) parse_ip(text).map(|address| V::Bool(address.to_string() == **text));
    family(_run: V::Ip(address)) Ok(V::Int(if address.is_ipv4() { 4 } else { 6 }));
    is_unspecified(_run: V::Ip(address)) Ok(V::Bool(address.is_unspecified()));
    is_loopback(_run: V::Ip(address)) Ok(V::Bool(address.is_loopback()));
    is_link_local_multicast(_run: V::Ip(address)) Ok(V::Bool(link_local_multicast(*address)));
    is_link_local_unicast(_run: V::Ip(address)) Ok(V::Bool(link_local_unicast(*address)));
    is_global_unicast(_run: V::Ip(address)) Ok(V::Bool(global_unicast(*address)));
    cidr(_run: V::String(text)) parse_cidr(text).map(V::Cidr);
    is_cidr(_run: V::String(text)) Ok(V::Bool(Cidr::parse(text).is_some()));
    contains_ip(_run: V::Cidr(block), other) match other {
        V::Ip(address) => Ok(V::Bool(block.contains(*address))),
        V::String(text) => parse_ip(text).map(|address| V::Bool(block.contains(address))),
        _ => Err(Stop::overload("containsIP")),
    };
    contains_cidr(_run: V::Cidr(block), other) {
        let other = match other {
            V::Cidr(other) => *other,
            V::String(text) => parse_cidr(text)?,
            _ => return Err(Stop::overload("containsCIDR")),
        };
        Ok(V::Bool(block.prefix_bits <= other.prefix_bits && block.contains(other.address)))
    };
    address(_run: V::Cidr(block)) Ok(V::Ip(block.address));
    masked_block(_run: V::Cidr(block)) Ok(V::Cidr(Cidr { address: masked(block.address, block.prefix_bits), ..*block }));
    prefix_length(_run: V::Cidr(block)) Ok(V::Int(block.prefix_bits.into()));
}

fn link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    }
}

fn link_local_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn global_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !broadcast && !address.is_unspecified() && !address.is_loopback() && !address.is_multicast() && !link_local_unicast(address)
}
