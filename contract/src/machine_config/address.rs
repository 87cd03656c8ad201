//! Link-layer and IP addresses as machine configs and the network's own files write them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The hardware address of a network link: six bytes, written `52:54:00:12:34:56`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MacAddress(pub [u8; 6]);

/// An IP address with the length of its prefix: an address of an interface (`10.0.0.5/24`), or a network (`10.0.0.0/24`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no address. Its text begins with the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a hardware address.
    #[error("`{0}` is no MAC address: six pairs of hexadecimal digits, such as \"52:54:00:12:34:56\"")]
    Mac(String),
    /// An address alone.
    #[error("`{0}` has no prefix length: write it as \"{0}/{1}\" or with that of its network")]
    NoPrefix(IpAddr, u8),
    /// Neither.
    #[error("`{0}` is no address with a prefix length, such as \"10.0.0.5/24\" or \"2001:db8::5/64\"")]
    Cidr(String),
    /// A prefix longer than the address.
    #[error("`{0}`: an address of this family has a prefix of {1} bits at most")]
    Prefix(String, u8),
}

impl Cidr {
    /// An address and its prefix length. `None`: the family has fewer bits.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= bits(address)).then_some(Self { address, prefix })
    }

    /// The address as written, bits below the prefix and all.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix length in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The same prefix with all bits below it zero.
    pub fn network(&self) -> Self {
        Self { address: cut(self.address, self.prefix), prefix: self.prefix }
    }

    /// Whether an address lies in this network. Never, when the families differ.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && cut(address, self.prefix) == self.network().address
    }
}

/// The bits of an address of this family.
fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// An address with all bits below the prefix zero.
fn cut(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

impl FromStr for Cidr {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bad = || AddressError::Cidr(text.to_owned());
        let Some((address, prefix)) = text.split_once('/') else {
            return Err(text.parse().map_or_else(|_| bad(), |address| AddressError::NoPrefix(address, bits(address))));
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad());
        }
        let too_long = || AddressError::Prefix(text.to_owned(), bits(address));
        prefix.parse().ok().and_then(|prefix| Self::new(address, prefix)).ok_or_else(too_long)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for MacAddress {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bad = || AddressError::Mac(text.to_owned());
        let mut bytes = [0; 6];
        let mut pairs = text.split([':', '-']);
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
            *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(bad)?;
        }
        if pairs.next().is_some() { Err(bad()) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

impl TryFrom<String> for MacAddress {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl TryFrom<String> for Cidr {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_contain_their_addresses() {
        let check = |network: &str, address: &str, inside: bool| {
            assert_eq!(cidr(network).contains(address.parse().unwrap()), inside, "{address} in {network}");
        };
        check("10.0.0.5/24", "10.0.0.255", true);
        check("10.0.0.5/24", "10.0.1.0", false);
        check("0.0.0.0/0", "255.255.255.255", true);
        check("10.0.0.5/32", "10.0.0.5", true);
        check("10.0.0.5/32", "10.0.0.4", false);
        check("0.0.0.0/0", "::", false);
        check("::/0", "ffff::1", true);
        check("2001:db8::1/64", "2001:db8::ffff:1", true);
        check("2001:db8::1/64", "2001:db8:0:1::1", false);
        check("2001:db8::1/128", "2001:db8::1", true);
        assert_eq!(cidr("10.1.2.3/20").network().to_string(), "10.1.0.0/20");
    }

    #[test]
    fn texts_that_are_none_say_why() {
        let check = |text: &str, expect: &str| assert_eq!(text.parse::<Cidr>().unwrap_err().to_string(), expect);
        check("10.0.0.5", "`10.0.0.5` has no prefix length: write it as \"10.0.0.5/32\" or with that of its network");
        check("10.0.0.5/33", "`10.0.0.5/33`: an address of this family has a prefix of 32 bits at most");
        check("fe80::/999", "`fe80::/999`: an address of this family has a prefix of 128 bits at most");
        for text in ["", "/", "10.0.0/24", "10.0.0.5/", "10.0.0.5/+8", "10.0.0.5/24/1", "010.0.0.1/8", "x/8"] {
            check(text, &AddressError::Cidr(text.to_owned()).to_string());
        }
        for text in ["", "52:54:00:12:34", "52:54:00:12:34:56:78", "5:254:00:12:34:56", "52:54:00:12:34:5g", "+2:54:00:12:34:56"]
        {
            assert_eq!(text.parse::<MacAddress>(), Err(AddressError::Mac(text.to_owned())));
        }
        assert_eq!("52-54-00-AB-cd-ef".parse::<MacAddress>().unwrap().to_string(), "52:54:00:ab:cd:ef");
    }
}
