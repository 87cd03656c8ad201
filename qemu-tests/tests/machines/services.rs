//! A machine config applied in a machine, and its services: seen from inside by the probe, tortured, and ended in order.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]
#![allow(clippy::print_stderr, reason = "figures for docs/reliability.md")]

use kmimage_qemu_tests::count;
use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::probe::Probe;
use kmimage_qemu_tests::vm::{BOOT, Vm};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// For whatever a loaded host takes long for.
const SOON: Duration = Duration::from_secs(60);

/// A machine with this config from QEMU's fw_cfg. The file has to live as long as the machine starts.
fn start(config: &str, file: &tempfile::NamedTempFile) -> Vm {
    fs_err::write(file.path(), config).unwrap();
    Guest::test().user_network().fw_cfg("opt/org.kmimage/config", file.path()).start()
}

fn act(name: &str, words: &str, further: &str) -> String {
    let words: String = words.split(' ').map(|word| format!(", \"{word}\"")).collect();
    format!("[[service]]\nname = \"{name}\"\ncommand = [\"/usr/lib/kmimage/probe\", \"act\"{words}]\n{further}\n")
}

/// The main process of each service, by its control group and its parent.
fn services(probe: &mut Probe) -> BTreeMap<String, u32> {
    let of_init = probe.processes().into_iter().filter(|process| process.parent == 1 && process.state != 'Z');
    let named = of_init.filter_map(|process| Some((process.cgroup.strip_prefix("/services/")?.to_owned(), process.pid)));
    named.collect()
}

#[test]
fn vm_services_a_config_is_applied_and_its_services_run_as_it_says() {
    let base = "version = 1\n[machine]\nhostname = \"node-1\"\n[sysctl]\n\"net.core.somaxconn\" = \"4321\"\n\
                \"net.bridge.bridge-nf-call-iptables\" = \"1\"\n[kernel]\nmodules = [\"br_netfilter\"]\n\
                [network]\nhosts = { \"10.9.9.9\" = [\"nine\"] }\n\
                [[file]]\npath = \"/etc/foo/bar.conf\"\nmode = \"0640\"\ncontent = \"from the config\"\n";
    let config = [
        base,
        &act("web", "serve hello 127.0.0.1:8088", "readiness = { http = \"http://127.0.0.1:8088/x\" }\nneeds = [\"network\"]"),
        &act("late", "listen /run/late.sock", "readiness = { socket = \"/run/late.sock\" }\nneeds = [\"web\"]\noom-score = 77"),
        &act("after", "sleep 100000", "needs = [\"late\"]\nmemory-min = \"8 MiB\"\ncapabilities = [\"CAP_NET_ADMIN\"]"),
    ];
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut vm = start(&config.concat(), &file);
    let ready = vm.ready();
    assert_eq!(ready.config, "fw_cfg");
    {
        let mut probe = vm.probe();
        assert_eq!(probe.read("/proc/sys/kernel/hostname").trim(), "node-1");
        assert_eq!(probe.read("/etc/hostname"), "node-1\n");
        assert_eq!(
            (probe.sysctl("net.core.somaxconn").trim(), probe.sysctl("net.bridge.bridge-nf-call-iptables").trim()),
            ("4321", "1")
        );
        assert_eq!(probe.read("/etc/foo/bar.conf"), "from the config");
        assert_eq!(probe.stat("/etc/foo/bar.conf").unwrap().mode & 0o7777, 0o640);
        assert_eq!(probe.read("/etc/machine-id"), probe.read("/run/kmimage/state/machine-id"));
        assert!(probe.read("/etc/hosts").contains("nine") && probe.read("/etc/resolv.conf").contains("10.0.2.3"));
        assert!(probe.try_write("/etc/foo/other", b"x").unwrap_err().contains("Read-only file system"));
        assert!(probe.exists("/etc/passwd"), "the image's own files are seen, too");
        let mark = |probe: &mut Probe| probe.exists("/run/kmimage/state/config/ready").then_some(());
        probe.until("the mark that it was ready", SOON, mark);
        begin_in_order(&mut probe);
        run_as_they_should(&mut probe);
        frugal(&mut probe);
    }
    // What needs others is ready after them.
    let console = vm.console();
    let at =
        |name: &str| console.find(&format!("service name={name} state=running")).unwrap_or_else(|| panic!("{name}: {console}"));
    assert!(at("web") < at("late") && at("late") < at("after"), "{console}");
    vm.power_off();
    vm.assert_no_crash();
    // What needs others ends before them.
    let console = vm.console();
    let at =
        |name: &str| console.find(&format!("service name={name} state=stopping")).unwrap_or_else(|| panic!("{name}: {console}"));
    assert!(at("after") < at("late") && at("late") < at("web"));
}

