//! The loop: something happens, the plan is made anew and carried out, and process 1 is told what has changed.

use super::dhcp4::{self, machine::Client};
use super::kernel::{self, Physical};
use super::leases::Leases;
use super::observed::Observed;
use super::router::{self, Known};
use super::watched::watched;
use super::wish::{Wish, Wishes, wishes};
use super::{apply, desired::Desired, dhcp6, files, memory, plan, report, resolver};
use crate::failure::chain;
use kmimage_contract::machine_config::MacAddress;
use kmimage_contract::paths;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::clock;
use kmimage_sys::router_options::RouterOptionsSocket;
use rtnetlink::{Handle, MulticastGroup};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How often a plan follows upon a plan at once: making a link, what lies over it, its addresses, and once more for what was in the way.
const ROUNDS: usize = 8;
/// How long to wait before what failed is tried again: doubled each time, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Why the child can't do its work; it is started anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    /// No event loop, socket or signal handler.
    #[error("starting the network")]
    Start(#[source] io::Error),
    /// The kernel doesn't say what there is.
    #[error("asking the kernel for links, addresses and routes")]
    Observe(#[source] rtnetlink::Error),
    /// The kernel announces nothing any more.
    #[error("the kernel's announcements ended")]
    Ended,
}

/// The clients of a link. Dropped, they end.
struct Clients {
    mac: MacAddress,
    carrier: watch::Sender<bool>,
    ipv4: Option<JoinHandle<()>>,
    ipv6: Option<(dhcp6::Link, JoinHandle<()>)>,
}

impl Drop for Clients {
    fn drop(&mut self) {
        for task in self.ipv4.iter().chain(self.ipv6.iter().map(|(_, task)| task)) {
            task.abort();
        }
    }
}

struct Network {
    handle: Handle,
    physical: Physical,
    desired: Desired,
    clients: BTreeMap<u32, Clients>,
    leases: Leases,
    routers: BTreeMap<u32, Known>,
    reports4: mpsc::UnboundedSender<(u32, dhcp4::Report)>,
    reports6: mpsc::UnboundedSender<dhcp6::Report>,
    said: Said,
    /// Tries that failed one behind the other.
    failures: u32,
    /// When to try again what failed; a time since the machine's start.
    retry_at: Option<Duration>,
}

/// The lines that were said last.
#[derive(Default)]
struct Said {
    interfaces: BTreeMap<u32, StateLine>,
    /// What it waited for; empty, when it was usable.
    waiting: Option<String>,
    hostname: Option<String>,
    error: String,
}

/// Runs until SIGTERM.
pub(crate) async fn run(physical: Physical) -> Result<(), NetworkError> {
    let start = NetworkError::Start;
    let mut term = signal(SignalKind::terminate()).map_err(start)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(start)?;
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
        MulticastGroup::Ipv6Ifinfo,
    ];
    // Announcements have a socket of their own: a flood of them must not cost an answer.
    let (announcing, _, mut announcements) = rtnetlink::new_multicast_connection(&groups).map_err(start)?;
    let (asking, handle, _) = rtnetlink::new_connection().map_err(start)?;
    tokio::spawn(announcing);
    tokio::spawn(asking);
    let options = RouterOptionsSocket::open().and_then(watched).map_err(start)?;
    let (reports4, mut leases4) = mpsc::unbounded_channel();
    let (reports6, mut leases6) = mpsc::unbounded_channel();
    let mut network = Network {
        handle,
        physical,
        desired: read_desired(),
        clients: BTreeMap::new(),
        leases: Leases::new(),
        routers: BTreeMap::new(),
        reports4,
        reports6,
        said: Said::default(),
        failures: 0,
        retry_at: None,
    };
    network.converge().await?;
    loop {
        let alarm = network.alarm();
        let look = tokio::select! {
            _ = term.recv() => return Ok(()),
            _ = hangup.recv() => {
                network.desired = read_desired();
                network.failures = 0;
                true
            }
            message = announcements.recv() => {
                let (message, _) = message.map_err(|_| NetworkError::Ended)?;
                let managed = |link| network.said.interfaces.contains_key(&link);
                let mut look = kernel::matters(&message, physical, managed);
                // Whatever else has come: one look is enough for all.
                while let Ok((message, _)) = announcements.try_recv() {
                    look |= kernel::matters(&message, physical, managed);
                }
                look
            }
            Some((link, report)) = leases4.recv() => network.take_ipv4(link, report),
            Some((link, lease, state)) = leases6.recv() => {
                let known = network.leases.entry(link).or_default();
                (known.ipv6, known.ipv6_state) = (lease, Some(state));
                true
            }
            options = router::receive(&options) => network.take_options(&options.map_err(NetworkError::Start)?),
            () = tokio::time::sleep(alarm.unwrap_or(Duration::MAX)), if alarm.is_some() => true,
        };
        if look {
            network.converge().await?;
        }
    }
}

