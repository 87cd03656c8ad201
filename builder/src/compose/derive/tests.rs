//! Each step against the program that it replaces, on the same tree.

use super::testing::{bytes_of, overlay, package, path, put, run, slurp, spill, target_of, text_of};
use super::*;
use crate::compose::facts::testing::{ElfSpec, module};
use std::collections::BTreeSet;
use std::path::Path;

fn facts(tree: &Tree) -> Facts {
    Facts::gather(tree, None, 2).unwrap()
}

fn text(at: &Path) -> String {
    fs_err::read_to_string(at).unwrap()
}

#[test]
fn every_step_in_order() {
    let mut tree = Tree::new();
    let libc = ElfSpec { soname: Some("libc.so.6"), ..Default::default() }.bytes();
    put(&mut tree, "/usr/lib/x86_64-linux-gnu/libc.so.6", &libc, &package("libc6"));
    put(&mut tree, "/usr/lib/os-release", b"ID=debian\n", &package("base-files"));
    put(&mut tree, "/usr/lib/modules/6.1/kernel/a.ko", &module(&["name=a"]), &package("linux"));
    put(&mut tree, "/usr/share/ca-certificates/a.crt", b"A", &package("ca-certificates"));
    let release = Release { image_id: "kmimage-base".into(), version: "1.2".into(), role: "base".into(), slot_size: 256 << 20 };
    let init = Content::from_bytes(ElfSpec::default().bytes());
    let facts = facts(&tree);
    let inputs = Inputs { facts: &facts, init: &init, release: &release, alternatives: &[] };
    let tree = all(tree, inputs).unwrap();
    let derived: Vec<String> = tree
        .iter()
        .filter(|(_, entry)| !matches!(entry.origin, Origin::Package { .. }))
        .map(|(path, entry)| format!("{path} {:o} {}", entry.mode, entry.origin))
        .collect();
    assert_eq!(
        derived,
        [
            "/ 755 kmimage",
            "/bin 777 derive skeleton",
            "/dev 755 derive skeleton",
            "/etc 755 derive skeleton",
            "/etc/group 644 derive users",
            "/etc/ld.so.cache 644 derive ld.so.cache",
            "/etc/machine-id 444 derive skeleton",
            "/etc/mtab 777 derive skeleton",
            "/etc/os-release 777 derive os-release",
            "/etc/passwd 644 derive users",
            "/etc/ssl 755 derive ca-certificates",
            "/etc/ssl/certs 755 derive ca-certificates",
            "/etc/ssl/certs/ca-certificates.crt 644 derive ca-certificates",
            "/lib 777 derive skeleton",
            "/lib64 777 derive skeleton",
            "/proc 555 derive skeleton",
            "/root 700 derive skeleton",
            "/run 755 derive skeleton",
            "/sbin 777 derive skeleton",
            "/sys 555 derive skeleton",
            "/tmp 1777 derive skeleton",
            "/usr/bin 755 derive skeleton",
            "/usr/lib/kmimage 755 kmimage",
            "/usr/lib/kmimage/init 755 kmimage",
            "/usr/lib/modules/6.1/modules.alias 644 derive kernel-modules",
            "/usr/lib/modules/6.1/modules.dep 644 derive kernel-modules",
            "/usr/lib/modules/6.1/modules.devname 644 derive kernel-modules",
            "/usr/lib/modules/6.1/modules.softdep 644 derive kernel-modules",
            "/usr/lib/os-release 644 derive os-release",
            "/usr/lib64 755 derive skeleton",
            "/usr/sbin 755 derive skeleton",
            "/usr/sbin/init 777 kmimage",
            "/usr/sbin/modprobe 777 kmimage",
            "/var 755 derive skeleton",
            "/var/cache 755 derive skeleton",
            "/var/lib 755 derive skeleton",
            "/var/lock 777 derive skeleton",
            "/var/log 755 derive skeleton",
            "/var/run 777 derive skeleton",
            "/var/tmp 1777 derive skeleton",
        ]
    );
    assert_eq!(Release::parse(&text_of(&tree, "/usr/lib/os-release")).unwrap(), release);
    assert_eq!(tree.resolve(&path("/sbin/init")), Some(path(kmimage_contract::paths::INIT)));
    assert_eq!(tree.resolve(&path("/etc/os-release")), Some(path("/usr/lib/os-release")));
    assert_eq!(text_of(&tree, "/etc/machine-id"), "");
}

