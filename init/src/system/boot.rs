//! What is known of the boot so far, and what that makes of the machine: booting, waiting, in maintenance, or ready. Pure.
//!
//! Children say what they found in state lines; each changes one fact here. Nothing else decides whether the machine is ready.

mod cluster;
mod install;
#[cfg(test)]
mod tests;

use cluster::Cluster;
use install::Install;
use kmimage_contract::machine_config::Condition;
use kmimage_contract::state_line::StateLine;
use std::collections::BTreeMap;

/// Everything that decides where the machine stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Boot {
    /// Whether the image does its work without a config.
    works_without_config: bool,
    pub(super) state: Found,
    pub(super) var: Found,
    pub(super) config: Config,
    /// Whether what the config asks for has been made so; or what could not be.
    pub(super) applied: Found,
    pub(super) network: Found,
    /// How it stands with its cluster.
    cluster: Cluster,
    /// How it stands with an installation.
    install: Install,
    /// Further disks that can't be had, and why.
    volumes: BTreeMap<String, String>,
    /// Two disks of which each could be the one that this boot is from.
    twins: Option<String>,
    /// How often it was decided anew what the machine is to be. What an earlier decision's child says doesn't count any more.
    pub(super) generation: u32,
}

/// What is known of a part of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing yet; or what it waits for itself.
    Unknown(String),
    /// It is as it should be.
    Good,
    /// It can't be had, and why.
    Failed(String),
}

/// What is known of the machine config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Config {
    /// Its sources are still being read.
    Unknown,
    /// There is one.
    Taken {
        /// Where it is from.
        source: String,
    },
    /// There is none.
    Absent,
    /// There is one that can't be taken.
    Refused {
        /// Where it is from.
        source: String,
        /// What is wrong with it.
        error: String,
    },
}

/// What follows from something that a child said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// A condition that units need holds, or doesn't any more.
    Condition(&'static str, bool),
    /// It is known (anew) what the machine is to be: make it so.
    Configure,
    /// What the image's services read of the machine is there, or has changed.
    ServicesChanged,
    /// The files that children read are there, and the machine has its name.
    InputsWritten {
        /// Whether nobody has named the machine.
        nameless: bool,
    },
    /// The network has a name for the machine.
    NameFromNetwork(String),
    /// What was to be installed is not: the machine does what it does otherwise.
    NothingToInstall,
    /// A source of configs is reached by the network: start it as it is by default.
    NetworkFirst,
    /// The machine is to go off, or to restart.
    End {
        /// Whether it restarts.
        restart: bool,
        /// Who wants it.
        reason: String,
    },
}

/// Where the machine stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// On its way, and this is what it waits for.
    Waiting {
        /// What.
        what: &'static str,
        /// What is known of it.
        detail: String,
    },
    /// It can't go on without somebody's help.
    Maintenance {
        /// Why.
        reason: String,
    },
    /// It does what it is for.
    Ready,
}

impl Boot {
    /// The beginning of a boot of an image with this role. What no child finds out (`is_there` says which there are) counts as good.
    pub(super) fn new(role: &str, is_there: impl Fn(&str) -> bool) -> Self {
        let unknown = |child| if is_there(child) { Found::Unknown(String::new()) } else { Found::Good };
        Self {
            works_without_config: role == "base",
            state: unknown("storage"),
            var: unknown("storage"),
            config: if is_there("config") { Config::Unknown } else { Config::Absent },
            applied: Found::Unknown(String::new()),
            network: unknown("network"),
            cluster: Cluster::Unneeded,
            install: Install::Unneeded,
            volumes: BTreeMap::new(),
            twins: None,
            generation: 0,
        }
    }

    /// The same for an image with a kubelet: such a machine is for a cluster.
    pub(super) fn joining(mut self, has_kubelet: bool) -> Self {
        self.cluster = Cluster::of(has_kubelet);
        self
    }

    /// Takes in whether the config names a cluster; whether there is one to join.
    pub(super) fn cluster_is_named(&mut self, named: bool) -> bool {
        self.cluster.is_named(named)
    }

    /// Takes in whether something is to be installed; whether the machine does that and nothing else.
    pub(super) fn install_is_wanted(&mut self, wanted: bool) -> bool {
        // A config that is refused may have said where.
        self.install.is_wanted(wanted && !matches!(self.config, Config::Refused { .. }));
        self.installs()
    }

