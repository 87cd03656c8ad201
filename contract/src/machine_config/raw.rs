//! A machine config as written: what keys there are, and nothing more. The doc comments are the reference that users read
//! (docs/machine-config.md and the JSON schema are made from them).

mod cluster;
mod registry;

pub(super) use cluster::RawCluster;
pub(super) use registry::{RawCredentials, RawMirror, RawRegistry};

use super::install::AfterInstall;
use super::kubelet::RawSetting;
use super::model::Filesystem;
use super::network::{BondMode, Dhcp};
use super::secret::Secret;
use crate::toml_document::Located;
use serde::Deserialize;
use std::collections::BTreeMap;

pub(super) type Text = Located<String>;

/// What a machine is to be.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(title = "kmimage machine config"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawMachineConfig {
    /// The version of this format: `1`.
    #[expect(dead_code, reason = "judged before anything else is decoded")]
    pub version: Located<i64>,
    /// Who the machine is.
    #[serde(default)]
    pub machine: RawMachine,
    /// Links, addresses and names. Without any link every physical link with a carrier asks by DHCP and listens to router
    /// advertisements; with one, links that nobody names stay down.
    #[serde(default)]
    pub network: RawNetwork,
    /// The clock.
    #[serde(default)]
    pub time: RawTime,
    /// Kernel parameters by name, as in sysctl.d(5): `"net.ipv4.ip_forward" = "1"`. Where the first separator is a `/`, dots belong
    /// to names: `"net/ipv4/conf/eth0.10/forwarding"`. A value that kubelet's `protectKernelDefaults` would refuse is an error.
    #[serde(default)]
    pub sysctl: BTreeMap<Text, Text>,
    /// The kernel.
    #[serde(default)]
    pub kernel: RawKernel,
    /// Whom the machine trusts.
    #[serde(default)]
    pub trust: RawTrust,
    /// A file in /etc, owned by root. What kmimage makes itself there (`hosts`, `resolv.conf`, ...) has keys of its own.
    #[serde(default)]
    pub file: Vec<RawFile>,
    /// A further disk, given to the machine whole: made a file system once, if it is empty, and mounted at every boot.
    #[serde(default)]
    pub volume: Vec<RawVolume>,
    /// A program of the image that the machine keeps running.
    #[serde(default)]
    pub service: Vec<RawService>,
    /// Logs.
    #[serde(default)]
    pub log: RawLog,
    /// Which cluster the machine joins, and as what.
    pub cluster: Option<Located<RawCluster>>,
    /// Settings of kubelet: the keys of a KubeletConfiguration (kubelet.config.k8s.io/v1beta1) as it has them, such as `maxPods = 200`.
    /// They outrank those of the cluster (the ConfigMap kubelet-config); what the image depends on is refused by name.
    pub kubelet: Option<Located<BTreeMap<Text, RawSetting>>>,
    /// Where container images come from.
    pub registry: Option<Located<RawRegistry>>,
    /// Where an install medium installs this image. It has no effect on a machine that was not started from one. A disk
    /// with the finished installation of the same medium is left alone.
    pub install: Option<RawInstall>,
}

/// Who the machine is.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawMachine {
    /// The host's name: labels of lower-case letters, digits and `-` with dots between, 63 characters at most. By default the
    /// platform's (meta-data), else DHCP's, else `kmimage-` and the first eight digits of the machine's id.
    pub hostname: Option<Text>,
    /// The role of the image that this is for. An image of another role refuses it.
    pub role: Option<Text>,
}

/// Links, addresses and names.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawNetwork {
    /// Addresses of DNS servers, in the order to ask. By default those that DHCP and router advertisements name.
    #[serde(default)]
    pub nameservers: Vec<Text>,
    /// Domains that complete short names. By default those that DHCP names.
    #[serde(default)]
    pub search: Vec<Text>,
    /// Other hosts' names by address, for /etc/hosts: `hosts = { "10.0.0.5" = ["api.example.org", "api"] }`.
    #[serde(default)]
    pub hosts: BTreeMap<Text, Vec<Text>>,
    /// Proxies for what the machine fetches, and for its services.
    #[serde(default)]
    pub proxy: RawProxy,
    /// A physical link. It keeps its kernel name.
    #[serde(default)]
    pub interface: Vec<RawInterface>,
    /// A VLAN (IEEE 802.1Q) over another link.
    #[serde(default)]
    pub vlan: Vec<RawVlan>,
    /// Several links that act as one.
    #[serde(default)]
    pub bond: Vec<RawBond>,
    /// A switch in the kernel.
    #[serde(default)]
    pub bridge: Vec<RawBridge>,
}

