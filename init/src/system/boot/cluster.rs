//! How the machine stands with the cluster that it is for: what is said of a join and of the node, and what there is to wait for.

use kmimage_contract::state_line::StateLine;

/// What is known of the cluster where the config says nothing of one.
const UNNAMED: &str = "the machine config has no `[cluster]`";

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cluster {
    /// It has no kubelet.
    Unneeded,
    /// It has not been Ready there in this boot.
    Waiting {
        /// What it waits for.
        what: &'static str,
        /// What is known of that.
        detail: String,
    },
    /// Its node was seen Ready. What happens later is said, and is no step back.
    Seen,
}

impl Cluster {
    /// The beginning of a boot.
    pub(super) fn of(has_kubelet: bool) -> Self {
        if has_kubelet { Self::Waiting { what: "cluster", detail: String::new() } } else { Self::Unneeded }
    }

    /// Takes in whether the config names a cluster; whether there is one to join.
    pub(super) fn is_named(&mut self, named: bool) -> bool {
        match self {
            Self::Unneeded => return false,
            Self::Waiting { detail, .. } if named => {
                if detail == UNNAMED {
                    detail.clear();
                }
            }
            Self::Seen if named => {}
            cluster => *cluster = Self::Waiting { what: "cluster", detail: UNNAMED.to_owned() },
        }
        named
    }

    /// Takes in what a line of the child `cluster` says of the wait for a Ready node.
    pub(super) fn hear(&mut self, line: &StateLine) {
        if !matches!(self, Self::Waiting { .. }) {
            return;
        }
        let text = |key| line.get(key).unwrap_or_default();
        let waiting = |detail: String| Self::Waiting { what: "cluster", detail };
        *self = match (line.get("node"), line.get("state"), line.get("kubelet")) {
            (Some("ready"), ..) => Self::Seen,
            (Some(_), ..) if line.get("waiting") == Some("cni") => {
                let detail = "no network plugin has been installed in the cluster for this node yet".to_owned();
                Self::Waiting { what: "cni", detail }
            }
            (Some(_), ..) => waiting(text("reason").to_owned()),
            (_, Some("joining"), _) => waiting(format!("joining: {}", text("step"))),
            (_, Some("refused"), _) => waiting(format!("{}; {}", text("message"), text("remedy"))),
            (_, _, Some("configured")) => waiting("kubelet starts".to_owned()),
            _ => return,
        };
    }
}
