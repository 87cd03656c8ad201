use super::*;

fn hear(boot: &mut Boot, lines: &[&str]) -> Vec<Effect> {
    lines.iter().flat_map(|line| boot.hear(&StateLine::parse(&format!("kmimage: {line}")).unwrap())).collect()
}

const DISKS: [&str; 2] = ["storage state=mounted", "storage var=mounted size=1"];

/// What the machine is after these lines, as text.
fn standing(role: &str, lines: &[&str], applied: Found, unready: &[&str]) -> String {
    let mut boot = Boot::new(role, |_| true);
    hear(&mut boot, lines);
    boot.applied = applied;
    match boot.standing(unready) {
        Standing::Ready => "ready".to_owned(),
        Standing::Waiting { what, detail } => format!("waiting {what} {detail}").trim_end().to_owned(),
        Standing::Maintenance { reason } => format!("maintenance {reason}"),
    }
}

#[test]
fn each_missing_part_is_waited_for_by_name() {
    let check = |lines: &[&str], expect: &str| assert_eq!(standing("base", lines, Found::Good, &[]), expect, "{lines:?}");
    let [state, var] = DISKS;
    let (none, up) = ("config result=none", "network usable=yes");
    check(&[], "waiting state");
    check(&[var], "waiting state");
    check(&[state], "waiting config");
    check(&[state, none], "waiting var");
    check(&[state, var, none], "waiting network");
    check(&[state, var, none, "network waiting=carrier"], "waiting network carrier");
    check(&[state, var, none, up], "ready");
    check(&[up, none, var, state], "ready");
    check(&[state, var, none, up, "network usable=no waiting=address"], "waiting network address");
    check(&[state, var, none, up, "network waiting=carrier"], "ready");
    check(&[state, var, "config result=taken source=iso sha256=00", up], "ready");
}

#[test]
fn what_needs_help_is_maintenance() {
    let check = |role: &str, lines: &[&str], expect: &str| {
        let lines = [lines, &["network usable=yes"]].concat();
        assert_eq!(standing(role, &lines, Found::Good, &[]), expect, "{lines:?}");
    };
    let [state, var] = DISKS;
    check("worker", &[state, var, "config result=none"], "maintenance there is no machine config");
    check("worker", &[state, var, "config result=taken source=esp"], "ready");
    let refused = "config result=refused source=url error=\"no such key\"";
    check("base", &[state, var, refused], "maintenance the config from url is refused: no such key");
    check("base", &[state, var, refused, "config result=taken source=iso"], "ready");
    // Once there is a good one, others don't matter.
    check("base", &[state, var, "config result=taken source=iso", refused, "config result=none"], "ready");
    let failed = "storage-failed what=var cause=\"no such partition\" remedy=\"write the image anew\"";
    check("base", &[state, failed, "config result=none"], "maintenance var failed: no such partition; write the image anew");
    let failed = "storage-failed what=state cause=\"damaged\"";
    check("base", &[failed, "config result=none"], "maintenance state failed: damaged");
    let twins = "maintenance two disks carry the root of this boot, vda and sda, and no boot loader says which one is meant: \
                 remove one and restart";
    check("base", &[state, var, "devices root-twice=\"vda and sda\"", "config result=none"], twins);
}

#[test]
fn what_could_not_be_applied_and_services_count() {
    let lines = [DISKS[0], DISKS[1], "config result=none", "network usable=yes"];
    assert_eq!(standing("base", &lines, Found::Unknown(String::new()), &[]), "waiting configuration");
    assert_eq!(standing("base", &lines, Found::Failed("no /etc".to_owned()), &[]), "maintenance no /etc");
    assert_eq!(standing("base", &lines, Found::Good, &["a", "b"]), "waiting services a,b");
}

