//! Devices of a running machine: drivers, names, links, what is plugged in and pulled out, kernel parameters, the kernel's log, the watchdog.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_contract::sysctl;
use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::netns::Netns;
use kmimage_qemu_tests::probe::Probe;
use kmimage_qemu_tests::vm::{BOOT, Vm};
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

fn file(mib: u64) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(mib << 20).unwrap();
    file
}

#[test]
fn vm_kernel_devices_have_drivers_names_and_links() {
    let lan = Netns::new();
    lan.bridge("br0", &["10.78.0.1/24"]);
    lan.tap("tap0", "br0");
    lan.tap("tap1", "br0");
    let (data, hot) = (file(16), file(16));
    let guest =
        Guest::test().tap(&lan, "tap0", "52:54:00:00:00:10").data_disk(data.path(), "data0").watchdog("i6300esb").hot_slots();
    let mut vm = guest.start();
    // Q35's own and the one on PCI: either may come first.
    let dog = vm.state_after(Default::default(), "watchdog", BOOT, |_| true);
    assert_eq!(dog.get("timeout"), Some("30s"), "{dog}");
    let named = vm.state_after(Default::default(), "devices", BOOT, |line| line.get("mac") == Some("52:54:00:00:00:10"));
    assert!(named.get("added").unwrap().starts_with("enp0s") && named.get("was") == Some("eth0"), "{named}");
    let done = vm.state_after(Default::default(), "devices", BOOT, |line| line.get("coldplug") == Some("done"));
    assert!(done.get("modules").unwrap().parse::<u32>().unwrap() > 3, "{done}");
    {
        let mut probe = vm.probe();
        let interfaces = probe.list("/sys/class/net");
        assert!(interfaces.contains(&named.get("added").unwrap().to_owned()), "{interfaces:?}");
        disks(&mut probe);
        modules(&mut probe);
        parameters(&mut probe);
        let log = probe.until("the kernel's log", SOON, |probe| {
            probe.try_read("/var/log/kernel.log").ok().filter(|log| log.contains("Linux version"))
        });
        assert!(log.contains("info: Command line:"), "{log}");
    }
    plugs(&mut vm, hot.path());
    vm.power_off();
    vm.assert_no_crash();
}

fn disks(probe: &mut Probe) {
    assert_eq!(probe.read_link("/dev/disk/by-id/virtio-data0"), "../../vdb");
    for name in ["esp", "root-a", "root-a-verity", "state", "var"] {
        let target = probe.read_link(&format!("/dev/disk/by-partlabel/{name}"));
        assert!(target.starts_with("../../vda"), "{name}: {target}");
    }
    assert_eq!(probe.list("/dev/disk/by-partuuid").len(), 8);
    let paths = probe.list("/dev/disk/by-path");
    assert!(paths.iter().any(|name| name.starts_with("pci-0000:00:") && name.ends_with("-part8")), "{paths:?}");
    assert!(!probe.list("/dev/disk/by-uuid").is_empty());
}

fn modules(probe: &mut Probe) {
    assert_eq!(probe.sysctl("kernel.modprobe"), "/sbin/modprobe");
    let run = |probe: &mut Probe, words: &[&str]| {
        let ran = probe.run(&[&["/sbin/modprobe"], words].concat());
        (ran.code, ran.stderr)
    };
    assert!(!probe.exists("/sys/module/xfs"));
    assert_eq!(run(probe, &["-q", "--", "fs-xfs"]), (Some(0), String::new()));
    assert!(probe.exists("/sys/module/xfs") && probe.exists("/sys/module/libcrc32c"));
    // Again, built in, by another name: all done.
    for words in [&["xfs"][..], &["fs-ext4"], &["-a", "br_netfilter", "overlay"], &["ip_tables", "-q"]] {
        assert_eq!(run(probe, words), (Some(0), String::new()), "{words:?}");
    }
    assert!(probe.exists("/proc/sys/net/bridge/bridge-nf-call-iptables"));
    assert_eq!(run(probe, &["-q", "--", "no-such-thing"]), (Some(1), String::new()));
    let (code, said) = run(probe, &["no-such-thing"]);
    assert!(code == Some(1) && said.contains("there is no module `no-such-thing`"), "{said}");
    // The kernel asks for the module behind a node when somebody opens it.
    assert!(!probe.exists("/sys/module/tun"));
    let _ = probe.try_read("/dev/net/tun");
    assert!(probe.exists("/sys/module/tun"));
}

fn parameters(probe: &mut Probe) {
    for row in sysctl::DEFAULTS {
        if let Ok(value) = probe.try_read(&format!("/proc/sys/{}", row.path)) {
            assert_eq!(value.trim_end(), row.value, "{}", row.path);
        }
    }
    for target in ["/run", "/tmp", "/dev/shm", "/sys/fs/cgroup"] {
        let mount = probe.mount(target).unwrap();
        assert!(mount.has("nosuid") && mount.has("nodev"), "{target}: {mount:?}");
    }
}

fn plugs(vm: &mut Vm, disk: &Path) {
    let mark = vm.mark();
    vm.plug_disk(0, disk, "hot0", true);
    let came = vm.state_after(mark, "devices", SOON, |line| line.get("kind") == Some("disk") && line.get("added").is_some());
    assert_eq!(vm.probe().read_link("/dev/disk/by-id/virtio-hot0"), format!("../../{}", came.get("added").unwrap()));
    vm.unplug(0);
    vm.state_after(mark, "devices", SOON, |line| line.get("removed") == came.get("added"));
    assert!(!vm.probe().exists("/dev/disk/by-id/virtio-hot0"));

    let mark = vm.mark();
    vm.plug_card(1, "tap1", "52:54:00:00:00:11");
    let came = vm.state_after(mark, "devices", SOON, |line| line.get("mac") == Some("52:54:00:00:00:11"));
    assert!(came.get("added").unwrap().starts_with("en"), "{came}");
    vm.unplug(1);
    vm.state_after(mark, "devices", SOON, |line| line.get("removed") == came.get("added"));
}