#[test]
fn an_overlays_configuration_stays_and_kmimages_own_is_refused() {
    let mut tree = Tree::new();
    put(&mut tree, "/etc/passwd", b"mine\n", &overlay("site"));
    users::derive(&mut tree).unwrap();
    assert_eq!(text_of(&tree, "/etc/passwd"), "mine\n");
    put(&mut tree, "/usr/lib/os-release", b"ID=x\n", &overlay("site"));
    let release = Release { image_id: "kmimage-base".into(), version: "1".into(), role: "base".into(), slot_size: 256 << 20 };
    let error = os_release::derive(&mut tree, &release).unwrap_err();
    assert_eq!(error.to_string(), "overlay site brings /usr/lib/os-release, which kmimage writes itself");
}

#[test]
fn modules_in_a_circle_and_twice_are_named() {
    let mut tree = Tree::new();
    put(&mut tree, "/usr/lib/modules/6.1/a.ko", &module(&["depends=b"]), &package("linux"));
    put(&mut tree, "/usr/lib/modules/6.1/b.ko", &module(&["depends=a"]), &package("linux"));
    put(&mut tree, "/usr/lib/modules/6.1/c.ko", &module(&["depends=a"]), &package("linux"));
    let error = kernel_modules::derive(&mut tree.clone(), &facts(&tree)).unwrap_err();
    assert_eq!(error.to_string(), "kernel modules need each other in a circle: a, b");
    put(&mut tree, "/usr/lib/modules/6.1/updates/c.ko", &module(&[]), &package("other"));
    let error = kernel_modules::derive(&mut tree.clone(), &facts(&tree)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "kernel module c is there twice: /usr/lib/modules/6.1/c.ko and /usr/lib/modules/6.1/updates/c.ko"
    );
}

/// Modules by a C compiler: `uses` become undefined symbols, `exports` defined ones, so that depmod resolves them itself.
fn compile_module(directory: &Path, file: &str, modinfo: &[&str], exports: &[&str], uses: &[&str]) {
    let mut source = String::new();
    for (at, line) in modinfo.iter().enumerate() {
        source.push_str(&format!("static const char i{at}[] __attribute__((section(\".modinfo\"), used)) = {line:?};\n"));
    }
    for symbol in exports {
        source.push_str(&format!(
            "int {symbol}; unsigned __crc_{symbol} = 1;\n\
             static const char k_{symbol}[] __attribute__((section(\"__ksymtab_strings\"), used)) = \"{symbol}\";\n"
        ));
    }
    for symbol in uses {
        source.push_str(&format!("extern int {symbol}; int *p_{symbol} = &{symbol};\n"));
    }
    let c = directory.join("module.c");
    fs_err::write(&c, source).unwrap();
    let out = directory.join(file);
    fs_err::create_dir_all(out.parent().unwrap()).unwrap();
    run("cc", &["-c", "-fno-common", "-o", out.to_str().unwrap(), c.to_str().unwrap()]);
    fs_err::remove_file(c).unwrap();
}

