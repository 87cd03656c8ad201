//! kubelet's configuration: this image's defaults, under the cluster's, under the machine config's, under what the image pins. Pure.
//!
//! Objects are merged key by key, everything else is replaced. Of the cluster's what says nothing is passed over: kubeadm writes Go's
//! zero values (`0s`, `""`, `{}`, null) for whatever nobody has set, and kubelet takes them for its own defaults.

use serde_json::{Map, Value, json};

/// A value that a later word has replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Override {
    /// The key, its parts joined by dots.
    pub(super) key: String,
    /// Whose word it is: `cluster`, `machine config` or `image`.
    pub(super) by: &'static str,
    /// What was.
    pub(super) was: Value,
    /// What is.
    pub(super) now: Value,
}

/// What the configuration is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layers<'a> {
    /// The machine's memory in bytes.
    pub(super) memory: u64,
    /// The cluster's kubelet-config.
    pub(super) cluster: &'a Value,
    /// `[kubelet]`.
    pub(super) machine: &'a Map<String, Value>,
    /// The provider id.
    pub(super) provider_id: Option<&'a str>,
}

/// Where the cluster's authority lies.
pub(super) const CLIENT_CA: &str = "/etc/kubernetes/pki/ca.crt";
/// CRI-O's socket.
pub(super) const CRI_SOCKET: &str = "unix:///var/run/crio/crio.sock";

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The configuration, and what was overridden on the way to it.
pub(super) fn merge(layers: &Layers<'_>) -> (Value, Vec<Override>) {
    let mut config = defaults(layers.memory);
    let mut overrides = Vec::new();
    let cluster = said(layers.cluster).unwrap_or_else(|| json!({}));
    for (by, layer) in
        [("cluster", cluster), ("machine config", Value::Object(layers.machine.clone())), ("image", pinned(layers.provider_id))]
    {
        lay(&mut config, &layer, by, "", &mut overrides);
    }
    if let Value::Object(config) = &mut config {
        // The same CRI-O serves both.
        if let Some(was) = config.remove("imageServiceEndpoint") {
            overrides.push(Override { key: "imageServiceEndpoint".to_owned(), by: "image", was, now: Value::Null });
        }
    }
    (config, overrides)
}

/// What holds where nobody says otherwise.
fn defaults(memory: u64) -> Value {
    let mib = |bytes: u64| format!("{}Mi", bytes / MIB);
    json!({
        "authentication": { "anonymous": { "enabled": false }, "webhook": { "enabled": true, "cacheTTL": "2m0s" } },
        "authorization": { "mode": "Webhook" },
        "protectKernelDefaults": true,
        "seccompDefault": true,
        "shutdownGracePeriod": "30s",
        "shutdownGracePeriodCriticalPods": "10s",
        "imageGCHighThresholdPercent": 80,
        "imageGCLowThresholdPercent": 70,
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 3,
        "enableSystemLogHandler": true,
        "systemReserved": { "memory": mib(reserved(memory)) },
        "evictionHard": {
            "memory.available": mib(eviction(memory)), "nodefs.available": "10%", "nodefs.inodesFree": "5%", "imagefs.available": "15%",
        },
    })
}

/// What this image depends on.
fn pinned(provider_id: Option<&str>) -> Value {
    let mut pinned = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": { "x509": { "clientCAFile": CLIENT_CA } },
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": CRI_SOCKET,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "resolvConf": "/etc/resolv.conf",
        "rotateCertificates": true,
        "staticPodPath": "/etc/kubernetes/manifests",
        "volumePluginDir": "/usr/libexec/kubernetes/kubelet-plugins/volume/exec",
    });
    if let Some(id) = provider_id {
        pinned["providerID"] = Value::from(id);
    }
    pinned
}

/// Memory that is no pod's: the machine's own programs, kubelet and CRI-O.
fn reserved(memory: u64) -> u64 {
    (memory / 20 + 64 * MIB).min(memory / 4)
}

/// Less free memory than this, and pods have to go: kubelet's 100 MiB, and on a machine of less than 1 GiB a twentieth of it.
fn eviction(memory: u64) -> u64 {
    if memory < GIB { (memory / 20).min(50 * MIB) } else { 100 * MIB }
}

/// The part of a value that says something.
fn said(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) if matches!(text.as_str(), "" | "0s") => None,
        Value::Object(map) => {
            let map: Map<String, Value> = map.iter().filter_map(|(key, value)| Some((key.clone(), said(value)?))).collect();
            (!map.is_empty()).then_some(Value::Object(map))
        }
        other => Some(other.clone()),
    }
}

