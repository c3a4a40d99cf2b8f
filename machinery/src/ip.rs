//! IP addresses and blocks of them, as API fields hold them. Texts that other software reads differently are
//! refused: leading zeros (octal to some), IPv4 within IPv6, host bits in a block.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses, such as `10.0.0.0/8`. Its address has no bits beyond the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    address: IpAddr,
    prefix_bits: u8,
}

/// Reads an address; the error says what is wrong with it.
pub fn parse(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| "must be an IP address, such as 10.9.8.7 or 2001:db8::ffff".to_owned())?;
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err("must not be an IPv4 address in IPv6 notation".to_owned()),
        _ => Ok(address),
    }
}

/// What is wrong with an address.
pub fn address(text: &str) -> Vec<String> {
    parse(text).err().into_iter().collect()
}

/// What is wrong with an address that has to be in its canonical form, as newer fields demand.
pub fn canonical_address(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(address) if address.to_string() == text => Vec::new(),
        Ok(address) => vec![format!("must be in canonical form ({address})")],
        Err(why) => vec![why],
    }
}

/// Reads an address as older fields do, whose texts may have leading zeros (which are not octal), or IPv4 within IPv6.
pub fn parse_loosely(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?;
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets).into())
}

/// What the writer of an address that is let pass is warned of, if anything.
pub fn address_concern(text: &str) -> Option<String> {
    let loose = parse_loosely(text)?;
    match parse(text) {
        Err(_) => Some(format!("the address {text:?} is not in a standard form; use {loose}")),
        Ok(address) if address.is_ipv6() && address.to_string() != text => {
            Some(format!("the address {text:?} should be in canonical form ({address})"))
        }
        Ok(_) => None,
    }
}

/// What the writer of a block that is let pass is warned of, if anything.
pub fn block_concern(text: &str) -> Option<String> {
    let block = Block::parse(text).ok()?;
    let canonical = block.to_string();
    (canonical != text).then(|| format!("the block {text:?} should be in canonical form ({canonical})"))
}

/// What is wrong with a block of addresses.
pub fn block(text: &str) -> Vec<String> {
    Block::parse(text).err().into_iter().collect()
}

impl Block {
    /// Reads `address/bits`; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shape = || "must be a block of addresses, such as 10.9.8.0/24 or 2001:db8::/64".to_owned();
        let (address, bits) = text.split_once('/').ok_or_else(shape)?;
        let address = parse(address)?;
        let prefix_bits: u8 = bits.parse().map_err(|_| shape())?;
        if prefix_bits.to_string() != bits || prefix_bits > width(address) {
            return Err(shape());
        }
        if masked(address, prefix_bits) != address {
            return Err(format!("must have no bits beyond the first {prefix_bits}"));
        }
        Ok(Self { address, prefix_bits })
    }

    /// Reads a block as older fields do: leading zeros and bits beyond the prefix do not count.
    pub fn parse_loosely(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address = parse_loosely(address)?;
        let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
        let prefix_bits: u8 = bits.parse().ok().filter(|bits| digits && *bits <= width(address))?;
        Some(Self { address: masked(address, prefix_bits), prefix_bits })
    }

    pub fn address(self) -> IpAddr {
        self.address
    }

    pub fn prefix_bits(self) -> u8 {
        self.prefix_bits
    }

    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && masked(address, self.prefix_bits) == self.address
    }

    /// How many addresses there are, at most [`u128::MAX`].
    pub fn size(self) -> u128 {
        let host_bits = width(self.address) - self.prefix_bits;
        1u128.checked_shl(host_bits.into()).unwrap_or(u128::MAX)
    }

    /// The address at `offset` from the first.
    pub fn nth(self, offset: u128) -> Option<IpAddr> {
        if offset >= self.size() {
            return None;
        }
        Some(match self.address {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits() | u32::try_from(offset).ok()?).into(),
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() | offset).into(),
        })
    }
}

impl std::fmt::Display for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address without what is beyond the prefix, which is at most its width.
fn masked(address: IpAddr, prefix_bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix_bits.into())).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(prefix_bits.into())).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert!(address("10.0.0.1").is_empty() && address("2001:DB8::0:1").is_empty());
        for text in ["", "10.0.0", "10.0.0.01", "10.0.0.256", "::ffff:10.0.0.1", "fe80::1%eth0", "10.0.0.1/32", " 10.0.0.1"] {
            assert_eq!(address(text).len(), 1, "{text}");
        }
        assert!(canonical_address("2001:db8::1").is_empty());
        assert_eq!(canonical_address("2001:DB8::0:1"), ["must be in canonical form (2001:db8::1)"]);
        assert_eq!(parse_loosely("010.0.00.1"), Some([10, 0, 0, 1].into()));
        assert_eq!(parse_loosely("::ffff:10.0.0.1"), Some([10, 0, 0, 1].into()));
        for text in ["", "10.0.0", "10.0.0.", "10.0.0.256", "10.0.0.1.2", "10.0.0.+1", "x"] {
            assert_eq!(parse_loosely(text), None, "{text}");
        }
        for text in ["FD00::1", "010.0.0.1", "::ffff:10.0.0.1"] {
            assert!(address_concern(text).is_some(), "{text}");
        }
        assert!(address_concern("fd00::1").is_none() && address_concern("10.0.0.1").is_none() && address_concern("x").is_none());
        assert!(block_concern("FD00::/8").is_some() && block_concern("fd00::/8").is_none() && block_concern("x").is_none());
    }

    #[test]
    fn blocks() {
        let services = Block::parse("10.96.0.0/12").unwrap();
        assert!(services.contains("10.111.255.255".parse().unwrap()) && !services.contains("10.112.0.0".parse().unwrap()));
        assert!(!services.contains("::a60:0".parse().unwrap()));
        assert_eq!((services.size(), services.to_string().as_str()), (1 << 20, "10.96.0.0/12"));
        assert_eq!(services.nth(257), Some("10.96.1.1".parse().unwrap()));
        assert_eq!(services.nth(1 << 20), None);
        let all = Block::parse("::/0").unwrap();
        assert!(all.contains("fe80::1".parse().unwrap()) && all.size() == u128::MAX);
        assert_eq!(Block::parse("10.0.0.1/32").unwrap().size(), 1);
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.1/24", "10.0.0.0/+8", "::/129", "x/8", "/8", "10.0.0.0/"] {
            assert_eq!(block(text).len(), 1, "{text}");
        }
    }
}
