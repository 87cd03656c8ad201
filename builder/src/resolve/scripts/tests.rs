//! Excerpts of scripts that Debian 13 ships, and what the ledger makes of them.

use super::*;
use crate::compose::derive::alternatives::Link;

/// `line name` for what is uncovered, `(line name: how)` for the rest.
fn read(kind: ScriptKind, script: &str) -> Vec<String> {
    let line = |effect: Effect| match effect.covered {
        None => format!("{} {}", effect.line, effect.name),
        Some(how) => format!("({} {}: {how})", effect.line, effect.name),
    };
    effects(kind, script.as_bytes()).into_iter().map(line).collect()
}

fn check(script: &str, expect: &[&str]) {
    assert_eq!(read(ScriptKind::Postinst, &format!("#!/bin/sh\n{script}")), expect, "{script}");
}

const IPTABLES: &str = "#!/bin/sh

set -e

if [ \"$1\" = \"configure\" ] || [ \"$1\" = \"abort-upgrade\" ]; then
	update-alternatives \\
	  --install /usr/sbin/iptables iptables /usr/sbin/iptables-legacy 10 \\
	  --slave /usr/sbin/iptables-restore iptables-restore /usr/sbin/iptables-legacy-restore \\
	  --slave /usr/sbin/iptables-save iptables-save /usr/sbin/iptables-legacy-save
        update-alternatives \\
          --install /usr/sbin/iptables iptables /usr/sbin/iptables-nft 20 \\
          --slave /usr/sbin/iptables-restore iptables-restore /usr/sbin/iptables-nft-restore
fi
";

const DBUS: &str = "#!/bin/sh
MESSAGEUSER=messagebus
LAUNCHER=/usr/lib/dbus-1.0/dbus-daemon-launch-helper
if [ \"$1\" = configure ]; then
    if ! dpkg-statoverride --list \"$LAUNCHER\" >/dev/null; then
        dpkg-statoverride --update --add root \"$MESSAGEUSER\" 4754 \"$LAUNCHER\"
    fi
    in_sysroot adduser --system --quiet --group \"$MESSAGEUSER\"
    echo \"adduser is not called here\"
fi
";

#[test]
fn effects_of_real_excerpts() {
    // e2fsprogs
    check(
        "if [ -x /usr/sbin/update-initramfs -a \\\n\t-e /etc/initramfs-tools/initramfs.conf ]; then\n    update-initramfs -u\nfi\n\
         deb-systemd-helper unmask 'e2scrub_all.timer' >/dev/null || true",
        &["(4 update-initramfs: kmimage composes the initramfs)", "(6 deb-systemd-helper: services are init's)"],
    );
    // linux-image
    check(
        "version=6.12\ndepmod $version\nlinux-update-symlinks $change $version $image_path\ntouch /lib/modules/$version/.fresh-install\n\
         rm -f /lib/modules/$version/.fresh-install\nlinux-run-hooks image postinst $version $image_path -- \"$@\"",
        &[
            "(3 depmod: derive step kernel-modules)",
            "(4 linux-update-symlinks: an image has one kernel, in its boot image)",
            "(5 touch: derive step kernel-modules)",
            "(7 linux-run-hooks: an image has one kernel, in its boot image)",
        ],
    );
    // base-passwd
    check(
        "cp \"$DPKG_ROOT/usr/share/base-passwd/passwd.master\" \"$DPKG_ROOT/etc/passwd\"\ntouch \"$DPKG_ROOT/etc/subuid\"\n\
         chown 0:0 \"$DPKG_ROOT/etc/subuid\"\nchmod 644 \"$DPKG_ROOT/etc/subuid\"\n\
         if [ -n \"$2\" ] && ! update-passwd --dry-run > \"$tmp\" ; then :; fi",
        &["(2 cp: derive step users)", "3 touch", "4 chown", "5 chmod", "(6 update-passwd: derive step users)", "6 write"],
    );
    // ca-certificates: a here-document that mentions a program, a case whose pattern is one.
    check(
        "cat > /etc/ca-certificates.conf <<EOF\nupdate-ca-certificates reads this\nchown x y\nEOF\ncase \"$2\" in\n\
         update-ca-certificates)\n update-ca-certificates\n;;\nesac\ndpkg-trigger --no-await update-ca-certificates",
        &[
            "(2 write: derive step ca-certificates)",
            "(8 update-ca-certificates: derive step ca-certificates)",
            "(11 dpkg-trigger update-ca-certificates: derive step ca-certificates)",
        ],
    );
    // dash, libc6, bash
    check("truename=$(dpkg-divert --truename \"$dfile\")", &[]);
    check("dpkg-divert --package dash --no-rename --remove $dfile", &[]);
    check("dpkg-divert --quiet --add --no-rename --package base-files --divert \"$a\" \"$b\"", &["2 dpkg-divert"]);
    check("case \"$1\" in\n install|upgrade)\n ;;\nesac", &[]);
    check("if [ \"$1\" = \"configure\" ] && [ -x \"`command -v update-menus`\" ]; then\n\tupdate-menus\nfi", &[]);
    check(
        "dpkg-maintscript-helper rm_conffile /etc/init.d/kmod 34-1\\~ -- \"$@\"",
        &["(2 dpkg-maintscript-helper: it acts on upgrades only)"],
    );
    check("for x in a b; do update-alternatives --install /usr/bin/$x $x /opt/$x 10; done", &["2 update-alternatives"]);
    check("update-alternatives --remove awk /usr/bin/mawk", &[]);
    check("update-alternatives --install /usr/bin/a a /usr/bin/b ten", &["2 update-alternatives"]);
    check("DPKG_MAINTSCRIPT_PACKAGE='' update-initramfs -u", &["(2 update-initramfs: kmimage composes the initramfs)"]);
    check("setcap cap_net_raw+ep /usr/bin/ping || chmod u+s /usr/bin/ping", &["2 setcap", "2 chmod"]);
    check("$helper x; eval \"$y\"", &["2 indirect", "2 indirect"]);
    check("touch /run/reboot-required; touch /run/../etc/x", &["(2 touch: not in an image)", "2 touch"]);
    check("systemd-tmpfiles ${DPKG_ROOT:+--root=\"$DPKG_ROOT\"} --create passwd.conf || true", &["2 systemd-tmpfiles"]);
    assert_eq!(read(ScriptKind::Postinst, DBUS), ["6 dpkg-statoverride", "8 adduser"]);
    assert_eq!(read(ScriptKind::Postrm, DBUS), [""; 0]);
}

#[test]
fn triggers_and_other_languages() {
    let triggers = "# Triggers added by dh_makeshlibs/13.24.2\nactivate-noawait ldconfig\ninterest-noawait /usr/lib/sysctl.d\nactivate other\n";
    assert_eq!(
        read(ScriptKind::Triggers, triggers),
        ["(2 dpkg-trigger ldconfig: derive step ld.so.cache)", "4 dpkg-trigger other"]
    );
    assert_eq!(read(ScriptKind::Preinst, "#!/usr/bin/perl -w\nsystem 'chown';"), ["1 program"]);
    assert_eq!(effects(ScriptKind::Preinst, b"\x7fELF\xff\x00")[0].name, "program");
    assert_eq!(read(ScriptKind::Preinst, "#! /bin/bash\ntrue"), [""; 0]);
}

#[test]
fn alternatives_become_data() {
    let calls = alternatives(Script::of_member("iptables", "postinst", IPTABLES.as_bytes()).unwrap());
    let link = |link: &Link| format!("{} {} {}", link.link, link.name, link.path);
    let lines: Vec<_> = calls
        .iter()
        .map(|call| {
            let slaves: Vec<_> = call.slaves.iter().map(link).collect();
            format!("{} {}; {}", call.priority, link(&call.master), slaves.join("; "))
        })
        .collect();
    assert_eq!(
        lines,
        [
            "10 /usr/sbin/iptables iptables /usr/sbin/iptables-legacy; \
             /usr/sbin/iptables-restore iptables-restore /usr/sbin/iptables-legacy-restore; \
             /usr/sbin/iptables-save iptables-save /usr/sbin/iptables-legacy-save",
            "20 /usr/sbin/iptables iptables /usr/sbin/iptables-nft; \
             /usr/sbin/iptables-restore iptables-restore /usr/sbin/iptables-nft-restore",
        ]
    );
}

fn answer(package: &str, effects: &[&str]) -> ScriptAnswer {
    ScriptAnswer {
        package: package.to_owned(),
        script: ScriptKind::Postinst,
        effects: effects.iter().map(|name| (*name).to_owned()).collect(),
        reason: "reviewed".to_owned(),
    }
}

#[test]
fn what_nobody_answers_for_stops_locking() {
    let scripts = || {
        [("iptables", "postinst", IPTABLES), ("dbus", "postinst", DBUS), ("dbus", "prerm", "#!/bin/sh\nadduser x\n")]
            .map(|(package, name, text)| Script::of_member(package, name, text.as_bytes()).unwrap())
    };
    let error = ledger(scripts(), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the postinst of `dbus` would do in line 6 what no step of kmimage does: dpkg-statoverride (`dpkg-statoverride --update --add root \
         ... 4754 ...`); and 1 more effect like this"
    );
    assert_eq!(
        error.hints(),
        ["If the image does without it, or an overlay does it, answer in the profile:
# line 6: dpkg-statoverride --update --add root ... 4754 ...
# line 8: in_sysroot adduser --system --quiet --group ...
[[script]]
package = \"dbus\"
script = \"postinst\"
effects = [\"adduser\", \"dpkg-statoverride\"]
reason = \"...\""]
    );
    assert_eq!(ledger(scripts(), &[answer("dbus", &["adduser"])]).unwrap_err().0.len(), 1, "half an answer is none");
    let answers = [answer("dbus", &["adduser", "dpkg-statoverride", "chown"]), answer("gone", &["x"])];
    let ledger = ledger(scripts(), &answers).unwrap();
    assert_eq!(ledger.alternatives.len(), 2);
    assert_eq!(ledger.unused_answers, ["dbus postinst: chown", "gone postinst: x"]);
    assert_eq!(ledger.hashes["dbus"].keys().collect::<Vec<_>>(), ["postinst", "prerm"]);
    assert_eq!(ledger.hashes["iptables"]["postinst"], Sha256Digest::of(IPTABLES.as_bytes()));
}