/// The input; an unreadable one leaves the defaults, and says so.
fn read_desired() -> Desired {
    let text = match std::fs::read(paths::NETWORK) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Desired::default(),
        Err(error) => return unreadable(&error),
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| unreadable(&error))
}

fn unreadable(error: &dyn std::error::Error) -> Desired {
    say(&StateLine::new(report::STATE).with("error", format!("{}: {}", paths::NETWORK, chain(error))));
    Desired::default()
}

impl Network {
    /// Plans and acts until there is nothing left to do, then says what has changed.
    async fn converge(&mut self) -> Result<(), NetworkError> {
        let mut error = String::new();
        let mut rounds = 0;
        let (observed, wishes) = loop {
            let observed = kernel::observe(&self.handle, self.physical).await.map_err(NetworkError::Observe)?;
            self.run_clients(&observed);
            let wishes = wishes(&self.desired, &observed, &self.leases);
            let actions = plan::plan(&wishes, &observed);
            // What was refused in this call is tried again later, not at once.
            if actions.is_empty() || rounds == ROUNDS || !error.is_empty() {
                if error.is_empty() && !actions.is_empty() {
                    error = format!("{} steps don't last", actions.len());
                }
                break (observed, wishes);
            }
            rounds += 1;
            for action in &actions {
                if let Err(failure) = apply::apply(&self.handle, action).await
                    && error.is_empty()
                {
                    error = chain(&failure);
                }
            }
        };
        self.failures = if error.is_empty() { 0 } else { self.failures.saturating_add(1) };
        let pause = |failures: u32| (RETRY.0 * (1 << (failures - 1).min(6))).min(RETRY.1);
        self.retry_at = (self.failures > 0).then(|| clock::since_boot() + pause(self.failures));
        if let Err(failure) = self.write_files(&observed, &wishes)
            && error.is_empty()
        {
            error = format!("writing {}: {failure}", paths::NET);
        }
        self.tell(&observed, &wishes, error);
        Ok(())
    }

    /// When to look again though nothing happens.
    fn alarm(&self) -> Option<Duration> {
        let now = clock::since_boot();
        let end = self.routers.values().filter_map(|known| known.next_end(now)).min().map(|end| end.saturating_sub(now));
        let retry = self.retry_at.map(|at| at.saturating_sub(now));
        [end, retry].into_iter().flatten().min()
    }

    fn take_ipv4(&mut self, link: u32, report: dhcp4::Report) -> bool {
        // A client that has ended meanwhile has nothing to say.
        let Some(clients) = self.clients.get(&link).filter(|clients| clients.ipv4.is_some()) else { return false };
        if let Some(lease) = &report.lease {
            // Only the next boot is slower without.
            let _ = memory::remember(clients.mac, lease.address);
        }
        let known = self.leases.entry(link).or_default();
        (known.ipv4, known.confirming, known.ipv4_state) = (report.lease, report.confirming, Some(report.state));
        true
    }

    fn take_options(&mut self, options: &[router::Advice]) -> bool {
        let now = clock::since_boot();
        for option in options {
            self.routers.entry(option.link).or_default().take(option, now);
        }
        true
    }

    /// Starts and ends clients as the links are, and tells them of the carrier.
    fn run_clients(&mut self, observed: &Observed) {
        let now = clock::since_boot();
        // Which links ask for what doesn't depend on what they got.
        let wanted = wishes(&self.desired, observed, &Leases::new());
        let here =
            |index: &u32| wanted.links.iter().any(|wish| wish.index == *index).then(|| observed.links.get(index)).flatten();
        self.clients.retain(|index, clients| here(index).is_some_and(|link| link.mac == Some(clients.mac)));
        self.routers.retain(|index, _| observed.links.contains_key(index));
        for wish in &wanted.links {
            let Some(link) = observed.links.get(&wish.index) else { continue };
            let Some(mac) = link.mac else { continue };
            let clients = self.clients.entry(wish.index).or_insert_with(|| Clients {
                mac,
                carrier: watch::Sender::new(link.carrier),
                ipv4: None,
                ipv6: None,
            });
            clients.carrier.send_if_modified(|carrier| std::mem::replace(carrier, link.carrier) != link.carrier);
            if !wish.dhcp.ipv4() {
                clients.ipv4.take().iter().for_each(JoinHandle::abort);
            } else if clients.ipv4.is_none() {
                // What this program gave the link before it was started anew, or what the link had at the last boot.
                let last = held(observed, wish).or_else(|| memory::recall(mac));
                self.leases.entry(wish.index).or_default().confirming = last;
                let client = Client::new(mac.0, self.desired.hostname.clone(), last);
                clients.ipv4 =
                    Some(tokio::spawn(dhcp4::run(wish.index, client, clients.carrier.subscribe(), self.reports4.clone())));
            }
            let asks = link.ipv6.filter(|_| wish.dhcp.ipv6()).and_then(|ipv6| match (ipv6.managed, ipv6.informed) {
                (true, _) => Some(dhcp6::Asks::Address),
                (false, true) => Some(dhcp6::Asks::Information),
                (false, false) => None,
            });
            let here = link_local(observed, wish.index).zip(asks).map(|(link_local, asks)| dhcp6::Link {
                index: wish.index,
                name: link.name.clone(),
                link_local,
                mac: mac.0,
                asks,
            });
            let known = clients.ipv6.as_ref().map(|(link, _)| link);
            // Without carrier its link-local address may go; the client waits.
            if known != here.as_ref() && (link.carrier || asks.is_none()) {
                clients.ipv6.take().iter().for_each(|(_, task)| task.abort());
                clients.ipv6 = here.map(|link| {
                    let duid = self.desired.machine_id.as_deref().and_then(duid);
                    let task = tokio::spawn(dhcp6::run(link.clone(), duid, clients.carrier.subscribe(), self.reports6.clone()));
                    (link, task)
                });
            }
        }
        let clients = &self.clients;
        self.leases.retain(|index, _| clients.contains_key(index));
        for (index, clients) in clients {
            let lease = self.leases.entry(*index).or_default();
            if clients.ipv4.is_none() {
                (lease.ipv4, lease.confirming, lease.ipv4_state) = (None, None, None);
            }
            if clients.ipv6.is_none() {
                (lease.ipv6, lease.ipv6_state) = (None, None);
            }
            lease.router = self.routers.get(index).map(|known| known.at(now)).unwrap_or_default();
        }
    }

