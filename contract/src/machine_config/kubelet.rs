//! `[kubelet]`: KubeletConfiguration's own keys (kubelet.config.k8s.io/v1beta1), of which some are the image's.

use crate::toml_document::nearest;
use serde::{Deserialize, Serialize};

/// Settings of kubelet, over the cluster's and under the image's own. It serialises as the part of a KubeletConfiguration that it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Kubelet(toml::Table);

// No number among them is NaN: that is judged.
impl Eq for Kubelet {}

impl Kubelet {
    /// Settings whose keys and values have been judged.
    pub(super) fn new(settings: toml::Table) -> Self {
        Self(settings)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A value of a KubeletConfiguration.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct RawSetting(pub(super) toml::Value);

#[cfg(feature = "schema")]
impl schemars::JsonSchema for RawSetting {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Setting".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        true.into()
    }
}

/// Keys that are not a config's, and why: what the image depends on, or what has a key of its own. Parts of a path are joined by dots.
const NOT_HERE: [(&str, &str); 14] = [
    ("apiVersion", "the machine writes it"),
    ("authentication.x509.clientCAFile", "it is the cluster's own authority, which the join brings"),
    ("cgroupDriver", "the image pins it: its control groups have no systemd"),
    ("containerRuntimeEndpoint", "the image pins it to its CRI-O"),
    ("healthzBindAddress", "the machine itself watches kubelet at 127.0.0.1:10248"),
    ("healthzPort", "the machine itself watches kubelet at 127.0.0.1:10248"),
    ("imageServiceEndpoint", "the image pins it to its CRI-O"),
    ("kind", "the machine writes it"),
    ("providerID", "write it as `provider-id` of `[cluster]`"),
    ("registerWithTaints", "write them as `taints` of `[cluster]`"),
    ("resolvConf", "the machine's resolvers are those of `[network]`"),
    ("rotateCertificates", "a node's certificate is always renewed"),
    ("staticPodPath", "the image pins it to /etc/kubernetes/manifests"),
    ("volumePluginDir", "the image pins it to a folder that can be written"),
];

/// What is wrong with a setting, if anything is.
pub(super) fn judge(key: &str, value: &toml::Value) -> Result<(), String> {
    if let Some((path, why)) = NOT_HERE.iter().find(|(path, _)| says(path, key, value)) {
        return Err(format!("`{path}` is not a config's to set: {why}"));
    }
    if !KEYS.contains(&key) {
        let shown: String = key.chars().take(60).flat_map(char::escape_debug).collect();
        return Err(match nearest(key, KEYS) {
            Some(nearest) => format!("unknown key `{shown}`; did you mean `{nearest}`?"),
            None => format!("unknown key `{shown}`: here are those of a KubeletConfiguration (kubelet.config.k8s.io/v1beta1)"),
        });
    }
    match unsayable(value) {
        Some(what) => Err(format!("`{key}` holds {what}, which kubelet can't read")),
        None => Ok(()),
    }
}

/// Whether `key = value` sets what lies at this path.
fn says(path: &str, key: &str, value: &toml::Value) -> bool {
    let mut parts = path.split('.');
    let mut at = Some(value);
    parts.next() == Some(key)
        && parts.all(|part| {
            at = at.and_then(|value| value.get(part));
            at.is_some()
        })
}

/// Something in a value that JSON can't say.
fn unsayable(value: &toml::Value) -> Option<&'static str> {
    match value {
        toml::Value::Datetime(_) => Some("a date"),
        toml::Value::Float(number) if !number.is_finite() => Some("a number without an end"),
        toml::Value::Array(values) => values.iter().find_map(unsayable),
        toml::Value::Table(table) => table.values().find_map(unsayable),
        _ => None,
    }
}

