//! Every source of a config in a real machine; refusals, and seeds that heal them while the machine runs. fw_cfg is seen in `services`, a
//! seed that is kept on `state` in `node`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_contract::paths;
use kmimage_contract::state_line::StateLine;
use kmimage_init::config::volume::Volume;
use kmimage_qemu_tests::disk::partitions;
use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::guest::{Guest, WritableDisk};
use kmimage_qemu_tests::image::{self, artefact, kmimage};
use kmimage_qemu_tests::netns::Netns;
use kmimage_qemu_tests::netns::dnsmasq::Dnsmasq;
use kmimage_qemu_tests::netns::servers::{Authority, Server};
use kmimage_qemu_tests::output::Mark;
use kmimage_qemu_tests::vm::Vm;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A boot, or what follows a hot-plug, on a loaded host without KVM.
const WAIT: Duration = Duration::from_secs(180);

fn config(hostname: &str) -> String {
    format!("#kmimage\nversion = 1\n\n[machine]\nhostname = \"{hostname}\"\n")
}

/// What the machine refuses: a key that nobody knows.
const BAD: &str = "#kmimage\nversion = 1\n\n[machine]\nhostnam = \"a\"\n";
const BAD_ERROR: &str = "user-data:5:1: unknown key `hostnam`; did you mean `hostname`?";

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs_err::write(&path, content).unwrap();
        path
    }

    /// A seed as a user makes it.
    fn seed(&self, name: &str, hostname: &str) -> PathBuf {
        let (document, seed) = (self.write("seed.toml", config(hostname)), self.folder.path().join(name));
        let status = kmimage().args(["config", "seed"]).arg(document).arg("-o").arg(&seed).status().unwrap();
        assert!(status.success(), "kmimage config seed: {status}");
        seed
    }

    /// A volume with any user-data, as Proxmox makes it: `kmimage config seed` would refuse a bad one.
    fn volume(&self, name: &str, user_data: &str) -> PathBuf {
        let tree = self.folder.path().join(format!("{name}.tree"));
        fs_err::create_dir(&tree).unwrap();
        fs_err::write(tree.join("user-data"), user_data).unwrap();
        fs_err::write(tree.join("meta-data"), "instance-id: test\n").unwrap();
        let path = self.folder.path().join(name);
        run(program("genisoimage").args(["-quiet", "-iso-level", "3", "-J", "-R", "-V", "cidata", "-o"]).arg(&path).arg(&tree));
        path
    }
}

/// Waits for a config line with this result.
fn says(vm: &Vm, mark: Mark, result: &str) -> StateLine {
    vm.state_after(mark, "config", WAIT, |line| line.get("result") == Some(result))
}

/// The machine takes a config from this source, becomes ready with it, and has its host name.
#[track_caller]
fn takes(vm: &Vm, mark: Mark, source: &str, hostname: &str) {
    let line = says(vm, mark, "taken");
    assert_eq!(line.get("source"), Some(source), "{line}");
    let ready = vm.ready_after(mark);
    assert_eq!(ready.config, source);
    assert_eq!(vm.probe().read("/proc/sys/kernel/hostname").trim_end(), hostname);
}

/// The machine refuses a config and says why, does not become ready, and heals by a seed that is plugged in.
#[track_caller]
fn refuses_and_heals(vm: &mut Vm, files: &Files, source: &str, error: &str) {
    let line = says(vm, Mark::default(), "refused");
    assert_eq!((line.get("source"), line.get("error")), (Some(source), Some(error)), "{line}");
    let maintenance = vm.state_after(Mark::default(), "maintenance", WAIT, |_| true);
    assert!(maintenance.get("reason").is_some_and(|reason| reason.contains(error)), "{maintenance}");
    assert!(!vm.console().contains("kmimage: ready"), "{}", vm.console());
    let mark = vm.mark();
    vm.plug_disk(0, &files.seed("heals.iso", "healed"), "heals", true);
    let line = says(vm, mark, "taken");
    assert!(line.get("source").is_some_and(|source| source.starts_with("nocloud:/dev/vd")), "{line}");
    vm.ready_after(mark);
    assert_eq!(vm.probe().read("/proc/sys/kernel/hostname").trim_end(), "healed");
    vm.assert_no_crash();
}

/// The offset of the ESP in a disk image, for mtools.
fn esp_of(raw: &Path) -> String {
    let esp = partitions(raw).into_iter().find(|partition| partition.name == "esp").unwrap();
    format!("{}@@{}", raw.display(), esp.offset)
}

/// A raw disk of the test image whose ESP has this file.
fn with_esp_file(files: &Files, content: &str) -> PathBuf {
    let raw = files.folder.path().join("disk.raw");
    run(program("cp").args(["--sparse=always"]).arg(artefact(image::test(), ".raw")).arg(&raw));
    let esp = esp_of(&raw);
    run(program("mmd").args(["-i", &esp, "::/kmimage"]));
    run(program("mcopy").args(["-i", &esp]).arg(files.write("machine.toml", content)).arg("::/kmimage/machine.toml"));
    raw
}