fn lay(config: &mut Value, layer: &Value, by: &'static str, path: &str, overrides: &mut Vec<Override>) {
    if let (Value::Object(config), Value::Object(layer)) = (&mut *config, layer) {
        for (key, value) in layer {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match config.get_mut(key) {
                Some(known) => lay(known, value, by, &path, overrides),
                None => drop(config.insert(key.clone(), value.clone())),
            }
        }
    } else if config != layer {
        overrides.push(Override { key: path.to_owned(), by, was: config.clone(), now: layer.clone() });
        config.clone_from(layer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(memory: u64, cluster: Value, machine: Value) -> (Value, Vec<String>) {
        let Value::Object(machine) = machine else { panic!() };
        let (config, overrides) = merge(&Layers { memory, cluster: &cluster, machine: &machine, provider_id: Some("a://b") });
        let told = overrides.iter().map(|o| format!("{} by {}: {} -> {}", o.key, o.by, o.was, o.now));
        (config, told.collect())
    }

    #[test]
    fn each_layer_is_over_the_one_before() {
        let (config, told) = merged(
            4 * GIB,
            json!({ "maxPods": 110, "seccompDefault": false, "cgroupDriver": "systemd", "featureGates": { "A": true },
                    "authentication": { "x509": { "clientCAFile": "/elsewhere" } }, "imageServiceEndpoint": "unix:///x" }),
            json!({ "maxPods": 200, "featureGates": { "B": true } }),
        );
        assert_eq!(
            told,
            [
                "seccompDefault by cluster: true -> false",
                "maxPods by machine config: 110 -> 200",
                "authentication.x509.clientCAFile by image: \"/elsewhere\" -> \"/etc/kubernetes/pki/ca.crt\"",
                "cgroupDriver by image: \"systemd\" -> \"cgroupfs\"",
                "imageServiceEndpoint by image: \"unix:///x\" -> null",
            ]
        );
        assert_eq!(config["featureGates"], json!({ "A": true, "B": true }));
        assert_eq!((&config["providerID"], &config["kind"]), (&json!("a://b"), &json!("KubeletConfiguration")));
        assert_eq!(config["authentication"]["anonymous"]["enabled"], false);
        assert_eq!(config["authorization"]["mode"], "Webhook");
        assert!(config.get("imageServiceEndpoint").is_none());
    }

    /// What kubeadm 1.36 uploads: zero values are nobody's word.
    #[test]
    fn zero_values_of_the_cluster_say_nothing() {
        let (config, told) = merged(
            4 * GIB,
            json!({ "shutdownGracePeriod": "0s", "shutdownGracePeriodCriticalPods": "0s", "containerRuntimeEndpoint": "",
                    "logging": { "flushFrequency": 0, "options": { "json": { "infoBufferSize": "0" } }, "verbosity": 0 },
                    "memorySwap": {}, "syncFrequency": "0s", "clusterDNS": ["10.96.0.10"], "rotateCertificates": true,
                    "authorization": { "mode": "Webhook", "webhook": { "cacheAuthorizedTTL": "0s" } }, "x": null }),
            json!({}),
        );
        assert_eq!(told, [""; 0]);
        assert_eq!((&config["shutdownGracePeriod"], &config["clusterDNS"]), (&json!("30s"), &json!(["10.96.0.10"])));
        for absent in ["memorySwap", "syncFrequency", "x"] {
            assert!(config.get(absent).is_none(), "{absent}");
        }
        // A machine config that says zero means it.
        let (config, _) = merged(4 * GIB, json!({}), json!({ "shutdownGracePeriod": "0s" }));
        assert_eq!(config["shutdownGracePeriod"], "0s");
    }

    #[test]
    fn memory_is_kept_for_the_machine() {
        let check = |memory: u64, reserved: &str, eviction: &str| {
            let (config, _) = merged(memory, Value::Null, json!({}));
            assert_eq!(
                (&config["systemReserved"]["memory"], &config["evictionHard"]["memory.available"]),
                (&json!(reserved), &json!(eviction))
            );
        };
        // min(5 % + 64 MiB, 25 %); at most 50 MiB below 1 GiB.
        check(384 * MIB, "83Mi", "19Mi");
        check(200 * MIB, "50Mi", "10Mi");
        check(GIB - MIB, "115Mi", "50Mi");
        check(GIB, "115Mi", "100Mi");
        check(64 * GIB, "3340Mi", "100Mi");
        check(0, "0Mi", "0Mi");
    }
}
