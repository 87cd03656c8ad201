//! What a machine's network is to be: the value of `[network]`, and of a platform's own network config turned into the same terms.
//!
//! It travels as JSON from init to its child `network`. [`Network::faults`] judges what no single value shows; the rules hold for
//! every source alike.

mod faults;

pub use faults::{Fault, Part, Place};

use super::address::{Cidr, MacAddress};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// Links, addresses, routes, and how names are resolved.
///
/// Without any link the machine takes its addresses from DHCP and router advertisements on every physical link with a carrier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// DNS servers, in the order to ask. None: those that DHCP and router advertisements name.
    pub nameservers: Vec<IpAddr>,
    /// Domains to complete short names with. None: those that DHCP names.
    pub search: Vec<String>,
    /// Names of other hosts, for /etc/hosts.
    pub hosts: BTreeMap<IpAddr, Vec<String>>,
    /// Physical links.
    pub interfaces: Vec<Interface>,
    /// VLANs.
    pub vlans: Vec<Vlan>,
    /// Bonds.
    pub bonds: Vec<Bond>,
    /// Bridges.
    pub bridges: Vec<Bridge>,
}

impl Network {
    /// Whether no link is named, so that the defaults hold.
    pub fn links_are_default(&self) -> bool {
        self.interfaces.is_empty() && self.vlans.is_empty() && self.bonds.is_empty() && self.bridges.is_empty()
    }

    /// Every link by name, with its addressing.
    pub fn links(&self) -> impl Iterator<Item = (&str, &Addressing)> {
        let interfaces = self.interfaces.iter().map(|link| (link.name.as_str(), &link.addressing));
        let vlans = self.vlans.iter().map(|link| (link.name.as_str(), &link.addressing));
        let bonds = self.bonds.iter().map(|link| (link.name.as_str(), &link.addressing));
        let bridges = self.bridges.iter().map(|link| (link.name.as_str(), &link.addressing));
        interfaces.chain(vlans).chain(bonds).chain(bridges)
    }
}

/// How a link gets its addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Addressing {
    /// Which addresses come from the network.
    pub dhcp: Dhcp,
    /// Fixed addresses, beside those.
    pub addresses: Vec<Cidr>,
    /// The largest packet in bytes. None: what the link has, or DHCP or a router says.
    pub mtu: Option<u32>,
    /// Fixed routes over this link.
    pub routes: Vec<Route>,
}

/// Which addresses come from the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Dhcp {
    /// DHCPv4.
    Ipv4,
    /// Router advertisements, and DHCPv6 where they ask for it.
    Ipv6,
    /// Both.
    Both,
    /// None.
    #[default]
    No,
}

impl Dhcp {
    /// Whether IPv4 addresses come by DHCPv4.
    pub fn ipv4(self) -> bool {
        matches!(self, Self::Ipv4 | Self::Both)
    }

    /// Whether IPv6 addresses come by router advertisements and DHCPv6.
    pub fn ipv6(self) -> bool {
        matches!(self, Self::Ipv6 | Self::Both)
    }
}

/// A fixed route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Route {
    /// Where to; its address has no bits below the prefix. `0.0.0.0/0` and `::/0` are the default routes.
    pub to: Cidr,
    /// The gateway. None: the destination is on the link itself.
    pub via: Option<IpAddr>,
    /// The lower, the rather it is taken. None: the kernel's default (0 for IPv4, 1024 for IPv6).
    pub metric: Option<u32>,
}

/// A physical link. Its kernel name stays; `name` is what others in the same network call it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Interface {
    /// What VLANs, bonds, bridges and state lines call it.
    pub name: String,
    /// Which link it is.
    #[serde(rename = "match")]
    pub matches: Match,
    /// How it gets its addresses.
    pub addressing: Addressing,
}

/// Which link an interface is: all that is said here must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Match {
    /// Its permanent hardware address.
    pub mac: Option<MacAddress>,
    /// Its kernel name (`ens3`), or a pattern: `*` is any text, `?` any character.
    pub name: Option<String>,
    /// Its kernel driver (`virtio_net`).
    pub driver: Option<String>,
}

impl Match {
    /// Whether a link fits.
    pub fn fits(&self, mac: Option<MacAddress>, name: &str, driver: Option<&str>) -> bool {
        let mac_fits = self.mac.is_none_or(|wanted| mac == Some(wanted));
        let name_fits = self.name.as_deref().is_none_or(|pattern| matches_pattern(pattern.as_bytes(), name.as_bytes()));
        let driver_fits = self.driver.as_deref().is_none_or(|wanted| driver == Some(wanted));
        mac_fits && name_fits && driver_fits
    }
}