/// Proxies for what the machine fetches, and for its services.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawProxy {
    /// The proxy for http:// addresses: `http://HOST:PORT`, a name and password before the host if it asks for them.
    pub http: Option<Located<Secret>>,
    /// The proxy for https:// addresses.
    pub https: Option<Located<Secret>>,
    /// Names, domains (`.example.org`), addresses and networks to reach without a proxy.
    #[serde(default)]
    pub no_proxy: Vec<Text>,
}

/// A physical link. It keeps its kernel name.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawInterface {
    /// What VLANs, bonds, bridges and state lines call it: up to 15 letters, digits, `-`, `_` and `.`.
    pub name: Text,
    /// Which link it is: `mac`, `name`, `driver`, one or more; all that is said must fit. An interface with fixed addresses, or that
    /// others are made of, must fit one link; of several the first by kernel name is taken and the others are named on the console.
    #[serde(rename = "match")]
    pub matches: RawMatch,
    /// Addresses from the network: `"ipv4"` (DHCP), `"ipv6"` (router advertisements, and DHCPv6 where they ask for it), `"both"`, or
    /// `"no"`, which is the default. A link that has neither `addresses` nor is part of another must say it.
    pub dhcp: Option<Located<Dhcp>>,
    /// Fixed addresses with the prefix length of their network: `"10.0.0.5/24"`.
    #[serde(default)]
    pub addresses: Vec<Text>,
    /// The largest packet in bytes, 1280 (68 without IPv6) to 65535. By default what DHCP or a router says, else what the link has.
    pub mtu: Option<Located<i64>>,
    /// Fixed routes over this link: `to` is `"default"` or a network, `via` the gateway, `metric` a number; the lowest is taken first.
    #[serde(default)]
    pub routes: Vec<RawRoute>,
}

/// Which link an interface is.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawMatch {
    /// Its permanent hardware address: `"52:54:00:12:34:56"`.
    pub mac: Option<Text>,
    /// Its kernel name, or a pattern: `"ens3"`, `"en*"`.
    pub name: Option<Text>,
    /// Its kernel driver: `"virtio_net"`.
    pub driver: Option<Text>,
}

/// A fixed route.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRoute {
    /// Where to: `"default"`, or a network such as `"10.1.0.0/16"`.
    pub to: Text,
    /// The gateway: in one of the link's own networks. Without it the destination is on the link itself.
    pub via: Option<Text>,
    /// The lower, the rather it is taken.
    pub metric: Option<Located<i64>>,
}

/// A VLAN (IEEE 802.1Q) over another link.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawVlan {
    /// Its kernel name: up to 15 letters, digits, `-`, `_` and `.`.
    pub name: Text,
    /// Its number, 1 to 4094.
    pub id: Located<i64>,
    /// The interface, bond or bridge that carries it, by name.
    pub over: Text,
    /// As for an interface.
    pub dhcp: Option<Located<Dhcp>>,
    /// As for an interface.
    #[serde(default)]
    pub addresses: Vec<Text>,
    /// As for an interface.
    pub mtu: Option<Located<i64>>,
    /// As for an interface.
    #[serde(default)]
    pub routes: Vec<RawRoute>,
}

/// Several links that act as one.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawBond {
    /// Its kernel name: up to 15 letters, digits, `-`, `_` and `.`.
    pub name: Text,
    /// How packets are spread.
    pub mode: Located<BondMode>,
    /// The interfaces in it, by name; one at least.
    pub members: Vec<Text>,
    /// As for an interface.
    pub dhcp: Option<Located<Dhcp>>,
    /// As for an interface.
    #[serde(default)]
    pub addresses: Vec<Text>,
    /// As for an interface; its members take it over.
    pub mtu: Option<Located<i64>>,
    /// As for an interface.
    #[serde(default)]
    pub routes: Vec<RawRoute>,
}

/// A switch in the kernel.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawBridge {
    /// Its kernel name: up to 15 letters, digits, `-`, `_` and `.`.
    pub name: Text,
    /// The interfaces, VLANs and bonds in it, by name. It may be empty.
    #[serde(default)]
    pub members: Vec<Text>,
    /// As for an interface.
    pub dhcp: Option<Located<Dhcp>>,
    /// As for an interface.
    #[serde(default)]
    pub addresses: Vec<Text>,
    /// As for an interface.
    pub mtu: Option<Located<i64>>,
    /// As for an interface.
    #[serde(default)]
    pub routes: Vec<RawRoute>,
}

/// The clock.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawTime {
    /// NTP servers, by name or address. By default those that DHCP names, else `pool.ntp.org`'s.
    #[serde(default)]
    pub servers: Vec<Text>,
}

/// The kernel.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawKernel {
    /// Modules to load, by name and without `.ko`; those that a device asks for are loaded anyway.
    #[serde(default)]
    pub modules: Vec<Text>,
}

