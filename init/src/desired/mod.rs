//! What the machine is to be: its config, its platform's word and its identity brought together. Pure; nothing is looked at or changed.
//!
//! What a config says outranks what the platform says; what neither says has its default here.

mod etc;
mod registry;
mod role;
mod units;

pub use etc::{Content, EtcFile};
pub(crate) use units::unit as service_unit;

use crate::cluster;
use crate::config::platform::Platform;
use crate::install::Wish;
use crate::network::desired::Desired as Network;
use crate::services::Unit;
use kmimage_contract::cmdline::Purpose;
use kmimage_contract::machine_config::{MachineConfig, Secret};
use kmimage_contract::paths;
use serde::Serialize;
use std::collections::BTreeMap;

/// What the wish is made of.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The machine config; its default where there is none.
    pub config: &'a MachineConfig,
    /// What the platform says.
    pub platform: &'a Platform,
    /// The machine's id: 32 hexadecimal digits.
    pub machine_id: &'a str,
    /// What the machine was started for.
    pub purpose: &'a Purpose,
}

/// What the machine is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// Its name.
    pub hostname: Hostname,
    /// Modules to load, in order.
    pub modules: Vec<String>,
    /// Kernel parameters: the path below /proc/sys and the value.
    pub sysctls: Vec<(String, String)>,
    /// Files and links of /etc that the image doesn't have so, by their path.
    pub etc: BTreeMap<String, EtcFile>,
    /// Files that init's children read, by their path. They may hold secrets.
    pub inputs: BTreeMap<&'static str, Secret>,
    /// The config's services.
    pub services: BTreeMap<String, Unit>,
}

/// A name of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hostname {
    /// The name.
    pub name: String,
    /// Who says it: `config`, `platform`, or `default`, which DHCP's word outranks.
    pub source: &'static str,
}

/// What the child `time` is to do.
#[derive(Serialize)]
struct Time<'a> {
    servers: &'a [String],
}

/// What the child `log` is to do.
#[derive(Serialize)]
struct Log<'a> {
    receiver: Option<String>,
    hostname: &'a str,
}

/// Brings everything together.
pub fn desired(inputs: Inputs<'_>) -> Result<Desired, serde_json::Error> {
    let Inputs { config, platform, machine_id, purpose } = inputs;
    let hostname = hostname(config, platform, machine_id);
    let network = network(config, platform, &hostname, machine_id);
    let text = |json: serde_json::Result<String>| json.map(Secret::new);
    let log = Log { receiver: config.log.as_ref().map(ToString::to_string), hostname: &hostname.name };
    let volumes: Vec<_> = config
        .volumes
        .iter()
        .map(|volume| serde_json::json!({ "name": volume.name, "disk": volume.disk, "path": volume.path }))
        .collect();
    let services = units::services(config);
    let mut etc = registry::files(&config.registry)?;
    etc.extend(etc::files(config, machine_id));
    let inputs = BTreeMap::from([
        (paths::NETWORK, text(serde_json::to_string(&network))?),
        (paths::TIME, text(serde_json::to_string(&Time { servers: &config.time_servers }))?),
        (paths::LOG, text(serde_json::to_string(&log))?),
        (paths::VOLUMES, text(serde_json::to_string(&volumes))?),
        (paths::UNITS, text(serde_json::to_string(&services))?),
        (paths::CLUSTER, text(cluster::input::write(config, platform.provider_id.as_deref()))?),
        (paths::INSTALL, text(serde_json::to_string(&Wish::of(purpose, config.install.as_ref())))?),
        (paths::PROXIES, text(serde_json::to_string(&units::proxies(config.proxy.as_ref())))?),
    ]);
    Ok(Desired {
        modules: config.modules.clone(),
        sysctls: config.sysctls.iter().map(|(sysctl, value)| (sysctl.path().to_owned(), value.clone())).collect(),
        etc,
        inputs,
        services,
        hostname,
    })
}

fn hostname(config: &MachineConfig, platform: &Platform, machine_id: &str) -> Hostname {
    let from = |name: &Option<String>, source| name.clone().map(|name| Hostname { name, source });
    from(&config.hostname, "config").or_else(|| from(&platform.hostname, "platform")).unwrap_or_else(|| {
        let id8: String = machine_id.chars().take(8).collect();
        Hostname { name: format!("kmimage-{id8}"), source: "default" }
    })
}

/// A config that names links has the last word on them; one that names none leaves them to the platform. So with resolvers and
/// domains.
fn network(config: &MachineConfig, platform: &Platform, hostname: &Hostname, machine_id: &str) -> Network {
    let mut network = config.network.clone();
    if let Some(platform) = &platform.network {
        if network.links_are_default() {
            network.interfaces.clone_from(&platform.interfaces);
            network.vlans.clone_from(&platform.vlans);
            network.bonds.clone_from(&platform.bonds);
            network.bridges.clone_from(&platform.bridges);
        }
        if network.nameservers.is_empty() {
            network.nameservers.clone_from(&platform.nameservers);
        }
        if network.search.is_empty() {
            network.search.clone_from(&platform.search);
        }
        for (address, names) in &platform.hosts {
            network.hosts.entry(*address).or_insert_with(|| names.clone());
        }
    }
    let hostname = Some(hostname).filter(|hostname| hostname.source != "default").map(|hostname| hostname.name.clone());
    Network { hostname, machine_id: Some(machine_id.to_owned()), network }
}

#[cfg(test)]
mod tests;
