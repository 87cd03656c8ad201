//! Every source over a root folder: what is taken, what is refused with which words, what is kept.

use super::Watch;
use crate::config::remote::Attempt;
use crate::config::seed::Seed;
use crate::facts::block::BlockDevice;
use kmimage_contract::paths;
use kmimage_sys::device_mapper::DeviceNumber;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use uuid::{Uuid, uuid};

const ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
const GOOD: &str = "#kmimage\nversion = 1\n[machine]\nhostname = \"a\"\n";
const OTHER: &str = "#kmimage\nversion = 1\n[machine]\nhostname = \"b\"\n";

/// A machine's root, and what is plugged into it.
struct World {
    folder: tempfile::TempDir,
    devices: Vec<BlockDevice>,
}

impl World {
    fn new(cmdline: &str) -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap(), devices: Vec::new() };
        world.write("proc/cmdline", format!("roothash={} {cmdline}", "00".repeat(32)));
        fs::create_dir_all(world.path(paths::STATE)).unwrap();
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn fw_cfg(self, content: impl AsRef<[u8]>) -> Self {
        self.write("sys/firmware/qemu_fw_cfg/by_name/opt/org.kmimage/config/raw", content);
        self
    }

    fn smbios(self, serial: &str, strings: &[&str]) -> Self {
        let mut table = vec![1, 8, 0, 0, 0, 0, 0, 1];
        table.extend(serial.as_bytes());
        table.extend([0, 0, 11, 5, 0, 0, 1]);
        strings.iter().for_each(|string| table.extend([string.as_bytes(), &[0]].concat()));
        table.extend([0, 127, 4, 0, 0, 0, 0]);
        self.write("sys/firmware/dmi/tables/DMI", table);
        self
    }

    fn plug(&mut self, name: &str, uuid: Option<Uuid>, content: impl AsRef<[u8]>) {
        self.write(&format!("dev/{name}"), content);
        let number = DeviceNumber { major: 1, minor: u32::try_from(self.devices.len()).unwrap() };
        self.devices.push(BlockDevice { name: name.into(), number, disk: None, uuid, label: String::new(), sectors: 8 });
    }

    fn kept(&self) -> Option<String> {
        fs::read_to_string(self.path(paths::STATE_CONFIG).join("machine.toml")).ok()
    }

    fn start(&self) -> Watch {
        Watch::new(self.folder.path(), None, Some("base".to_owned())).unwrap()
    }

    /// Looks at what has changed, and says what the child would.
    fn look(&self, watch: &mut Watch, changed: &[&str]) -> Vec<String> {
        let changed = if changed.is_empty() {
            super::Changed::All
        } else {
            super::Changed::Devices(changed.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>())
        };
        watch.look_at(&changed, &self.devices);
        lines(watch)
    }

    /// What a fresh start says.
    fn says(&self) -> Vec<String> {
        self.look(&mut self.start(), &[])
    }
}

/// What is said, without the prefix, digests shortened to what they begin with.
fn lines(watch: &mut Watch) -> Vec<String> {
    let short = |word: &str| if word.starts_with("sha256=") { word[..11].to_owned() } else { word.to_owned() };
    let lines = watch.decide().into_iter().map(|line| line.to_string().replacen("kmimage: config ", "", 1));
    lines.map(|line| line.split(' ').map(short).collect::<Vec<_>>().join(" ")).collect()
}