/// Whom the machine trusts.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawTrust {
    /// Certificates of authorities as PEM text (`-----BEGIN CERTIFICATE-----`), beside those of the image. A text may hold several.
    #[serde(default)]
    pub ca: Vec<Text>,
}

/// A file in /etc, owned by root.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawFile {
    /// Its absolute path, below /etc.
    pub path: Text,
    /// Permission bits in octal, as a string. By default `"0644"`.
    pub mode: Option<Text>,
    /// What is in it. It is never printed.
    pub content: Located<Secret>,
}

/// A further disk.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawVolume {
    /// Its name: lower-case letters, digits and `-`, 16 at most; the file system's label.
    pub name: Text,
    /// The disk: a name in /dev/disk/by-id, such as `"virtio-data0"`.
    pub disk: Text,
    /// Where it is mounted: an absolute path below /var.
    pub path: Text,
    /// The file system. By default `"ext4"`.
    pub filesystem: Option<Located<Filesystem>>,
}

/// A program of the image that the machine keeps running.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawService {
    /// Its name: lower-case letters, digits and `-`, 32 at most.
    pub name: Text,
    /// The program and its arguments. The program is a file of the verified root (below /usr), named by its absolute path.
    pub command: Vec<Text>,
    /// What must be there before it starts: `"network"` (a usable address), `"time"` (the clock is set; waited for within bounds), or
    /// the name of another service, which must be ready.
    #[serde(default)]
    pub needs: Vec<Text>,
    /// Its environment, beside PATH and the proxies. Values are never printed.
    #[serde(default)]
    pub environment: BTreeMap<Text, Located<Secret>>,
    /// How soon it is started again when it ends.
    #[serde(default)]
    pub restart: RawRestart,
    /// When it counts as ready. By default as soon as it runs.
    pub readiness: Option<RawReadiness>,
    /// Whom the kernel kills first when memory ends: -1000 (never) to 1000 (first). By default 0.
    pub oom_score: Option<Located<i64>>,
    /// Memory that the kernel never takes back from it, such as `"64 MiB"`.
    pub memory_min: Option<Text>,
    /// Memory that the kernel takes back from it last, such as `"256 MiB"`.
    pub memory_low: Option<Text>,
    /// Capabilities that it keeps, such as `"CAP_NET_ADMIN"`. By default none.
    #[serde(default)]
    pub capabilities: Vec<Text>,
    /// Seconds from SIGTERM to SIGKILL when it is stopped, 1 to 600. By default 10.
    pub stop_timeout_s: Option<Located<i64>>,
}

/// How soon a service is started again: the pause doubles from one bound to the other, and starts anew after a minute of health.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRestart {
    /// The first pause in milliseconds, 10 to 3600000. By default 100.
    pub minimum_ms: Option<Located<i64>>,
    /// The longest pause in milliseconds, `minimum-ms` to 3600000. By default 30000.
    pub maximum_ms: Option<Located<i64>>,
}

/// When a service counts as ready: one of these.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawReadiness {
    /// The path of a Unix socket that takes connections.
    pub socket: Option<Text>,
    /// An address that answers GET with a status from 200 to 399: `"http://127.0.0.1:9100/healthz"`. The host is an IP address.
    pub http: Option<Text>,
    /// A program with its arguments (as `command`) that ends with 0.
    pub exec: Option<Located<Vec<Text>>>,
}

/// Where an install medium installs this image.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawInstall {
    /// Which disk it is. All that is said must hold, and for one disk only. By default the only disk of the machine, removable ones
    /// and the medium aside.
    pub disk: Option<Located<RawDisk>>,
    /// The disk that may lose what is on it: its serial number, or its name in /dev/disk/by-id. Without it only an empty disk is
    /// taken.
    pub wipe: Option<Text>,
    /// What follows an installation: `"restart"`, which is the default, or `"power-off"`.
    pub after: Option<Located<AfterInstall>>,
}

/// Which disk it is: one of these or more.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawDisk {
    /// Its name in /dev/disk/by-id, such as `"virtio-root0"`.
    pub id: Option<Text>,
    /// Its serial number.
    pub serial: Option<Text>,
    /// Its world-wide name: `"0x5000c500a1b2c3d4"`, `"eui.0025385b71b0a1c2"`.
    pub wwn: Option<Text>,
    /// Its model.
    pub model: Option<Text>,
    /// Its size, compared by `>=`, `<=`, `>`, `<` or `=` with a whole number and KiB, MiB or GiB: `">= 100 GiB"`. Several comparisons
    /// have commas between them: `">= 100 GiB, < 1000 GiB"`.
    pub size: Option<Text>,
}

/// Logs.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawLog {
    /// Where the kernel's and the services' logs are sent: `"tcp://HOST:PORT"` or `"udp://HOST:PORT"`, lines as RFC 5424 has them.
    pub receiver: Option<Text>,
}
