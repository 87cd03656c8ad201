//! What the probe sees in an image, and how machines of a test are put together: the harness held against a real boot.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::netns::Netns;
use std::time::Duration;

#[test]
fn vm_the_probe_looks_into_a_machine_and_things_are_plugged_in() {
    let lan = Netns::new();
    lan.bridge("br0", &["10.77.0.1/24"]);
    lan.tap("tap0", "br0");
    let disk = tempfile::NamedTempFile::new().unwrap();
    disk.as_file().set_len(16 << 20).unwrap();
    let mut vm = Guest::test().inside(&lan).hot_slots().agent().start();
    vm.ready();
    {
        let mut probe = vm.probe();
        assert_eq!(probe.read("/proc/sys/kernel/ostype"), "Linux\n");
        let processes = probe.processes();
        let init = &processes[0];
        assert_eq!((init.pid, init.parent, init.is_kernel()), (1, 0, false));
        assert!(init.pss_kib > 0 && init.status.contains_key("CapEff"), "{init:?}");
        assert_eq!(probe.mount("/").unwrap().kind, "squashfs");
        assert!(probe.try_write("/usr/x", b"x").unwrap_err().contains("Read-only file system"));
        probe.write("/run/probe-was-here", b"yes");
        assert!(probe.list("/run").contains(&"probe-was-here".to_owned()));
        let ran = probe.run(&["/usr/sbin/mke2fs", "-V"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:?}");
        assert!(ran.stderr.starts_with("mke2fs "), "{ran:?}");
        assert!(probe.network().links.contains_key("lo"));
    }
    vm.plug_disk(0, disk.path(), "plugged", true);
    vm.probe().until("a plugged disk", Duration::from_secs(30), |probe| {
        probe.list("/sys/class/block").contains(&"vdb".to_owned()).then_some(())
    });
    vm.unplug(0);
    vm.plug_card(1, "tap0", "52:54:00:00:00:01");
    vm.unplug(1);
    vm.power_off();
    vm.assert_no_crash();
}
