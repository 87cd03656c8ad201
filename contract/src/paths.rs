//! Where things lie in an image, as far as both the builder and the init must know it.

/// The init binary in the root file system; the builder puts it there with mode 0755.
pub const INIT: &str = "/usr/lib/kmimage/init";

/// What stage 1 runs after switching to the root: a link to [`INIT`] that the builder makes (`/sbin` is a link to `usr/sbin`).
pub const SBIN_INIT: &str = "/usr/sbin/init";

/// What the kernel calls to have a module loaded (its usermode helper): a link to [`INIT`], whose applet it is.
pub const SBIN_MODPROBE: &str = "/usr/sbin/modprobe";

/// The init binary in the initramfs; the kernel starts it by this name.
pub const INITRAMFS_INIT: &str = "/init";

/// The initramfs' list of kernel modules: one absolute path per line, in the order to load them (a module after those it needs).
/// Empty lines and lines that begin with `#` carry nothing.
///
/// With `modules.dep` and `modules.alias` (as depmod writes them) in the initramfs' own [`modules`] folder, drivers in this list are
/// loaded only when there is a device for them; without, everything is loaded.
pub const INITRAMFS_MODULES: &str = "/modules.list";

/// The image's identity, as os-release(5) defines it; [`crate::release`] reads and writes it.
pub const OS_RELEASE: &str = "/usr/lib/os-release";

/// The directories that the builder must make in the (read-only) root, empty, because init mounts on them.
/// `etc`, `usr` and the links of a merged `/usr` are the packages' and the builder's own.
pub const MOUNT_POINTS: [&str; 6] = ["/dev", "/proc", "/run", "/sys", "/tmp", "/var"];

/// The folder with one folder of kernel modules for each release; see [`modules`].
pub const MODULES: &str = "/usr/lib/modules";

/// The kernel modules of a release, in the root and (as far as they are there) in the initramfs.
pub fn modules(kernel_release: &str) -> String {
    format!("{MODULES}/{kernel_release}")
}

/// The device-mapper name of the verified root: `/dev/mapper/kmimage-root`.
pub const ROOT_MAPPING: &str = "kmimage-root";

/// What init and its children tell each other while the machine runs: only root sees it.
pub const RUN: &str = "/run/kmimage";

/// Where the partition `state` is mounted.
pub const STATE: &str = "/run/kmimage/state";

/// On `state`: the machine config that was taken, where it is from, and what the platform said.
pub const STATE_CONFIG: &str = "/run/kmimage/state/config";

/// The mark that the machine has once been ready with a config: from then on the config on `state` outranks its sources. Whoever finds
/// that this is another machine (a clone) removes it, before anything else of the old one's identity.
pub const READY_MARK: &str = "/run/kmimage/state/config/ready";

/// The machine config that is in force, as it was written by its author.
pub const MACHINE_CONFIG: &str = "/run/kmimage/config/machine.toml";

/// On the ESP: the machine config that a medium brings along (`kmimage flash --config`, the installer).
pub const ESP_MACHINE_CONFIG: &str = "kmimage/machine.toml";

/// What the platform says of this machine (hostname, instance, network), as JSON.
pub const PLATFORM: &str = "/run/kmimage/config/platform.json";

/// What init's child `network` is to make true, as JSON.
pub const NETWORK: &str = "/run/kmimage/network.json";

/// Which servers init's child `time` is to ask, as JSON: `{"servers": ["ntp.example.org"]}`. A missing file, or an
/// empty list, stands for those in [`NTP`].
pub const TIME: &str = "/run/kmimage/time.json";

/// The time servers that DHCP names, as JSON of the same form; `network` writes it.
pub const NTP: &str = "/run/kmimage/net/ntp.json";

/// Where init's child `log` is to send logs, as JSON: `{"receiver": "tcp://10.0.0.9:514"}`. A missing file, or
/// null, stands for nowhere.
pub const LOG: &str = "/run/kmimage/log.json";

/// The further disks that init's child `storage volumes` mounts, as JSON.
pub const VOLUMES: &str = "/run/kmimage/volumes.json";

/// The config's services, as units of init's service machine, as JSON.
pub const UNITS: &str = "/run/kmimage/units.json";

/// The config's proxies as variables of the environment, for those of the image's services that want them, as JSON: an object of strings.
/// It may hold passwords.
pub const PROXIES: &str = "/run/kmimage/proxies.json";

/// Which cluster init's child `cluster` is to join, as JSON; `null` where the config names none. It holds secrets.
pub const CLUSTER: &str = "/run/kmimage/cluster.json";

/// What init's child `install` is to do on an install medium, as JSON; `null` where it has nothing to do.
pub const INSTALL: &str = "/run/kmimage/install.json";

/// kubelet, in images that have one: those join a cluster.
pub const KUBELET: &str = "/usr/bin/kubelet";

/// Further arguments of kubelet, one a line, that only the machine config and the machine itself know. A line that begins with `#` is none,
/// but kubelet is started anew when it has changed, too. Init's child `cluster` writes it.
pub const KUBELET_ARGUMENTS: &str = "/run/kmimage/kubelet.arguments";

/// resolv.conf and hosts of this machine: /etc links to them, because they change while it runs.
pub const NET: &str = "/run/kmimage/net";

/// Container images that the image brings along: an additional image store in containers-storage's form (driver overlay), read-only,
/// for storage.conf's `additionalimagestores`. The builder puts it there where the profile has a `[[container-image]]`, and nowhere else.
pub const IMAGES: &str = "/usr/lib/kmimage/images";

/// The image's own services: a file `NAME.toml` each, as [`crate::machine_config::image_services`] reads them. They are part of the
/// verified root; the probe of test images, CRI-O and kubelet come from here.
pub const SERVICES: &str = "/usr/lib/kmimage/services";

/// There once this boot has become ready: what the line `ready` said.
pub const READY: &str = "/run/kmimage/ready";

/// How many boots before this one in a row never became ready, as a decimal number; not there until `state` is.
pub const FAILED_BOOTS: &str = "/run/kmimage/failed-boots";