    fn write_files(&self, observed: &Observed, wishes: &Wishes) -> io::Result<()> {
        let folder = Path::new(paths::NET);
        std::fs::create_dir_all(folder)?;
        let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let hostname = self.desired.hostname.as_deref().unwrap_or(kernel.trim_end());
        let own = resolver::own_address(observed, wishes);
        files::update(&folder.join("resolv.conf"), resolver::resolv_conf(&self.desired, wishes, &self.leases).as_bytes())?;
        files::update(&folder.join("hosts"), resolver::hosts(&self.desired, hostname, own).as_bytes())?;
        files::update(&folder.join("ntp.json"), resolver::time_servers(wishes, &self.leases).as_bytes())
    }

    fn tell(&mut self, observed: &Observed, wishes: &Wishes, error: String) {
        let line = || StateLine::new(report::STATE);
        let interfaces = report::interfaces(wishes, observed, &self.leases);
        for (index, said) in &self.said.interfaces {
            if !interfaces.contains_key(index) {
                say(&line().with("interface", said.get("interface").unwrap_or_default()).with("state", "gone"));
            }
        }
        for (index, interface) in &interfaces {
            if self.said.interfaces.get(index) != Some(interface) {
                say(interface);
            }
        }
        self.said.interfaces = interfaces;
        let hostname = resolver::hostname(wishes, &self.leases).map(str::to_owned);
        if let Some(hostname) = hostname.as_ref().filter(|hostname| self.said.hostname.as_ref() != Some(hostname)) {
            say(&line().with("hostname", hostname));
        }
        self.said.hostname = hostname;
        if !error.is_empty() && error != self.said.error {
            say(&line().with("error", &error));
        }
        self.said.error = error;
        let waiting = report::waiting(&self.desired, wishes, observed).join("; ");
        if self.said.waiting.as_ref() != Some(&waiting) {
            let usable = line().with("usable", if waiting.is_empty() { "yes" } else { "no" });
            say(&if waiting.is_empty() { usable } else { usable.with("waiting", &waiting) });
        }
        self.said.waiting = Some(waiting);
    }
}

/// The IPv4 address of ours that a link has beside those that are fixed.
fn held(observed: &Observed, fixed: &Wish) -> Option<Ipv4Addr> {
    let ours = observed.addresses.iter().filter(|address| address.link == fixed.index && address.ours);
    ours.filter(|address| !fixed.addresses.contains(&address.cidr)).find_map(|address| match address.cidr.address() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    })
}

/// The address that DHCPv6 is spoken from.
fn link_local(observed: &Observed, link: u32) -> Option<Ipv6Addr> {
    observed.addresses.iter().filter(|address| address.link == link && address.usable).find_map(|address| {
        match address.cidr.address() {
            IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
            _ => None,
        }
    })
}

/// A machine's DHCPv6 identifier: made from the machine id, which itself is nobody's to know (machine-id(5)).
fn duid(machine_id: &str) -> Option<[u8; 16]> {
    let id = uuid::Uuid::try_parse(machine_id).ok()?;
    let sum = Sha256::new().chain_update("kmimage: DUID\0").chain_update(id.as_bytes()).finalize();
    sum.first_chunk().copied()
}

/// One line for process 1.
fn say(line: &StateLine) {
    let mut output = io::stdout().lock();
    // A reader that is gone is process 1, and then nothing matters.
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