#[test]
fn vm_a_bad_config_on_state_is_refused_and_healed() {
    let files = Files::new();
    let disk = WritableDisk::of(&artefact(image::test(), ".qcow2"), None);
    let mut vm = Guest::test().disk(&disk).user_network().cdrom(&files.seed("seed.iso", "from-seed")).start();
    takes(&vm, Mark::default(), "nocloud:/dev/sr0", "from-seed");
    vm.probe().until("the mark", WAIT, |probe| probe.exists(paths::READY_MARK).then_some(()));
    vm.probe().write(&format!("{}/machine.toml", paths::STATE_CONFIG), BAD.as_bytes());
    vm.power_off();
    let mut vm = Guest::test().disk(&disk).user_network().hot_slots().start();
    refuses_and_heals(&mut vm, &files, "state", &BAD_ERROR.replace("user-data", "machine.toml"));
}

#[test]
fn vm_a_bad_volume_is_refused_and_healed() {
    let files = Files::new();
    let volume = files.volume("bad.iso", BAD);
    let mut vm = Guest::test().user_network().hot_slots().cdrom(&volume).start();
    refuses_and_heals(&mut vm, &files, "nocloud:/dev/sr0", BAD_ERROR);
}

#[test]
fn vm_a_bad_document_on_the_esp_is_refused_and_healed() {
    let files = Files::new();
    let raw = with_esp_file(&files, BAD);
    let disk = WritableDisk::of(&raw, None);
    let mut vm = Guest::test().disk(&disk).user_network().hot_slots().start();
    refuses_and_heals(&mut vm, &files, "esp", &BAD_ERROR.replace("user-data", "kmimage/machine.toml"));
}

#[test]
fn vm_a_bad_document_at_a_url_is_refused_and_healed() {
    let lan = Netns::new();
    lan.bridge("br0", &["10.77.0.1/24"]);
    lan.tap("tap0", "br0");
    let _dhcp = Dnsmasq::start(&lan, "br0", &["--dhcp-range=10.77.0.100,10.77.0.200,1h"]);
    let server = Server::http(&lan, "10.77.0.1:80");
    server.put("machine.toml", BAD.as_bytes());
    let files = Files::new();
    let url = "http://10.77.0.1/machine.toml";
    let mut vm =
        Guest::test().tap(&lan, "tap0", "52:54:00:00:00:01").hot_slots().oem_string(&format!("kmimage.config={url}")).start();
    refuses_and_heals(&mut vm, &files, &format!("smbios:{url}"), &BAD_ERROR.replace("user-data", url));
}

#[test]
fn vm_what_a_url_has_is_taken_once_the_network_is_there() {
    let lan = Netns::new();
    lan.bridge("br0", &["10.77.0.1/24"]);
    lan.tap("tap0", "br0");
    let _dhcp = Dnsmasq::start(&lan, "br0", &["--dhcp-range=10.77.0.100,10.77.0.200,1h"]);
    let server = Server::http(&lan, "10.77.0.1:80");
    let authority = Authority::new();
    let trusting = format!("{}\n[trust]\nca = [\"\"\"\n{}\"\"\"]\n", config("by-http"), authority.pem());
    for (name, content) in [("user-data", trusting), ("meta-data", "instance-id: i-1\n".to_owned())] {
        server.put(name, content.as_bytes());
    }
    let disk = WritableDisk::of(&artefact(image::test(), ".qcow2"), None);
    let guest = |uuid: &str| Guest::test().disk(&disk).tap(&lan, "tap0", "52:54:00:00:00:01").uuid(uuid);
    let nocloud = "ds=nocloud;s=http://10.77.0.1/";
    let mut vm = guest("11111111-1111-4111-8111-111111111111").system_serial(nocloud).start();
    takes(&vm, Mark::default(), "nocloud:http://10.77.0.1/", "by-http");
    vm.power_off();

    // A clone reads its sources anew; it still trusts whom the config that it has kept trusts. What the command line says comes first.
    let server = Server::https(&lan, "10.77.0.1:443", &authority.certificate("IP:10.77.0.1"));
    server.put("machine.toml", config("by-https").as_bytes());
    let url = "https://10.77.0.1/machine.toml";
    let clone =
        guest("22222222-2222-4222-8222-222222222222").system_serial(nocloud).on_command_line(&format!("kmimage.config={url}"));
    let vm = clone.start();
    takes(&vm, Mark::default(), &format!("url:{url}"), "by-https");
}

