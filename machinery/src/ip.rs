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