/// Every key of a KubeletConfiguration, of Kubernetes 1.28 to 1.36: one that a kubelet doesn't know is refused by it, by name.
const KEYS: [&str; 125] = [
    "address",
    "allowedUnsafeSysctls",
    "authentication",
    "authorization",
    "cgroupDriver",
    "cgroupRoot",
    "cgroupsPerQOS",
    "clusterDNS",
    "clusterDomain",
    "configMapAndSecretChangeDetectionStrategy",
    "containerLogMaxFiles",
    "containerLogMaxSize",
    "containerLogMaxWorkers",
    "containerLogMonitorInterval",
    "containerRuntimeEndpoint",
    "contentType",
    "cpuCFSQuota",
    "cpuCFSQuotaPeriod",
    "cpuManagerPolicy",
    "cpuManagerPolicyOptions",
    "cpuManagerReconcilePeriod",
    "crashLoopBackOff",
    "enableContentionProfiling",
    "enableControllerAttachDetach",
    "enableDebugFlagsHandler",
    "enableDebuggingHandlers",
    "enableProfilingHandler",
    "enableServer",
    "enableSystemLogHandler",
    "enableSystemLogQuery",
    "enforceNodeAllocatable",
    "eventBurst",
    "eventRecordQPS",
    "evictionHard",
    "evictionMaxPodGracePeriod",
    "evictionMinimumReclaim",
    "evictionPressureTransitionPeriod",
    "evictionSoft",
    "evictionSoftGracePeriod",
    "failCgroupV",
    "failSwapOn",
    "featureGates",
    "fileCheckFrequency",
    "hairpinMode",
    "healthzBindAddress",
    "healthzPort",
    "httpCheckFrequency",
    "imageGCHighThresholdPercent",
    "imageGCLowThresholdPercent",
    "imageMaximumGCAge",
    "imageMinimumGCAge",
    "imagePullCredentialsVerificationPolicy",
    "imageServiceEndpoint",
    "iptablesDropBit",
    "iptablesMasqueradeBit",
    "kernelMemcgNotification",
    "kubeAPIBurst",
    "kubeAPIQPS",
    "kubeReserved",
    "kubeReservedCgroup",
    "kubeletCgroups",
    "localStorageCapacityIsolation",
    "logging",
    "makeIPTablesUtilChains",
    "maxOpenFiles",
    "maxParallelImagePulls",
    "maxPods",
    "memoryManagerPolicy",
    "memoryReservationPolicy",
    "memorySwap",
    "memoryThrottlingFactor",
    "mergeDefaultEvictionSettings",
    "nodeLeaseDurationSeconds",
    "nodeStatusMaxImages",
    "nodeStatusReportFrequency",
    "nodeStatusUpdateFrequency",
    "oomScoreAdj",
    "podCIDR",
    "podLogsDir",
    "podPidsLimit",
    "podsPerCore",
    "port",
    "preloadedImagesVerificationAllowlist",
    "protectKernelDefaults",
    "providerID",
    "qosReserved",
    "readOnlyPort",
    "registerNode",
    "registerWithTaints",
    "registryBurst",
    "registryPullQPS",
    "reservedMemory",
    "reservedSystemCPUs",
    "resolvConf",
    "rotateCertificates",
    "runOnce",
    "runtimeRequestTimeout",
    "seccompDefault",
    "serializeImagePulls",
    "serverTLSBootstrap",
    "showHiddenMetricsForVersion",
    "shutdownGracePeriod",
    "shutdownGracePeriodByPodPriority",
    "shutdownGracePeriodCriticalPods",
    "singleProcessOOMKill",
    "staticPodPath",
    "staticPodURL",
    "staticPodURLHeader",
    "streamingConnectionIdleTimeout",
    "syncFrequency",
    "systemCgroups",
    "systemReserved",
    "systemReservedCgroup",
    "tlsCertFile",
    "tlsCipherSuites",
    "tlsCurvePreferences",
    "tlsMinVersion",
    "tlsPrivateKeyFile",
    "topologyManagerPolicy",
    "topologyManagerPolicyOptions",
    "topologyManagerScope",
    "tracing",
    "userNamespaces",
    "volumePluginDir",
    "volumeStatsAggPeriod",
];
