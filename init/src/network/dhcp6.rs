//! DHCPv6 on one link: mozim's client, which asks, renews and rebinds; what it doesn't do is here.
//!
//! It runs only where a router's advertisement says that addresses come by DHCPv6 (the M flag). Where it says that of everything but
//! addresses (the O flag alone), that is `information`'s.

use super::leases::Lease6;
use super::{information, names};
use mozim::{DhcpV6Client, DhcpV6Config, DhcpV6Duid, DhcpV6DuidUuid, DhcpV6Lease, DhcpV6Mode, DhcpV6State};
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How long a client that failed waits.
const PAUSE: Duration = Duration::from_secs(5);

/// What a client says when something has changed: the link's index, the lease, its state in a word.
pub(crate) type Report = (u32, Option<Lease6>, &'static str);

/// What a client needs to know of its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) link_local: Ipv6Addr,
    pub(crate) mac: [u8; 6],
    pub(crate) asks: Asks,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// An address, and all else.
    Address,
    /// All else alone.
    Information,
}

/// Runs a client on a link until it is dropped. When the carrier was away it asks anew, and the address stays until there is an answer
/// or the lease ends.
pub(crate) async fn run(
    link: Link,
    duid: Option<[u8; 16]>,
    mut carrier: watch::Receiver<bool>,
    reports: mpsc::UnboundedSender<Report>,
) {
    if link.asks == Asks::Information {
        let identifier = identifier(&link, duid);
        return information::run(link, identifier, carrier, reports).await;
    }
    let mut lease: Option<(DhcpV6Lease, Instant)> = None;
    loop {
        while !*carrier.borrow_and_update() {
            if carrier.changed().await.is_err() {
                return;
            }
        }
        let Ok(mut client) = DhcpV6Client::init(config(&link, duid), None).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let mut word = "soliciting";
        loop {
            lease = lease.filter(|(_, end)| *end > Instant::now());
            if reports.send((link.index, lease.as_ref().map(|(lease, _)| plain(lease)), word)).is_err() {
                return;
            }
            let state = tokio::select! {
                state = client.run() => state,
                changed = carrier.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    break;
                }
            };
            word = match &state {
                Ok(DhcpV6State::Done(granted)) => {
                    lease = Some(((**granted).clone(), Instant::now() + Duration::from_secs(u64::from(granted.valid_time_sec))));
                    "bound"
                }
                Ok(DhcpV6State::Renew) => "renewing",
                Ok(DhcpV6State::Rebind) => "rebinding",
                Ok(DhcpV6State::Request) => "requesting",
                Ok(_) => "soliciting",
                Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    client.clean_up();
                    "failed"
                }
            };
        }
    }
}

fn config(link: &Link, duid: Option<[u8; 16]>) -> DhcpV6Config {
    let mut config = DhcpV6Config::new(&link.name, DhcpV6Mode::NonTemporaryAddresses);
    config.set_iface_index(link.index).set_link_local_ip(link.link_local);
    // One association per card: it keeps its number where others come and go.
    let [.., a, b, c, d] = link.mac;
    config.set_iaid(u32::from_be_bytes([a, b, c, d]));
    match duid {
        // DUID-UUID (RFC 6355). As such: mozim holds it against what comes back by its kind, so that the same bytes as `Raw` never match.
        Some(id) => config.set_duid(DhcpV6Duid::UUID(DhcpV6DuidUuid::new(u128::from_be_bytes(id)))),
        None => config.set_duid_by_iface_mac(&link.mac),
    };
    config
}

/// The machine's identifier as it is sent: of its id (DUID-UUID), else of the card (DUID-LL, Ethernet).
fn identifier(link: &Link, duid: Option<[u8; 16]>) -> Vec<u8> {
    duid.map_or_else(|| [&[0, 3, 0, 1][..], &link.mac].concat(), |id| [&[0, 4][..], &id].concat())
}

fn plain(lease: &DhcpV6Lease) -> Lease6 {
    let names = |names: &[String]| -> Vec<String> {
        let trimmed = names.iter().map(|name| name.trim_end_matches('.'));
        trimmed.filter(|name| names::is_domain(name)).map(str::to_owned).collect()
    };
    let server = |text: &&String| text.parse::<Ipv6Addr>().is_ok() || names::is_domain(text);
    Lease6 {
        address: Some(lease.address),
        dns: lease.dns_srvs.clone(),
        search: names(&lease.domain_list),
        ntp: lease.ntp_srvs.iter().filter(server).cloned().collect(),
    }
}
