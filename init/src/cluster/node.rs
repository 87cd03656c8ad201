//! How a Node does, by what the API server has of it. Pure.

use serde_json::Value;

/// How it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Health {
    /// It takes pods.
    Ready,
    /// It has no network for pods, and nothing else is wrong: nobody has installed a plugin yet.
    NoNetwork,
    /// Something else is wrong, in kubelet's or the cluster's words.
    NotReady(String),
}

/// The path of a Node.
pub(super) fn path(name: &str) -> String {
    format!("/api/v1/nodes/{name}")
}

/// What kubelet says of itself before there is a network for pods.
const NO_NETWORK: &str = "container runtime network not ready";

/// Judges a Node.
pub(super) fn judge(node: &Value) -> Health {
    let ready = node["status"]["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == "Ready");
    let Some(ready) = ready else { return Health::NotReady("kubelet has not said how it does".to_owned()) };
    if ready["status"] == "True" {
        return Health::Ready;
    }
    let text = |key: &str| ready[key].as_str().unwrap_or_default();
    let message = text("message");
    // Several reasons stand in brackets, with commas between.
    if ready["status"] == "False" && message.starts_with(NO_NETWORK) {
        return Health::NoNetwork;
    }
    let shown: String = message.chars().take(300).collect();
    Health::NotReady(if shown.is_empty() { text("reason").to_owned() } else { shown })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_network_is_told_from_everything_else() {
        let check = |status: &str, message: &str, expect: Health| {
            let conditions = json!([
                { "type": "MemoryPressure", "status": "False" },
                { "type": "Ready", "status": status, "reason": "KubeletNotReady", "message": message },
            ]);
            assert_eq!(judge(&json!({ "status": { "conditions": conditions } })), expect, "{message}");
        };
        check("True", "kubelet is posting ready status", Health::Ready);
        // kubelet 1.36 with CRI-O 1.37.
        let no_cni = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin \
                      returns error: No CNI configuration file in /etc/cni/net.d/. Has your network provider started?";
        check("False", no_cni, Health::NoNetwork);
        let both = format!("[{no_cni}, CSINode is not yet initialized]");
        check("False", &both, Health::NotReady(both.clone()));
        check(
            "Unknown",
            "Kubelet stopped posting node status.",
            Health::NotReady("Kubelet stopped posting node status.".to_owned()),
        );
        check("False", "", Health::NotReady("KubeletNotReady".to_owned()));
        for node in [json!({}), json!({ "status": { "conditions": [] } }), json!([])] {
            assert!(matches!(judge(&node), Health::NotReady(_)));
        }
    }
}