#[test]
fn what_fails_is_named_until_it_is_mended() {
    let good = [DISKS[0], DISKS[1], "config result=none", "network usable=yes"];
    let mut boot = Boot::new("base", |_| true);
    hear(&mut boot, &good);
    let check = |boot: &mut Boot, line: &str, expect: &str| {
        hear(boot, &[line]);
        let text = match boot.standing(&[]) {
            Standing::Maintenance { reason } => reason,
            other => format!("{other:?}"),
        };
        assert_eq!(text, expect, "{line}");
    };
    check(&mut boot, "applied failed=\"module x\" cause=\"there is none\" generation=1", "module x: there is none");
    check(&mut boot, "applied failed=/etc cause=no generation=1", "module x: there is none");
    check(&mut boot, "applied result=failed generation=1", "module x: there is none");
    check(&mut boot, "config result=taken source=iso", "Waiting { what: \"configuration\", detail: \"\" }");
    // A child that was at the config before says nothing of this one.
    check(&mut boot, "applied result=done generation=1", "Waiting { what: \"configuration\", detail: \"\" }");
    check(&mut boot, "applied result=done", "Waiting { what: \"configuration\", detail: \"\" }");
    check(&mut boot, "applied result=done generation=2", "Ready");
    check(&mut boot, "storage-failed what=volume-data cause=missing", "volume data failed: missing");
    check(&mut boot, "volume name=other state=mounted", "volume data failed: missing");
    check(&mut boot, "volume name=data state=mounted", "Ready");
}

#[test]
fn lines_have_effects() {
    let mut boot = Boot::new("base", |_| true);
    let mut check = |line: &str, expect: &[Effect]| assert_eq!(hear(&mut boot, &[line]), expect, "{line}");
    check("devices coldplug=done", &[Effect::Condition("coldplug", true)]);
    check("devices added=vdb", &[]);
    check("devices root-twice=\"vda and sda\"", &[]);
    check("storage state=mounted", &[Effect::Condition("state", true)]);
    check("storage var=mounted size=9", &[Effect::Condition("var", true)]);
    check("storage-failed what=state cause=x", &[Effect::Condition("state", true)]);
    check("storage-failed what=volume-data cause=x", &[]);
    check("storage-failed what=disk cause=x", &[Effect::Condition("state", true)]);
    check("config result=waiting source=http://x reason=asking", &[Effect::NetworkFirst]);
    let anew = [Effect::Condition("applied", false), Effect::Configure];
    check("config result=refused source=iso error=x", &anew);
    check("config result=taken source=iso", &anew);
    check("config result=refused source=iso error=x", &[]);
    check("config result=ignored source=iso", &[]);
    check("network usable=yes", &[Effect::Condition("network", true)]);
    check("network usable=no", &[Effect::Condition("network", false)]);
    check("network interface=ens3 state=up", &[]);
    check("network hostname=node-1.example", &[Effect::NameFromNetwork("node-1.example".to_owned())]);
    for bad in ["-x", "x..y", "a_b", "\"a b\"", "\"\""] {
        check(&format!("network hostname={bad}"), &[]);
    }
    check("applied inputs=written hostname=x hostname-source=config generation=2", &[Effect::InputsWritten { nameless: false }]);
    check("applied inputs=written hostname=x hostname-source=default generation=2", &[Effect::InputsWritten { nameless: true }]);
    check("applied result=done generation=1", &[]);
    check("applied failed=/etc cause=x generation=2", &[]);
    check("applied result=failed generation=2", &[]);
    check("applied result=done generation=2", &[Effect::Condition("applied", true)]);
    check("time synchronized=yes offset=1", &[Effect::Condition("time", true)]);
    check("request action=power-off reason=guest-agent", &[Effect::End { restart: false, reason: "guest-agent".to_owned() }]);
    check("request action=reboot", &[Effect::End { restart: true, reason: "request".to_owned() }]);
    check("request action=dance", &[]);
    check("request", &[]);
}

#[test]
fn parts_that_no_child_is_there_for_are_not_waited_for() {
    let boot = Boot::new("base", |_| false);
    assert_eq!(boot.standing(&[]), Standing::Waiting { what: "configuration", detail: String::new() });
    assert_eq!(boot.config_source(), "none");
}

#[test]
fn kubelet_may_start_once_its_files_are_there() {
    let effects = |line: &str| hear(&mut Boot::new("worker", |_| true), &[line]);
    let holds = |holds| Effect::Condition("kubelet-configured", holds);
    assert_eq!(effects("cluster kubelet=configured"), [Effect::ServicesChanged, holds(true)]);
    assert_eq!(effects("cluster kubelet=unconfigured"), [holds(false)]);
    assert_eq!(effects("cluster state=joining step=discovery"), []);
}