/// `*` and `?` as a shell reads them. Linear in the text for each star.
fn matches_pattern(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last star was, and how much of the text it swallows so far.
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(from) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted == byte => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((star_at, swallowed)) = star else { return false };
                star = Some((star_at, swallowed + 1));
                at = star_at + 1;
                from = swallowed + 1;
            }
        }
    }
    pattern.iter().skip(at).all(|&byte| byte == b'*')
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mac = self.mac.map(|mac| format!("mac {mac}"));
        let name = self.name.as_ref().map(|name| format!("name {name}"));
        let driver = self.driver.as_ref().map(|driver| format!("driver {driver}"));
        f.write_str(&[mac, name, driver].into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// A VLAN (IEEE 802.1Q) over another link; its kernel name is `name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vlan {
    /// Its kernel name.
    pub name: String,
    /// Its number, 1 to 4094.
    pub id: u16,
    /// The link that carries it, by name: an interface, bond or bridge.
    pub over: String,
    /// How it gets its addresses.
    pub addressing: Addressing,
}

/// Several links that act as one; its kernel name is `name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bond {
    /// Its kernel name.
    pub name: String,
    /// How packets are spread.
    pub mode: BondMode,
    /// The interfaces in it, by name.
    pub members: Vec<String>,
    /// How it gets its addresses.
    pub addressing: Addressing,
}

/// How a bond spreads packets: the kernel's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum BondMode {
    /// One after the other.
    #[serde(rename = "balance-rr")]
    BalanceRr,
    /// One link, another when it fails.
    #[serde(rename = "active-backup")]
    ActiveBackup,
    /// By a hash of the addresses.
    #[serde(rename = "balance-xor")]
    BalanceXor,
    /// Over all at once.
    #[serde(rename = "broadcast")]
    Broadcast,
    /// LACP: the switch must do it, too.
    #[serde(rename = "802.3ad")]
    Lacp,
    /// By load when sending.
    #[serde(rename = "balance-tlb")]
    BalanceTlb,
    /// By load in both directions.
    #[serde(rename = "balance-alb")]
    BalanceAlb,
}

impl BondMode {
    /// The kernel's number for it (IFLA_BOND_MODE).
    pub fn number(self) -> u8 {
        match self {
            Self::BalanceRr => 0,
            Self::ActiveBackup => 1,
            Self::BalanceXor => 2,
            Self::Broadcast => 3,
            Self::Lacp => 4,
            Self::BalanceTlb => 5,
            Self::BalanceAlb => 6,
        }
    }
}

/// A switch in the kernel; its kernel name is `name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bridge {
    /// Its kernel name.
    pub name: String,
    /// The links in it, by name: interfaces, VLANs and bonds. May be empty.
    pub members: Vec<String>,
    /// How it gets its addresses.
    pub addressing: Addressing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        let check = |pattern: &str, name: &str, fits: bool| {
            let matches = Match { name: Some(pattern.to_owned()), ..Match::default() };
            assert_eq!(matches.fits(None, name, None), fits, "{pattern} on {name}");
        };
        check("ens3", "ens3", true);
        check("ens3", "ens33", false);
        check("en*", "ens3", true);
        check("en*", "eth0", false);
        check("*", "", true);
        check("e?s*", "ens3", true);
        check("e?s*", "es3", false);
        check("*s*f1", "enp1s0f0s1f1", true);
        check("a*b*c", "aXbYbZ", false);
        check("", "", true);
        check("", "x", false);
    }

    #[test]
    fn every_key_of_a_match_must_fit() {
        let mac = "52:54:00:12:34:56".parse().unwrap();
        let matches = Match { mac: Some(mac), name: None, driver: Some("virtio_net".to_owned()) };
        assert!(matches.fits(Some(mac), "ens3", Some("virtio_net")));
        assert!(!matches.fits(Some(mac), "ens3", Some("e1000")));
        assert!(!matches.fits(Some(mac), "ens3", None));
        assert!(!matches.fits(None, "ens3", Some("virtio_net")));
        assert_eq!(matches.to_string(), "mac 52:54:00:12:34:56, driver virtio_net");
    }
}
