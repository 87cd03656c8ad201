//! What has to be done. Pure.

use super::observe::Observed;
use crate::desired::{Desired, EtcFile};
use kmimage_contract::machine_config::Secret;
use std::collections::BTreeMap;

/// A change of the system. It carries all that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write a file that a child of init reads.
    WriteInput {
        /// Where.
        path: String,
        /// What.
        content: Secret,
    },
    /// Give the machine its name.
    SetHostname {
        /// The name.
        name: String,
    },
    /// Load a module and what it needs.
    LoadModule {
        /// Its name.
        name: String,
    },
    /// Set a kernel parameter.
    SetSysctl {
        /// Its path below /proc/sys.
        path: String,
        /// Its value.
        value: String,
    },
    /// Lay these files over the image's /etc.
    LayEtc {
        /// By path.
        files: BTreeMap<String, EtcFile>,
    },
}

impl Action {
    /// What it is about, for people; without any content.
    pub fn what(&self) -> String {
        match self {
            Self::WriteInput { path, .. } => path.clone(),
            Self::SetHostname { name } => format!("hostname {name}"),
            Self::LoadModule { name } => format!("module {name}"),
            Self::SetSysctl { path, .. } => format!("sysctl {}", path.replace('/', ".")),
            Self::LayEtc { .. } => "/etc".to_owned(),
        }
    }
}

/// What makes the machine what it is to be, in order: what children read; the name; modules; parameters, which modules may bring; /etc.
pub fn plan(desired: &Desired, observed: &Observed) -> Vec<Action> {
    let mut actions = Vec::new();
    for (path, content) in &desired.inputs {
        if observed.inputs.get(*path).map(String::as_str) != Some(content.reveal()) {
            actions.push(Action::WriteInput { path: (*path).to_owned(), content: content.clone() });
        }
    }
    if needs_name(desired, observed) {
        actions.push(Action::SetHostname { name: desired.hostname.name.clone() });
    }
    let missing = desired.modules.iter().filter(|name| !observed.modules.contains(*name));
    actions.extend(missing.map(|name| Action::LoadModule { name: name.clone() }));
    for (path, value) in &desired.sysctls {
        let known = observed.sysctls.get(path);
        if !known.is_some_and(|known| same_value(known, value)) {
            actions.push(Action::SetSysctl { path: path.clone(), value: value.clone() });
        }
    }
    if observed.etc.as_ref() != Some(&desired.etc) {
        actions.push(Action::LayEtc { files: desired.etc.clone() });
    }
    actions
}

/// A default is for a machine without a name: it doesn't outrank one that DHCP gave.
fn needs_name(desired: &Desired, observed: &Observed) -> bool {
    let nameless = matches!(observed.hostname.as_str(), "" | "(none)" | "localhost");
    observed.hostname != desired.hostname.name && (nameless || desired.hostname.source != "default")
}

/// The kernel separates the numbers of a parameter by tabs.
fn same_value(known: &str, wanted: &str) -> bool {
    known.split_whitespace().eq(wanted.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::platform::Platform;
    use crate::desired::{Inputs, desired};
    use kmimage_contract::cmdline::Purpose;
    use kmimage_contract::machine_config::{self, MachineConfig};
    use kmimage_contract::paths;

    const CONFIG: &str = "version = 1\n[machine]\nhostname = \"node-1\"\n[sysctl]\n\"net.ipv4.ip_local_port_range\" = \"1024 2000\"\n\
                          [kernel]\nmodules = [\"br-netfilter\"]\n[[file]]\npath = \"/etc/x.conf\"\ncontent = \"hunter2\"\n";

    fn wish(text: &str) -> Desired {
        let config =
            if text.is_empty() { MachineConfig::default() } else { machine_config::parse("t", text.as_bytes(), None).unwrap() };
        desired(Inputs {
            config: &config,
            platform: &Platform::default(),
            machine_id: &"ab".repeat(16),
            purpose: &Purpose::Usual,
        })
        .unwrap()
    }

    /// The machine as it is when everything has been done.
    fn done(desired: &Desired) -> Observed {
        Observed {
            hostname: desired.hostname.name.clone(),
            modules: desired.modules.iter().cloned().collect(),
            sysctls: desired.sysctls.iter().cloned().collect(),
            inputs: desired.inputs.iter().map(|(path, content)| ((*path).to_owned(), content.reveal().to_owned())).collect(),
            etc: Some(desired.etc.clone()),
        }
    }

    fn whats(actions: &[Action]) -> Vec<String> {
        actions.iter().map(Action::what).collect()
    }

    #[test]
    fn everything_is_done_in_its_order_and_only_once() {
        let wish = wish(CONFIG);
        let actions = plan(&wish, &Observed::default());
        let inputs = [
            paths::CLUSTER,
            paths::INSTALL,
            paths::LOG,
            paths::NETWORK,
            paths::PROXIES,
            paths::TIME,
            paths::UNITS,
            paths::VOLUMES,
        ]
        .map(str::to_owned);
        let rest = ["hostname node-1", "module br_netfilter", "sysctl net.ipv4.ip_local_port_range", "/etc"].map(str::to_owned);
        assert_eq!(whats(&actions), [inputs.to_vec(), rest.to_vec()].concat());
        assert_eq!(plan(&wish, &done(&wish)), []);
        assert!(!format!("{actions:?}").contains("hunter2"));
    }

    #[test]
    fn only_what_differs_is_done() {
        let wish = wish(CONFIG);
        let check = |change: fn(&mut Observed), expect: &[&str]| {
            let mut observed = done(&wish);
            change(&mut observed);
            assert_eq!(whats(&plan(&wish, &observed)), expect);
        };
        check(|observed| observed.hostname = "other".to_owned(), &["hostname node-1"]);
        check(|observed| observed.modules.clear(), &["module br_netfilter"]);
        check(|observed| observed.etc = None, &["/etc"]);
        check(|observed| observed.etc = Some(BTreeMap::new()), &["/etc"]);
        check(|observed| drop(observed.inputs.remove(paths::TIME)), &[paths::TIME]);
        let port_range = "net/ipv4/ip_local_port_range";
        assert!(done(&wish).sysctls.contains_key(port_range));
        check(
            |observed| drop(observed.sysctls.insert("net/ipv4/ip_local_port_range".to_owned(), "1024\t2000\n".to_owned())),
            &[],
        );
        check(
            |observed| drop(observed.sysctls.insert("net/ipv4/ip_local_port_range".to_owned(), "1024\t2001\n".to_owned())),
            &["sysctl net.ipv4.ip_local_port_range"],
        );
    }

    #[test]
    fn a_default_name_is_for_the_nameless() {
        let wish = wish("");
        let named = |name: &str| Observed { hostname: name.to_owned(), ..done(&wish) };
        assert_eq!(plan(&wish, &named("from-dhcp")), []);
        for nameless in ["", "(none)", "localhost"] {
            assert_eq!(whats(&plan(&wish, &named(nameless))), ["hostname kmimage-abababab"]);
        }
    }
}
