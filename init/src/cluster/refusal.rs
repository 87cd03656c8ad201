//! Why a join does not go on: each cause with its name, and what helps.

use std::time::Duration;

/// A cause. Its text says what is wrong; [`Refusal::remedy`] what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody answers.
    #[error("{server} can't be reached: {why}")]
    Unreachable {
        /// Who was asked.
        server: String,
        /// What happened.
        why: String,
    },
    /// Somebody answers who is no API server.
    #[error("{server} is no API server: {why}")]
    NotAnApiServer {
        /// Who was asked.
        server: String,
        /// What it said.
        why: String,
    },
    /// The API server answers, and not as it should.
    #[error("{server} answers {status} to {what}")]
    Answer {
        /// Who was asked.
        server: String,
        /// For what.
        what: &'static str,
        /// What it said.
        status: String,
    },
    /// There is no public information about the cluster.
    #[error("{server} has no public ConfigMap cluster-info ({why})")]
    NoClusterInfo {
        /// Who was asked.
        server: String,
        /// What it said.
        why: String,
    },
    /// The cluster doesn't know the token.
    #[error("the cluster doesn't know the bootstrap token {id}, or it has expired")]
    TokenUnknown {
        /// The token's public part.
        id: String,
    },
    /// The signature was made with another secret.
    #[error("cluster-info is signed with another secret than that of the bootstrap token {id}")]
    Signature {
        /// The token's public part.
        id: String,
    },
    /// cluster-info, kubelet-config or the config's kubeconfig can't be read.
    #[error("{what} can't be read: {why}")]
    Malformed {
        /// What.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// No authority of the cluster is pinned.
    #[error("the cluster's authority has the hash {found}, which is none of `ca-hashes`")]
    WrongAuthority {
        /// What it has.
        found: String,
    },
    /// The clock is off.
    #[error("the certificate of {server} is {why}: this machine's clock says {clock}")]
    Clock {
        /// Who was asked.
        server: String,
        /// `not valid yet` or `expired`.
        why: &'static str,
        /// The machine's clock.
        clock: String,
    },
    /// The server's certificate is refused for another reason.
    #[error("the certificate of {server} is refused: {why}")]
    Certificate {
        /// Who was asked.
        server: String,
        /// Why.
        why: String,
    },
    /// The second answer was not the first.
    #[error("cluster-info changed between two looks")]
    Changed,
    /// There is nothing to join with.
    #[error("`discovery` has no credentials, and there is no `token` beside it")]
    NoCredentials,
    /// Another node has the machine's name.
    #[error("the cluster has a Ready node of the name {node} already")]
    NameTaken {
        /// The name.
        node: String,
    },
    /// kubelet is too new.
    #[error("kubelet {kubelet} is newer than the API server {server}")]
    KubeletNewer {
        /// kubelet's version.
        kubelet: String,
        /// The API server's.
        server: String,
    },
    /// No address fits `node-ip`.
    #[error("no address of this machine is {wanted}")]
    NoAddress {
        /// `node-ip`.
        wanted: String,
    },
    /// kubelet got no certificate in time.
    #[error("kubelet has got no certificate in {seconds} s")]
    NoCertificate {
        /// How long it had.
        seconds: u64,
    },
    /// A file of the machine can't be read or written, or a program can't be run.
    #[error("{what}: {why}")]
    Machine {
        /// What.
        what: String,
        /// What happened.
        why: String,
    },
}

impl Refusal {
    /// Its name in state lines.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::NotAnApiServer { .. } => "not-an-api-server",
            Self::Answer { .. } => "answer",
            Self::NoClusterInfo { .. } => "no-cluster-info",
            Self::TokenUnknown { .. } => "token-unknown",
            Self::Signature { .. } => "token-secret",
            Self::Malformed { .. } => "malformed",
            Self::WrongAuthority { .. } => "wrong-ca-hash",
            Self::Clock { .. } => "clock",
            Self::Certificate { .. } => "certificate",
            Self::Changed => "changed",
            Self::NoCredentials => "no-credentials",
            Self::NameTaken { .. } => "name-taken",
            Self::KubeletNewer { .. } => "kubelet-newer",
            Self::NoAddress { .. } => "no-address",
            Self::NoCertificate { .. } => "no-certificate",
            Self::Machine { .. } => "machine",
        }
    }

    /// What helps.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "check `endpoint`, the network and the API server",
            Self::NotAnApiServer { .. } => "check `endpoint`: it is HOST:PORT of a kube-apiserver",
            Self::Answer { .. } => "look at the API server's log, and at the rights of the group system:bootstrappers",
            Self::NoClusterInfo { .. } => "run `kubeadm init phase bootstrap-token`, or join by `discovery`",
            Self::TokenUnknown { .. } => "make another with `kubeadm token create`, and check that `endpoint` is of that cluster",
            Self::Signature { .. } => "check `token`: its second part is wrong, or somebody stands between",
            Self::Malformed { .. } => "correct it at its source",
            Self::WrongAuthority { .. } => {
                "check `endpoint` and `ca-hashes` (`kubeadm token create --print-join-command` prints both)"
            }
            Self::Clock { .. } => "set the clock, or give the machine time servers by `[time]` or DHCP",
            Self::Certificate { .. } => "check `endpoint` and the API server's certificate",
            Self::Changed => "none: it is looked again",
            Self::NoCredentials => "add `token`, or credentials to the kubeconfig",
            Self::NameTaken { .. } => "give this machine another `hostname`, or delete that node",
            Self::KubeletNewer { .. } => "upgrade the control plane first, or take an image of its Kubernetes version",
            Self::NoAddress { .. } => "check `node-ip` and the machine's network",
            Self::NoCertificate { .. } => "look at kubelet's log and at the cluster's CertificateSigningRequests",
            Self::Machine { .. } => "look at the machine's disk, or write the image anew",
        }
    }

    /// The longest pause before it is tried again. What only a person can mend is still tried: that may happen in the cluster.
    pub(super) fn longest_pause(&self) -> Duration {
        match self {
            // The clock is being set, an API server starts: a machine that waits for these is to join at once.
            Self::Unreachable { .. } | Self::Clock { .. } | Self::NoAddress { .. } | Self::Changed => Duration::from_secs(10),
            Self::TokenUnknown { .. } | Self::NoClusterInfo { .. } | Self::Answer { .. } => Duration::from_secs(30),
            _ => Duration::from_secs(60),
        }
    }
}