/// What needs others was started after them; each of the first two is ready only a while after its start.
fn begin_in_order(probe: &mut Probe) {
    let running = services(probe);
    let begin = |probe: &mut Probe, name: &str| {
        let stat = probe.read(&format!("/proc/{}/stat", running[name]));
        // Field 22; the second may hold anything, in parentheses.
        let (_, behind) = stat.rsplit_once(") ").unwrap();
        behind.split(' ').nth(19).unwrap().parse::<u64>().unwrap()
    };
    let (web, late, after) = (begin(probe, "web"), begin(probe, "late"), begin(probe, "after"));
    assert!(web < late && late + 50 <= after, "{web} {late} {after}");
}

/// Limits, rights and control groups of the services.
fn run_as_they_should(probe: &mut Probe) {
    let processes = probe.processes();
    let of = |name: &str| processes.iter().find(|process| process.cgroup == format!("/services/{name}")).unwrap();
    assert_eq!(of("late").oom_score, 77);
    assert_eq!((of("web").status["CapEff"].as_str(), of("web").status["NoNewPrivs"].as_str()), ("0000000000000000", "1"));
    assert_eq!(
        (of("after").status["CapEff"].as_str(), of("after").status["CapBnd"].as_str()),
        ("0000000000001000", "0000000000001000")
    );
    assert_eq!(processes.iter().find(|process| process.pid == 1).unwrap().cgroup, "/init");
    // Whoever blocks SIGTERM ends late, by SIGKILL.
    for name in ["web", "late", "after"] {
        assert_eq!(of(name).status["SigBlk"], "0000000000000000", "{name}");
    }
    assert_eq!(probe.read("/sys/fs/cgroup/services/after/memory.min").trim(), (8 << 20).to_string());
    let controllers = probe.read("/sys/fs/cgroup/cgroup.subtree_control");
    assert!(
        ["cpu", "memory", "pids", "io"].iter().all(|wanted| controllers.split_whitespace().any(|one| one == *wanted)),
        "{controllers}"
    );
}

/// All that is init itself takes no more than 12 MiB.
fn frugal(probe: &mut Probe) {
    let init = |command: &[String]| command.first().is_some_and(|program| program.ends_with("/init"));
    let own: Vec<_> = probe.processes().into_iter().filter(|process| process.pid == 1 || init(&process.command)).collect();
    let sum: u64 = own.iter().map(|process| process.pss_kib).sum();
    for process in &own {
        eprintln!("PSS {} KiB, RSS {} KiB: {:?}", process.pss_kib, process.rss_kib, process.command);
    }
    eprintln!("PSS of init and its children: {sum} KiB");
    assert!(sum <= 12 << 10, "{sum} KiB");
}

#[test]
fn vm_services_that_misbehave_are_kept_in_order() {
    let quick = "restart = { minimum-ms = 50, maximum-ms = 200 }\nstop-timeout-s = 1";
    // Once is enough: while memory ends, all of a machine is slow.
    let slow = "restart = { minimum-ms = 3000000, maximum-ms = 3600000 }";
    let config = [
        "version = 1\n",
        &act("well", "sleep 100000", quick),
        &act("exits", "exit 3", quick),
        &act("stubborn", "ignore-term", quick),
        &act("forks", "fork 3", quick),
        &act("floods", "flood", quick),
        &act("eats", "eat", slow),
    ];
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut vm = start(&config.concat(), &file);
    vm.ready();
    let eaten = |line: &kmimage_contract::state_line::StateLine| {
        line.get("name") == Some("eats") && line.get("reason").is_some_and(|reason| reason.contains("out of memory"))
    };
    vm.state_after(Default::default(), "service", BOOT, eaten);
    {
        let mut probe = vm.probe();
        let memory = |probe: &mut Probe| probe.processes().into_iter().find(|process| process.pid == 1).unwrap().rss_kib;
        let before = memory(&mut probe);
        let mut slowest = Duration::ZERO;
        let times = count::times(3, 100);
        for _ in 0..times {
            for name in ["well", "stubborn", "floods"] {
                let running = |probe: &mut Probe| services(probe).get(name).copied();
                let old = probe.until(name, SOON, running);
                probe.kill(old, 9);
                let begin = Instant::now();
                probe.until(&format!("{name}, started again"), SOON, |probe| running(probe).filter(|pid| *pid != old));
                slowest = slowest.max(begin.elapsed());
            }
        }
        let after = memory(&mut probe);
        eprintln!("{times} x 3 kills, slowest return {slowest:?}, process 1 {before} -> {after} KiB");
        assert!(after < before + 512, "process 1 grew from {before} to {after} KiB");
        // Daemons of earlier runs of `forks` are gone, zombies, too.
        let clean = |probe: &mut Probe| {
            let processes = probe.processes();
            let forked = processes.iter().filter(|process| process.cgroup == "/services/forks").count();
            (forked <= 4 && processes.iter().all(|process| process.state != 'Z')).then_some(())
        };
        probe.until("no zombies and no old daemons", SOON, clean);
        // The flood's files are bounded.
        let sizes: u64 = probe.list("/var/log").iter().filter(|name| name.starts_with("floods.log")).count() as u64;
        assert!((1..=4).contains(&sizes), "{sizes} files of the flood");
    }
    let begin = Instant::now();
    vm.power_off();
    eprintln!("power off took {:?}", begin.elapsed());
}