#[test]
fn a_machine_for_a_cluster_is_ready_when_its_node_was() {
    let base = [DISKS[0], DISKS[1], "config result=taken source=iso", "network usable=yes"];
    let mut boot = Boot::new("worker", |_| true).joining(true);
    hear(&mut boot, &base);
    boot.applied = Found::Good;
    let stands = |boot: &Boot, unready: &[&str]| match boot.standing(unready) {
        Standing::Waiting { what, detail } => format!("{what}: {detail}"),
        other => format!("{other:?}"),
    };
    assert!(!boot.cluster_is_named(false));
    assert_eq!(stands(&boot, &["kubelet"]), "cluster: the machine config has no `[cluster]`");
    assert!(boot.cluster_is_named(true));
    for (line, expect) in [
        ("cluster state=joining step=discovery", "cluster: joining: discovery"),
        ("cluster state=refused cause=clock message=\"it is off\" remedy=\"set it\"", "cluster: it is off; set it"),
        ("cluster changed=endpoint message=x", "cluster: it is off; set it"),
        ("cluster kubelet=configured", "cluster: kubelet starts"),
        ("cluster state=joined", "cluster: kubelet starts"),
        ("cluster node=missing reason=gone crio=up healthz=up", "cluster: gone"),
        (
            "cluster node=not-ready waiting=cni crio=up healthz=up",
            "cni: no network plugin has been installed in the cluster for this node yet",
        ),
        ("cluster node=ready crio=up healthz=up", "services: kubelet"),
        // What happens later is named by the line itself.
        ("cluster node=unknown reason=\"the API server is away\"", "services: kubelet"),
    ] {
        hear(&mut boot, &[line]);
        assert_eq!(stands(&boot, &["kubelet"]), expect, "{line}");
    }
    assert_eq!(stands(&boot, &[]), "Ready");
    assert!(boot.cluster_is_named(true));
    assert_eq!(stands(&boot, &[]), "Ready");
    // An image without kubelet joins nothing.
    assert!(!Boot::new("base", |_| true).joining(false).cluster_is_named(true));
}

#[test]
fn a_machine_that_installs_does_nothing_else() {
    let mut boot = Boot::new("worker", |_| true);
    let [state, var] = DISKS;
    hear(&mut boot, &[state, var, "network usable=yes", "config result=none"]);
    boot.applied = Found::Good;
    let mut check = |line: &str, expect: &str, effects: &[Effect]| {
        assert_eq!(hear(&mut boot, &[line]), effects, "{line}");
        let text = match boot.standing(&[]) {
            Standing::Ready => "ready".to_owned(),
            Standing::Waiting { what, detail } => format!("waiting {what} {detail}").trim_end().to_owned(),
            Standing::Maintenance { reason } => reason,
        };
        assert_eq!(text, expect, "{line}");
        assert!(boot.install_is_wanted(true) || line.contains("medium=no"));
    };
    check("time synchronized=no", "there is no machine config", &[]);
    check("install result=refused reason=\"several disks match\"", "nothing is installed: several disks match", &[]);
    check("install disk=sda serial=A model=B", "waiting install", &[]);
    check("install step=copy percent=30", "waiting install copy 30%", &[]);
    let failed = "install-failed what=install cause=\"writing the disk: I/O error\" remedy=\"look at it\"";
    check(failed, "nothing is installed: writing the disk: I/O error; look at it", &[]);
    check("install medium=no", "there is no machine config", &[Effect::NothingToInstall]);
}

#[test]
fn a_refused_config_installs_nothing() {
    let mut boot = Boot::new("base", |_| true);
    hear(&mut boot, &["config result=refused source=url error=\"no such key\""]);
    assert!(!boot.install_is_wanted(true));
    hear(&mut boot, &["config result=taken source=iso"]);
    assert!(boot.install_is_wanted(true));
    assert!(!boot.install_is_wanted(false));
}