#[test]
fn tools_depmod_writes_the_same_indexes() {
    let directory = tempfile::tempdir().unwrap();
    let modules = directory.path().join("usr/lib/modules/6.1.0-x");
    let make = |file: &str, modinfo: &[&str], exports: &[&str], uses: &[&str]| {
        compile_module(directory.path(), &format!("usr/lib/modules/6.1.0-x/{file}"), modinfo, exports, uses);
    };
    make("kernel/lib/crc-x.ko", &["alias=crypto-crc", "depends="], &["crc"], &[]);
    make("kernel/fs/jbd2.ko", &["depends=crc-x", "softdep=pre: crypto-crc32c"], &["journal"], &["crc"]);
    make(
        "kernel/fs/ext4.ko",
        &["alias=fs-ext4", "alias=fs-ext3", "depends=jbd2,crc-x,mbcache"],
        &[],
        &["journal", "crc", "cache"],
    );
    make("kernel/fs/mbcache.ko", &["depends="], &["cache"], &[]);
    make("kernel/fs/fuse.ko", &["alias=devname:fuse", "alias=char-major-10-229"], &[], &[]);
    make("kernel/drivers/loop.ko", &["alias=block-major-7-*", "alias=devname:loop-control", "alias=char-major-10-237"], &[], &[]);
    make("extra/late.ko", &["depends=ext4"], &[], &[]);
    make("extra/user.ko", &["depends=mbcache,jbd2"], &[], &["cache", "journal"]);
    let order = "kernel/fs/ext4.ko\nkernel/lib/crc-x.ko\nkernel/fs/jbd2.ko\nkernel/fs/fuse.ko\nkernel/fs/mbcache.ko\nkernel/drivers/loop.ko\nextra/user.ko\nextra/late.ko\n";
    fs_err::write(modules.join("modules.order"), order).unwrap();
    fs_err::write(modules.join("modules.builtin"), "").unwrap();
    fs_err::os::unix::fs::symlink("usr/lib", directory.path().join("lib")).unwrap();

    let mut tree = slurp(directory.path(), &package("linux"));
    kernel_modules::derive(&mut tree.clone(), &facts(&tree)).unwrap();
    let known = facts(&tree);
    kernel_modules::derive(&mut tree, &known).unwrap();
    run("depmod", &["-b", directory.path().to_str().unwrap(), "6.1.0-x"]);
    let ours = |name: &str| text_of(&tree, &format!("/usr/lib/modules/6.1.0-x/{name}"));
    for name in ["modules.alias", "modules.softdep", "modules.devname"] {
        assert_eq!(ours(name), text(&modules.join(name)), "{name}");
    }
    assert!(ours("modules.devname").contains("fuse fuse c10:229"));
    // `late` names ext4 in `depends` but uses none of its symbols, which modpost never writes: only we follow it.
    let lines = |text: &str| -> BTreeSet<(String, BTreeSet<String>)> {
        let line = |line: &str| {
            let (file, needs) = line.split_once(':').unwrap();
            (file.to_owned(), needs.split_whitespace().map(str::to_owned).collect())
        };
        text.lines().filter(|line| !line.starts_with("extra/late.ko")).map(line).collect()
    };
    assert_eq!(lines(&ours("modules.dep")), lines(&text(&modules.join("modules.dep"))));
    check_load_order(&ours("modules.dep"));
    assert!(ours("modules.dep").contains("\nkernel/fs/jbd2.ko: kernel/lib/crc-x.ko\n"), "{}", ours("modules.dep"));
}

/// Loading each line from its end to its front, every module comes after all that it needs itself.
fn check_load_order(text: &str) {
    let needs: std::collections::BTreeMap<&str, Vec<&str>> = text
        .lines()
        .map(|line| line.split_once(':').unwrap())
        .map(|(file, needs)| (file, needs.split_whitespace().collect()))
        .collect();
    for (file, line) in &needs {
        let mut loaded = BTreeSet::new();
        for module in line.iter().rev().chain([file]) {
            for need in &needs[module] {
                assert!(loaded.contains(need), "{file}: {module} before {need}");
            }
            loaded.insert(*module);
        }
    }
}

