//! [`AddressRange`]: the addresses of a block that Services may have, by their offset from its base.

use std::net::IpAddr;

use api::core::service::allocation::Family;
use machinery::ip::Block;

/// A block of addresses. Its first one, and in IPv4 its last one, are nobody's.
#[derive(Clone, Copy, Debug)]
pub struct AddressRange {
    block: Block,
    /// One more than the largest offset.
    end: u128,
}

/// Larger blocks are used in part: nobody has that many Services.
const MOST: u128 = 1 << 20;

impl AddressRange {
    /// Reads `10.96.0.0/12`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let block = Block::parse(text.trim())?;
        let broadcast = u128::from(block.address().is_ipv4());
        let end = block.size().saturating_sub(broadcast).min(MOST);
        if end < 2 { Err(format!("{text:?} has no addresses for Services")) } else { Ok(Self { block, end }) }
    }

    pub fn family(&self) -> Family {
        Family::of(self.block.address())
    }

    /// One more than the largest offset; the smallest is 1.
    pub fn end(&self) -> usize {
        // At most `MOST`.
        usize::try_from(self.end).unwrap_or(usize::MAX)
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let last = self.block.size() - 1;
        let is_edge = self.block.nth(0) == Some(address) || (address.is_ipv4() && self.block.nth(last) == Some(address));
        self.block.contains(address) && !is_edge
    }

    pub fn at(&self, offset: usize) -> Option<IpAddr> {
        self.block.nth(offset as u128)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranges_know_their_addresses() {
        let range = AddressRange::parse("10.96.0.0/24").unwrap();
        assert_eq!(range.at(1).unwrap().to_string(), "10.96.0.1");
        assert_eq!(range.end(), 255);
        assert!(range.contains("10.96.0.254".parse().unwrap()));
        assert!(!range.contains("10.96.0.255".parse().unwrap()), "the broadcast address");
        assert!(!range.contains("10.96.0.0".parse().unwrap()), "the network's own address");
        assert!(AddressRange::parse("10.96.0.0/33").is_err());
        assert!(AddressRange::parse("fd00::/108").unwrap().contains("fd00::1".parse().unwrap()));
    }
}