    /// Whether the machine installs, and does nothing else.
    pub(super) fn installs(&self) -> bool {
        matches!(self.install, Install::Wanted(_))
    }

    /// Takes in what a built-in child said.
    pub(super) fn hear(&mut self, line: &StateLine) -> Vec<Effect> {
        match line.state() {
            "devices" if line.get("coldplug") == Some("done") => vec![Effect::Condition("coldplug", true)],
            "devices" if line.get("root-twice").is_some() => {
                self.twins = line.get("root-twice").map(str::to_owned);
                Vec::new()
            }
            "storage" => self.hear_storage(line),
            "storage-failed" => self.hear_storage_failed(line),
            "config" => self.hear_config(line),
            "applied" => self.hear_applied(line),
            "volume" => self.hear_volume(line),
            "network" => self.hear_network(line),
            "time" => match line.get("synchronized") {
                Some("yes") => vec![Effect::Condition("time", true)],
                _ => Vec::new(),
            },
            "cluster" => self.hear_cluster(line),
            "install" | "install-failed" => self.install.hear(line).into_iter().collect(),
            "request" => hear_request(line).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn hear_storage(&mut self, line: &StateLine) -> Vec<Effect> {
        let mut effects = Vec::new();
        if line.get("state") == Some("mounted") {
            self.state = Found::Good;
            effects.push(Effect::Condition("state", true));
        }
        if line.get("var") == Some("mounted") {
            self.var = Found::Good;
            effects.push(Effect::Condition("var", true));
        }
        effects
    }

    fn hear_volume(&mut self, line: &StateLine) -> Vec<Effect> {
        if let (Some(name), Some("mounted")) = (line.get("name"), line.get("state")) {
            self.volumes.remove(name);
        }
        Vec::new()
    }

    fn hear_applied(&mut self, line: &StateLine) -> Vec<Effect> {
        if line.get("generation").and_then(|number| number.parse().ok()) != Some(self.generation) {
            return Vec::new();
        }
        if line.get("inputs").is_some() {
            return vec![Effect::InputsWritten { nameless: line.get("hostname-source") == Some("default") }];
        }
        if let Some(what) = line.get("failed") {
            // The first one is the most telling.
            if !matches!(self.applied, Found::Failed(_)) {
                self.applied = Found::Failed(format!("{what}: {}", line.get("cause").unwrap_or_default()));
            }
            return Vec::new();
        }
        match line.get("result") {
            Some("done") => {
                self.applied = Found::Good;
                vec![Effect::Condition("applied", true)]
            }
            _ => Vec::new(),
        }
    }

    /// A disk that can't be had is no reason not to look for a config: it may be what the disk waits for.
    fn hear_storage_failed(&mut self, line: &StateLine) -> Vec<Effect> {
        let text = |key| line.get(key).unwrap_or_default();
        let what = text("what");
        let failed = Found::Failed(format!("{}; {}", text("cause"), text("remedy")).trim_end_matches("; ").to_owned());
        match what {
            "state" => {
                self.state = failed;
                vec![Effect::Condition("state", true)]
            }
            // The boot disk itself: both are on it.
            "disk" => {
                self.state = failed.clone();
                self.var = failed;
                vec![Effect::Condition("state", true)]
            }
            "var" | "places" => {
                self.var = failed;
                Vec::new()
            }
            volume => {
                if let Found::Failed(why) = failed {
                    let name = volume.strip_prefix("volume-").unwrap_or(volume);
                    self.volumes.insert(name.to_owned(), why);
                }
                Vec::new()
            }
        }
    }

    fn hear_config(&mut self, line: &StateLine) -> Vec<Effect> {
        let text = |key| line.get(key).unwrap_or_default().to_owned();
        let config = match line.get("result") {
            // For an answer from a URL.
            Some("waiting") => return vec![Effect::NetworkFirst],
            Some("taken") => Config::Taken { source: text("source") },
            Some("none") => Config::Absent,
            Some("refused") => Config::Refused { source: text("source"), error: text("error") },
            _ => return Vec::new(),
        };
        // A bad document changes nothing for a machine that has a good one.
        if matches!((&self.config, &config), (Config::Taken { .. }, Config::Refused { .. } | Config::Absent)) {
            return Vec::new();
        }
        self.config = config;
        self.applied = Found::Unknown(String::new());
        self.volumes.clear();
        self.generation += 1;
        vec![Effect::Condition("applied", false), Effect::Configure]
    }

    /// How the join and the node do. `kubelet=configured`: kubelet's files are there, or others than before; its arguments are read before
    /// it may start.
    fn hear_cluster(&mut self, line: &StateLine) -> Vec<Effect> {
        self.cluster.hear(line);
        let holds = |holds| Effect::Condition(Condition::KubeletConfigured.name(), holds);
        match line.get("kubelet") {
            Some("configured") => vec![Effect::ServicesChanged, holds(true)],
            Some(_) => vec![holds(false)],
            None => Vec::new(),
        }
    }

    fn hear_network(&mut self, line: &StateLine) -> Vec<Effect> {
        match (line.get("usable"), line.get("waiting")) {
            (Some("yes"), _) => {
                self.network = Found::Good;
                vec![Effect::Condition("network", true)]
            }
            _ if line.get("hostname").is_some_and(is_name) && line.get("interface").is_none() => {
                vec![Effect::NameFromNetwork(line.get("hostname").unwrap_or_default().to_owned())]
            }
            (Some(_), waiting) => {
                self.network = Found::Unknown(waiting.unwrap_or_default().to_owned());
                vec![Effect::Condition("network", false)]
            }
            (None, Some(waiting)) if self.network != Found::Good => {
                self.network = Found::Unknown(waiting.to_owned());
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Where the machine stands; `services` are those that the machine is for and that are not ready.
    pub(super) fn standing(&self, unready: &[&str]) -> Standing {
        let maintenance = |reason: String| Standing::Maintenance { reason };
        let waiting = |what, detail: &str| Standing::Waiting { what, detail: detail.to_owned() };
        if let Some(disks) = &self.twins {
            return maintenance(format!(
                "two disks carry the root of this boot, {disks}, and no boot loader says which one is meant: remove one and restart"
            ));
        }
        for (what, found) in [("state", &self.state), ("var", &self.var)] {
            if let Found::Failed(why) = found {
                return maintenance(format!("{what} failed: {why}"));
            }
        }
        match &self.config {
            Config::Refused { source, error } => return maintenance(format!("the config from {source} is refused: {error}")),
            Config::Absent if !self.works_without_config && !self.installs() => {
                return maintenance("there is no machine config".to_owned());
            }
            Config::Unknown | Config::Taken { .. } | Config::Absent => {}
        }
        if let Install::Wanted(found) = &self.install {
            return match found {
                Found::Failed(why) => maintenance(format!("nothing is installed: {why}")),
                Found::Unknown(detail) => waiting("install", detail),
                Found::Good => waiting("install", "done"),
            };
        }
        if let Found::Failed(why) = &self.applied {
            return maintenance(why.clone());
        }
        if let Some((name, why)) = self.volumes.first_key_value() {
            return maintenance(format!("volume {name} failed: {why}"));
        }
        if self.config == Config::Unknown {
            return waiting(if self.state == Found::Good { "config" } else { "state" }, "");
        }
        for (what, found) in [("var", &self.var), ("configuration", &self.applied), ("network", &self.network)] {
            if let Found::Unknown(detail) = found {
                return waiting(what, detail);
            }
        }
        if let Cluster::Waiting { what, detail } = &self.cluster {
            return waiting(what, detail);
        }
        if unready.is_empty() { Standing::Ready } else { waiting("services", &unready.join(",")) }
    }

    /// Where the config is from, as the line `ready` has it.
    pub(super) fn config_source(&self) -> &str {
        match &self.config {
            Config::Taken { source } => source,
            _ => "none",
        }
    }
}

/// Whether a text may be the machine's name: what a stranger on the network says is not taken as it is.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 63 && text.split('.').all(label)
}

fn hear_request(line: &StateLine) -> Option<Effect> {
    let reason = line.get("reason").unwrap_or("request").to_owned();
    match line.get("action")? {
        "power-off" => Some(Effect::End { restart: false, reason }),
        "reboot" => Some(Effect::End { restart: true, reason }),
        _ => None,
    }
}