#[test]
fn vm_a_partition_smbios_fw_cfg_and_the_esp_are_sources() {
    let files = Files::new();
    let oem = files.write("oem", format!("kmimage.config={}", config("by-smbios")));
    let document = files.write("fw-cfg.toml", config("by-fw-cfg"));
    let vm = Guest::test().user_network().oem_string_file(&oem).fw_cfg("opt/org.kmimage/config", &document).start();
    takes(&vm, Mark::default(), "smbios", "by-smbios");
    // The other one was read and judged, too. (Most tests give their configs by fw_cfg.)
    let ignored = says(&vm, Mark::default(), "ignored");
    assert_eq!((ignored.get("source"), ignored.get("error")), (Some("fw_cfg"), None), "{ignored}");
    drop(vm);
    let raw = with_esp_file(&files, &config("by-esp"));
    let esp = esp_of(&raw);
    run(program("mcopy").args(["-i", &esp]).arg(files.write("other.toml", config("by-partition"))).arg("::/kmimage/other.toml"));
    let uuid = partitions(&raw).into_iter().find(|partition| partition.name == "esp").unwrap().uuid;
    let disk = || WritableDisk::of(&raw, None);
    let parameter = format!("kmimage.config=PARTUUID={uuid}:/kmimage/other.toml");
    let (named, unnamed) = (disk(), disk());
    let vm = Guest::test().disk(&named).user_network().on_command_line(&parameter).start();
    takes(&vm, Mark::default(), &format!("partition:{uuid}:/kmimage/other.toml"), "by-partition");
    assert_eq!(says(&vm, Mark::default(), "ignored").get("source"), Some("esp"));
    drop(vm);
    let vm = Guest::test().disk(&unnamed).user_network().start();
    takes(&vm, Mark::default(), "esp", "by-esp");
}

#[test]
fn vm_a_medium_that_is_put_in_while_the_machine_runs_is_taken() {
    let files = Files::new();
    let mut vm = Guest::test().user_network().empty_cdrom().start();
    vm.ready();
    assert_eq!(says(&vm, Mark::default(), "none").get("platform"), None);
    let mark = vm.mark();
    vm.insert("cd0", &files.seed("seed.iso", "put-in"));
    let line = says(&vm, mark, "taken");
    assert_eq!(line.get("source"), Some("nocloud:/dev/sr0"), "{line}");
    vm.probe().until("the host name", WAIT, |probe| (probe.read("/proc/sys/kernel/hostname") == "put-in\n").then_some(()));
}

/// What `kmimage config seed` writes is read by the machine's own reader, and by others.
#[test]
fn tools_a_seed_is_read_by_our_own_reader_and_by_others() {
    let files = Files::new();
    let network = files.write("net.yaml", "version: 2\nethernets: {ens3: {dhcp4: true}}\n");
    let (document, seed) = (files.write("node.toml", config("node-1")), files.folder.path().join("seed.iso"));
    let write = |epoch: &str, seed: &Path| {
        let mut command = kmimage();
        command.args(["config", "seed"]).arg(&document).arg("-o").arg(seed).env("SOURCE_DATE_EPOCH", epoch);
        let status = command.args(["--hostname", "platform-name", "--network-config"]).arg(&network).status().unwrap();
        assert!(status.success(), "{status}");
        fs_err::read(seed).unwrap()
    };
    let bytes = write("1700000000", &seed);
    assert_eq!(bytes, write("1700000000", &files.folder.path().join("again.iso")));
    let mut volume = Volume::open(std::io::Cursor::new(&bytes)).unwrap().unwrap();
    assert_eq!(volume.label(), "cidata");
    let mut text = |name: &str| volume.read(name, 1 << 20).unwrap().map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(text("user-data"), Some(config("node-1")));
    assert_eq!(text("network-config").as_deref(), Some("version: 2\nethernets: {ens3: {dhcp4: true}}\n"));
    let meta_data = text("meta-data").unwrap();
    assert!(
        meta_data.starts_with("instance-id: \"kmimage-") && meta_data.ends_with("local-hostname: \"platform-name\"\n"),
        "{meta_data}"
    );
    for (names, version) in [("-R", ""), ("-J", ";1")] {
        let listing = run(program("isoinfo").args([names, "-f", "-i"]).arg(&seed));
        assert!(listing.lines().any(|line| line == format!("/network-config{version}")), "{listing}");
        let path = format!("/user-data{version}");
        assert_eq!(run(program("isoinfo").args([names, "-x", &path, "-i"]).arg(&seed)), config("node-1"));
    }
}

#[test]
fn a_seed_of_a_bad_config_is_not_written() {
    let files = Files::new();
    let (document, seed) = (files.write("bad.toml", BAD), files.folder.path().join("seed.iso"));
    let output = kmimage().args(["config", "seed", "--quiet"]).arg(&document).arg("-o").arg(&seed).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(errors.contains("bad.toml:5:1: unknown key `hostnam`; did you mean `hostname`?"), "{errors}");
    assert!(!seed.exists());
}