#[test]
fn tools_update_ca_certificates_writes_the_same_bundle() {
    let mut tree = Tree::new();
    let origin = package("ca-certificates");
    for (name, text) in
        [("b.crt", "B\n"), ("a.crt", "A no newline"), ("a/z.crt", "Z\n\n"), ("a-b.crt", "A-B\n"), ("Ü (x).crt", "Ü\n")]
    {
        put(&mut tree, &format!("/usr/share/ca-certificates/mozilla/{name}"), text.as_bytes(), &origin);
    }
    put(&mut tree, "/usr/share/ca-certificates/mozilla/readme.txt", b"no", &origin);
    put(&mut tree, "/usr/local/share/ca-certificates/site/corp.crt", b"CORP", &overlay("site"));
    put(&mut tree, "/usr/local/share/ca-certificates/corp-2.crt", b"CORP2\n", &overlay("site"));
    let judged = |tree: &Tree, default: bool| {
        let directory = tempfile::tempdir().unwrap();
        spill(tree, directory.path());
        let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        fs_err::create_dir_all(at("etc/ssl/certs")).unwrap();
        if !Path::new(&at("etc/ca-certificates.conf")).exists() {
            fs_err::write(at("etc/ca-certificates.conf"), "").unwrap();
        }
        let (conf, shipped, local) =
            (at("etc/ca-certificates.conf"), at("usr/share/ca-certificates"), at("usr/local/share/ca-certificates"));
        let (certs, hooks) = (at("etc/ssl/certs"), at("none"));
        let mut arguments = vec!["--certsconf", &conf, "--certsdir", &shipped, "--localcertsdir", &local];
        arguments.extend(["--etccertsdir", &certs, "--hooksdir", &hooks]);
        if default {
            arguments.push("--default");
        }
        run("update-ca-certificates", &arguments);
        text(Path::new(&at("etc/ssl/certs/ca-certificates.crt")))
    };
    let bundle = |tree: &Tree| {
        let mut tree = tree.clone();
        ca_certificates::derive(&mut tree).unwrap();
        text_of(&tree, "/etc/ssl/certs/ca-certificates.crt")
    };
    assert_eq!(bundle(&tree), judged(&tree, true));
    assert_eq!(bundle(&tree).lines().next(), Some("A-B"));
    let conf = "# chosen\n\nmozilla/b.crt\n!mozilla/a/z.crt\nmozilla/none.crt\nmozilla/a.crt\n";
    put(&mut tree, "/etc/ca-certificates.conf", conf.as_bytes(), &overlay("site"));
    assert_eq!(bundle(&tree), judged(&tree, false));
    assert_eq!(bundle(&tree), "B\nA no newline\nCORP2\nCORP\n");
}

#[test]
fn tools_ldconfig_writes_the_same_cache_and_links() {
    let mut tree = Tree::new();
    let origin = package("libs");
    let mut library = |file: &str, soname: Option<&str>| {
        put(&mut tree, file, &ElfSpec { soname, needed: &["libc.so.6"], ..Default::default() }.bytes(), &origin);
    };
    let multiarch = "/usr/lib/x86_64-linux-gnu";
    library(&format!("{multiarch}/libc.so.6"), Some("libc.so.6"));
    library(&format!("{multiarch}/ld-linux-x86-64.so.2"), Some("ld-linux-x86-64.so.2"));
    for version in ["libz.so.1.9.0", "libz.so.1.10.0", "libz.so.1.2"] {
        library(&format!("{multiarch}/{version}"), Some("libz.so.1"));
    }
    library(&format!("{multiarch}/libnoname-2.so"), None);
    library(&format!("{multiarch}/libcrypt.so.1.1.0"), Some("libcrypt.so.1"));
    library(&format!("{multiarch}/other.so"), Some("other.so"));
    library("/usr/lib/libz.so.1", Some("libz.so.1"));
    library("/opt/vendor/lib/libvendor.so.535.10", Some("libvendor.so.1"));
    library("/opt/vendor/lib/libvendor.so.535.9", Some("libvendor.so.1"));
    put(&mut tree, &format!("{multiarch}/libtext.so"), b"INPUT(-lc)", &origin);
    put(&mut tree, "/etc/ld.so.conf", b"# all\ninclude ld.so.conf.d/*.conf\n", &origin);
    put(&mut tree, "/etc/ld.so.conf.d/vendor.conf", b"/opt/vendor/lib/ # ours\n/none\n", &origin);
    put(&mut tree, "/etc/ld.so.conf.d/a.conf", b"/lib/x86_64-linux-gnu\n/usr/lib/x86_64-linux-gnu\n", &origin);
    for (link, target) in [
        ("/lib", "usr/lib"),
        (&*format!("{multiarch}/libcrypt.so.1"), "libcrypt.so.1.1.0"),
        (&*format!("{multiarch}/libz.so"), "libz.so.1.9.0"),
        (&*format!("{multiarch}/libalias.so.3"), "libcrypt.so.1.1.0"),
    ] {
        tree.insert(path(link), Entry::symlink(target, origin.clone()));
    }
    let directory = tempfile::tempdir().unwrap();
    spill(&tree, directory.path());
    let root = directory.path().to_str().unwrap();
    run("ldconfig", &["-r", root]);
    let known = facts(&tree);
    ld_so_cache::derive(&mut tree, &known).unwrap();

    let theirs = run("ldconfig", &["-r", root, "-p"]);
    fs_err::write(directory.path().join("etc/ours.cache"), bytes_of(&tree, "/etc/ld.so.cache")).unwrap();
    let ours = run("ldconfig", &["-r", root, "-p", "-C", "/etc/ours.cache"]);
    let entries = |text: &str| -> Vec<String> { text.lines().filter(|line| line.contains("=>")).map(str::to_owned).collect() };
    assert_eq!(entries(&ours), entries(&theirs));
    assert!(entries(&ours).contains(&"\tlibvendor.so.1 (libc6,x86-64) => /opt/vendor/lib/libvendor.so.1".to_owned()), "{ours}");

    let links = |tree: &Tree| -> BTreeSet<(String, String)> {
        let links = tree.iter().filter(|(_, entry)| matches!(entry.kind, Kind::Symlink(_)));
        links.map(|(at, _)| (at.to_string(), target_of(tree, &at.to_string()))).collect()
    };
    assert_eq!(links(&tree), links(&slurp(directory.path(), &origin)));
    assert_eq!(target_of(&tree, &format!("{multiarch}/libz.so.1")), "libz.so.1.10.0");
}