#[expect(clippy::disallowed_methods, reason = "others' writers make the volumes")]
fn run(program: &str, arguments: &[&str]) {
    let output = std::process::Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; see xtask setup"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A NoCloud volume as Proxmox makes it.
fn iso(label: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (tree, image) = (folder.path().join("tree"), folder.path().join("image"));
    fs::create_dir(&tree).unwrap();
    files.iter().for_each(|(name, content)| fs::write(tree.join(name), content).unwrap());
    let image = image.to_str().unwrap();
    run("genisoimage", &["-quiet", "-iso-level", "3", "-J", "-R", "-V", label, "-o", image, tree.to_str().unwrap()]);
    fs::read(image).unwrap()
}

fn vfat(label: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (image, file) = (folder.path().join("image"), folder.path().join("file"));
    let image = image.to_str().unwrap();
    fs::File::create(image).unwrap().set_len(2 << 20).unwrap();
    run("mkfs.vfat", &["-n", label, image]);
    for (name, content) in files {
        if let Some((parent, _)) = name.rsplit_once('/') {
            run("mmd", &["-i", image, &format!("::{parent}")]);
        }
        fs::write(&file, content).unwrap();
        run("mcopy", &["-i", image, file.to_str().unwrap(), &format!("::{name}")]);
    }
    fs::read(image).unwrap()
}

#[test]
fn without_any_source_there_is_no_config() {
    let world = World::new("");
    let mut watch = world.start();
    assert_eq!(world.look(&mut watch, &[]), ["result=none"]);
    assert_eq!(world.look(&mut watch, &[]), Vec::<String>::new());
    assert_eq!(world.kept(), None);
    assert_eq!(fs::read_to_string(world.path(paths::PLATFORM)).unwrap().matches("null").count(), 5);
}

#[test]
fn fw_cfg_and_smbios_are_taken_in_their_order_and_kept() {
    let world = World::new("").fw_cfg(GOOD);
    assert_eq!(world.says(), ["result=taken source=fw_cfg sha256=b24c"]);
    assert_eq!(world.kept().as_deref(), Some(GOOD));
    assert_eq!(fs::read_to_string(world.path(paths::MACHINE_CONFIG)).unwrap(), GOOD);
    for path in [world.path(paths::MACHINE_CONFIG), world.path(paths::STATE_CONFIG).join("machine.toml")] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let world = world.smbios("42", &["x", &format!("kmimage.config={OTHER}")]);
    let ignored = "result=ignored source=fw_cfg sha256=b24c reason=\"another config outranks it\"";
    assert_eq!(world.says(), ["result=taken source=smbios sha256=7654", ignored]);
    assert_eq!(world.kept().as_deref(), Some(OTHER));
}

#[test]
fn state_outranks_the_sources_once_the_machine_was_ready() {
    let world = World::new("").fw_cfg(GOOD);
    world.says();
    world.write(paths::READY_MARK, "");
    let world = world.fw_cfg(OTHER);
    let ignored = "result=ignored source=fw_cfg sha256=7654 reason=\"the config on state outranks it\"";
    assert_eq!(world.says(), ["result=taken source=state sha256=b24c", ignored]);
    // A clone loses the mark: its sources are read anew.
    fs::remove_file(world.path(paths::READY_MARK)).unwrap();
    assert_eq!(world.says(), ["result=taken source=fw_cfg sha256=7654"]);
    // A document on `state` that is refused counts as none; if it is all there is, it is what is refused.
    world.write(paths::READY_MARK, "");
    world.write(&format!("{}/machine.toml", paths::STATE_CONFIG), "version = 2\n");
    assert_eq!(world.says(), ["result=taken source=fw_cfg sha256=7654"]);
    world.write(&format!("{}/machine.toml", paths::STATE_CONFIG), "version = 2\n");
    fs::remove_dir_all(world.path("sys")).unwrap();
    let error = "result=refused source=state error=\"machine.toml:1:11: this release reads version 1, not 2\"";
    let fresh = |world: &World| {
        let _ = fs::remove_dir_all(world.path("run/kmimage/config"));
        world.says()
    };
    assert_eq!(fresh(&world), [error]);
    fs::remove_dir_all(world.path(paths::STATE)).unwrap();
    assert_eq!(fresh(&world), ["result=none"]);
}

#[test]
fn a_full_state_is_said_and_stops_nothing() {
    let world = World::new("").fw_cfg(GOOD);
    world.write(paths::STATE_CONFIG, "no folder");
    assert_eq!(world.says(), ["result=taken source=fw_cfg sha256=b24c stored=no"]);
}

#[test]
fn what_a_url_has_is_waited_for_and_taken() {
    let world = World::new("kmimage.config=https://config.example.org/a?token=secret").fw_cfg(OTHER);
    let mut watch = world.start();
    let source = "url:https://config.example.org/a?...";
    let ignored = "result=ignored source=fw_cfg sha256=7654 reason=\"another config outranks it\"";
    let waiting = |reason: &str| {
        format!("result=waiting source=\"{source}\" reason=\"{reason}\"").replace("\"url", "url").replace("...\"", "...")
    };
    assert_eq!(world.look(&mut watch, &[]), [waiting("it is being fetched"), ignored.to_owned()]);
    let mut answer = |attempt: Attempt, good: bool| {
        watch.fetching[0].end(attempt, good, std::time::Instant::now());
        lines(&mut watch)
    };
    assert_eq!(answer(Attempt::Waiting("no route".to_owned()), false), [waiting("no route")]);
    let refused = format!("result=refused source={source} error=\"the server answers 404 Not Found\"");
    assert_eq!(answer(Attempt::Answer(Err("the server answers 404 Not Found".to_owned())), false), [refused]);
    let seed = Seed { document: Some(GOOD.into()), ..Seed::default() };
    assert_eq!(
        answer(Attempt::Answer(Ok(seed)), true),
        [format!("result=taken source={source} sha256=b24c"), ignored.to_owned()]
    );
}

#[test]
fn of_two_urls_the_first_in_order_decides_whichever_answers_first() {
    let world = World::new("kmimage.config=https://config.example.org/a").smbios("ds=nocloud;s=http://10.0.0.1/seed/", &[]);
    let mut watch = world.start();
    let waiting = "result=waiting source=url:https://config.example.org/a reason=\"it is being fetched\"";
    assert_eq!(world.look(&mut watch, &[]), [waiting]);
    let answer = |watch: &mut super::Watch, source: &str, document: &str| {
        let fetching = watch.fetching.iter_mut().find(|fetching| fetching.remote.source.starts_with(source)).unwrap();
        let seed = Seed { document: Some(document.into()), ..Seed::default() };
        fetching.end(Attempt::Answer(Ok(seed)), true, std::time::Instant::now());
        lines(watch)
    };
    let ignored = "result=ignored source=nocloud:http://10.0.0.1/seed/ sha256=7654 reason=\"another config outranks it\"";
    assert_eq!(answer(&mut watch, "nocloud:", OTHER), [ignored]);
    let taken = "result=taken source=url:https://config.example.org/a sha256=b24c";
    assert_eq!(answer(&mut watch, "url:", GOOD), [taken, ignored]);
}

#[test]
fn smbios_may_name_who_the_machine_is_and_where_its_seed_lies() {
    let world = World::new("").smbios("ds=nocloud;h=node-1;i=i-1;x=y", &[]);
    assert_eq!(world.says(), ["result=none platform=nocloud:smbios"]);
    let platform = fs::read_to_string(world.path(paths::PLATFORM)).unwrap();
    assert!(platform.contains("\"hostname\": \"node-1\"") && platform.contains("\"instance-id\": \"i-1\""), "{platform}");
    let world = World::new("").smbios("ds=nocloud;s=http://10.0.0.1/seed/", &[]);
    let waiting = "result=waiting source=nocloud:http://10.0.0.1/seed/ reason=\"it is being fetched\"";
    assert_eq!(world.says(), [waiting]);
    let world = World::new("").smbios("42", &["kmimage.config=https://config.example.org/a"]);
    let waiting = "result=waiting source=smbios:https://config.example.org/a reason=\"it is being fetched\"";
    assert_eq!(world.says(), [waiting]);
}

/// Sources without a volume, each refused with these words.
#[test]
fn bad_sources_are_refused_with_these_words() {
    let fw_cfg = |content: &[u8], error: &str| {
        let expect = format!("result=refused source=fw_cfg error=\"{}\"", error.replace('"', "\\\""));
        assert_eq!(World::new("").fw_cfg(content).says(), [expect]);
    };
    fw_cfg(b"", "opt/org.kmimage/config:1:1: a machine config begins with `version = 1`");
    fw_cfg(b"version = 1\n\xff", "opt/org.kmimage/config:2:1: not UTF-8");
    fw_cfg(&vec![b'#'; (1 << 20) + 1], "it has more than 1048576 bytes");
    fw_cfg(b"version = 1\n[machin]\n", "opt/org.kmimage/config:2:2: unknown key `machin`; did you mean `machine`?");
    fw_cfg(b"version = 1\n[addon]\n", "opt/org.kmimage/config:2:2: `addon`: this release does not serve it yet");
    let cmdline = |value: &str, source: &str, error: &str| {
        let expect = format!("result=refused source={source} error=\"{error}\"");
        assert_eq!(World::new(&format!("kmimage.config={value}")).says(), [expect]);
    };
    let form = "a config is at `http://...`, `https://...` or `PARTUUID=<uuid>:/<path>`";
    cmdline("/dev/sda1:/x", "cmdline", form);
    cmdline("http://a:b@c/", "cmdline", "a URL with a name or password in it is not supported");
    let missing = format!("there is no partition with the UUID {ESP}");
    cmdline(&format!("PARTUUID={ESP}:/a.toml"), &format!("partition:{ESP}:/a.toml"), &missing);
    let smbios = World::new("").smbios("ds=nocloud;s=file:///seed/", &[]).says();
    assert_eq!(smbios, [format!("result=refused source=nocloud:smbios error=\"serial number: {form}\"")]);
    let mut world = World::new(&format!("kmimage.config=PARTUUID={ESP}:/a.toml"));
    world.plug("vda2", Some(ESP), vec![0; 4096]);
    let expect = format!("result=refused source=partition:{ESP}:/a.toml error=\"/dev/vda2 has neither FAT nor ISO 9660\"");
    assert_eq!(world.says(), [expect]);
}

#[test]
fn tools_volumes_are_found_by_their_label_in_either_case() {
    let meta_data = b"instance-id: i-1\nlocal-hostname: node-1\n";
    let network = b"version: 2\nethernets: {a: {match: {macaddress: '52:54:00:00:00:01'}, dhcp4: true}}\n";
    let files: [(&str, &[u8]); 3] = [("user-data", GOOD.as_bytes()), ("meta-data", meta_data), ("network-config", network)];
    for (name, content) in [("sr0", iso("cidata", &files)), ("sr0", iso("CIDATA", &files)), ("vdb", vfat("CIDATA", &files))] {
        let mut world = World::new("").fw_cfg(OTHER);
        world.plug("vda", None, vec![0; 4096]);
        world.plug("vdc", None, vfat("OTHER", &files));
        world.plug(name, None, content);
        let ignored = "result=ignored source=fw_cfg sha256=7654 reason=\"another config outranks it\"";
        assert_eq!(world.says(), [format!("result=taken source=nocloud:/dev/{name} sha256=b24c").as_str(), ignored]);
        for folder in [world.path("run/kmimage/config"), world.path(paths::STATE_CONFIG)] {
            let platform = fs::read_to_string(folder.join("platform.json")).unwrap();
            assert!(platform.contains("\"hostname\": \"node-1\"") && platform.contains("52:54:00:00:00:01"), "{platform}");
        }
    }
}

#[test]
fn tools_proxmoxs_own_volume_says_who_the_machine_is() {
    let user_data = b"#cloud-config\nhostname: web-1\nmanage_etc_hosts: true\nuser: root\n";
    let network = b"version: 1\nconfig:\n    - type: nameserver\n      address:\n      - '10.0.0.1'\n";
    let files: [(&str, &[u8]); 3] = [("user-data", user_data), ("meta-data", b"instance-id: 1\n"), ("network-config", network)];
    let mut world = World::new("");
    world.plug("sr0", None, iso("cidata", &files));
    assert_eq!(world.says(), ["result=none platform=nocloud:/dev/sr0"]);
    // The drive goes, what it said stays.
    world.devices.clear();
    assert_eq!(world.says(), ["result=none platform=nocloud:/dev/sr0"]);
    // It counts beside a config from elsewhere, too.
    let world = world.fw_cfg(GOOD);
    assert_eq!(world.says(), ["result=taken source=fw_cfg sha256=b24c"]);
    assert!(fs::read_to_string(world.path(paths::PLATFORM)).unwrap().contains("web-1"));
}

#[test]
fn tools_partitions_are_read_where_they_are_named() {
    let mut world = World::new(&format!("kmimage.esp={ESP}"));
    world.plug("vda2", Some(ESP), vfat("ESP", &[("kmimage/machine.toml", GOOD.as_bytes())]));
    let mut watch = world.start();
    assert_eq!(world.look(&mut watch, &[]), ["result=taken source=esp sha256=b24c"]);
    // What is kept is erased there, which a power cut may end on the way.
    for file in [Some(("kmimage/machine.toml", &[0; GOOD.len()][..])), None] {
        world.write("dev/vda2", vfat("ESP", file.as_slice()));
        assert_eq!(world.look(&mut watch, &["vda2"]), Vec::<String>::new());
        fs::remove_dir_all(world.path("run/kmimage/config")).unwrap();
        watch = world.start();
        assert_eq!(world.look(&mut watch, &[]), ["result=taken source=state sha256=b24c"]);
    }
    let mut world = World::new(&format!("kmimage.config=PARTUUID={ESP}:/kmimage/other.toml"));
    world.plug("vda2", Some(ESP), vfat("ESP", &[("kmimage/other.toml", OTHER.as_bytes())]));
    assert_eq!(world.says(), [format!("result=taken source=partition:{ESP}:/kmimage/other.toml sha256=7654")]);
    let mut world = World::new(&format!("kmimage.config=PARTUUID={ESP}:/none"));
    world.plug("vda2", Some(ESP), vfat("ESP", &[]));
    let expect = format!("result=refused source=partition:{ESP}:/none error=\"/dev/vda2 has no file /none\"");
    assert_eq!(world.says(), [expect]);
}

#[test]
fn tools_a_good_seed_that_is_plugged_in_heals_a_bad_one() {
    let mut world = World::new("");
    world.plug("sr0", None, iso("cidata", &[("user-data", b"#kmimage\nversion = 1\nx = 1\n")]));
    let mut watch = world.start();
    let refused = world.look(&mut watch, &[]);
    assert!(
        refused[0].starts_with("result=refused source=nocloud:/dev/sr0 error=\"user-data:3:1: unknown key `x`"),
        "{refused:?}"
    );
    assert!(!world.path(paths::MACHINE_CONFIG).exists());
    world.plug("vdb", None, vfat("cidata", &[("user-data", GOOD.as_bytes())]));
    let lines = world.look(&mut watch, &["vdb"]);
    assert_eq!(lines[0], "result=taken source=nocloud:/dev/vdb sha256=b24c");
    // A corrected medium in the first drive counts more than one that came before.
    world.write("dev/sr0", iso("cidata", &[("user-data", OTHER.as_bytes())]));
    assert_eq!(world.look(&mut watch, &["sr0"])[0], "result=taken source=nocloud:/dev/sr0 sha256=7654");
    // Both go, and nothing changes.
    world.devices.clear();
    assert_eq!(world.look(&mut watch, &["sr0", "vdb"]), Vec::<String>::new());
    assert_eq!(fs::read_to_string(world.path(paths::MACHINE_CONFIG)).unwrap(), OTHER);
}

#[test]
fn tools_bad_volumes_are_refused_with_these_words() {
    let check = |content: Vec<u8>, error: &str| {
        let mut world = World::new("");
        world.plug("sr0", None, content);
        assert_eq!(world.says(), [format!("result=refused source=nocloud:/dev/sr0 error=\"{error}\"")]);
    };
    let user_data = |content: &[u8], error: &str| check(iso("cidata", &[("user-data", content)]), &format!("user-data{error}"));
    let whole = iso("cidata", &[("user-data", GOOD.as_bytes())]);
    check(whole[..24 * 2048].to_vec(), "the volume is truncated: it names byte 57344, which it doesn't have");
    let mut damaged = whole;
    // The root's record in the primary descriptor says how long the root is.
    damaged[16 * 2048 + 156 + 12] = 0xff;
    check(damaged, "the volume is damaged: a folder of more than 1 MiB");
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut bomb, &vec![b'#'; 100 << 20]).unwrap();
    user_data(&bomb.finish().unwrap(), ": it has more than 1048576 bytes when decompressed");
    user_data(&vec![b'#'; (1 << 20) + 1], " has 1048577 bytes; at most 1048576 are read");
    user_data(b"#kmimage\nversion = 1\nx = \"\xe4\"\n", ":3:6: not UTF-8");
    let unsupported = |what: &str| format!(": {what} is not supported; a machine config begins with `#kmimage`");
    user_data(b"Content-Type: multipart/mixed\n", &unsupported("a MIME message"));
    user_data(b"{\"ignition\":{\"version\":\"3.4.0\"}}", &unsupported("format: ignition"));
    user_data(b"#!/bin/sh\nreboot\n", &unsupported("a script (nothing here runs one)"));
    user_data(
        b"#kmimage\nversion = 1\n[machine]\nrole = \"worker\"\n",
        ":4:8: this is for the role `worker`, the image has the role `base`",
    );
    let beside =
        |name: &str, content: &[u8], error: &str| check(iso("cidata", &[("user-data", GOOD.as_bytes()), (name, content)]), error);
    let vrfs = "network-config: `vrfs` is not supported";
    beside("network-config", b"version: 2\nvrfs: {}\n", vrfs);
    beside("meta-data", b"instance-id: [1]\n", "meta-data: `instance-id`: a text is expected");
    // A volume that begins as FAT does, and whose root leaves it.
    let mut fat = vfat("CIDATA", &[("user-data", GOOD.as_bytes())]);
    fat.truncate(1024);
    check(fat, "the volume is truncated: it names byte 3584, which it doesn't have");
}