#[test]
fn tools_update_alternatives_makes_the_same_links() {
    let mut tree = Tree::new();
    let origin = package("iptables");
    for name in ["/usr/sbin/iptables-nft", "/usr/sbin/iptables-legacy", "/usr/sbin/iptables-nft-save"] {
        put(&mut tree, name, b"x", &origin);
    }
    let link =
        |link: &str, name: &str, path: &str| alternatives::Link { link: link.into(), name: name.into(), path: path.into() };
    let save = |path: &str| vec![link("/usr/sbin/iptables-save", "iptables-save", path)];
    let candidate = |path: &str, priority, slaves| alternatives::Alternative {
        master: link("/usr/sbin/iptables", "iptables", path),
        priority,
        slaves,
    };
    let all = [
        candidate("/usr/sbin/iptables-legacy", 10, save("/usr/sbin/iptables-legacy-save")),
        candidate("/usr/sbin/iptables-nft", 20, save("/usr/sbin/iptables-nft-save")),
        candidate("/usr/sbin/iptables-gone", 30, vec![]),
    ];
    let directory = tempfile::tempdir().unwrap();
    spill(&tree, directory.path());
    fs_err::create_dir_all(directory.path().join("var/lib/dpkg/alternatives")).unwrap();
    fs_err::create_dir_all(directory.path().join("etc/alternatives")).unwrap();
    let root = directory.path().to_str().unwrap();
    for alternative in &all[..2] {
        let priority = alternative.priority.to_string();
        let alternatives::Link { link, name, path } = &alternative.master;
        let mut arguments = vec!["--root", root, "--log", "/dev/null", "--install", link, name, path, &priority];
        for slave in &alternative.slaves {
            arguments.extend(["--slave", &slave.link, &slave.name, &slave.path]);
        }
        run("update-alternatives", &arguments);
    }
    alternatives::derive(&mut tree, &all).unwrap();
    let judged = slurp(directory.path(), &origin);
    for at in ["/usr/sbin/iptables", "/usr/sbin/iptables-save", "/etc/alternatives/iptables", "/etc/alternatives/iptables-save"] {
        assert_eq!(target_of(&tree, at), target_of(&judged, at), "{at}");
    }
    assert_eq!(tree.resolve(&path("/usr/sbin/iptables")), Some(path("/usr/sbin/iptables-nft")));
}
