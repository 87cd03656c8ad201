//! kubelet's arguments that only the machine knows; what can be said in its configuration is not here. Pure.

use super::own::Own;
use super::refusal::Refusal;
use kmimage_contract::machine_config::{Cluster, NodeIp};
use std::net::IpAddr;

/// The text of [`kmimage_contract::paths::KUBELET_ARGUMENTS`]. `digest` is that of kubelet's configuration: another one has it started anew.
pub(super) fn render(node: &str, cluster: &Cluster, own: &Own, digest: &str) -> Result<String, Refusal> {
    let mut lines = vec![format!("# config {digest}"), format!("--hostname-override={node}")];
    let mut add = |name: &str, values: Vec<String>| {
        if !values.is_empty() {
            lines.push(format!("--{name}={}", values.join(",")));
        }
    };
    add("node-ip", addresses(&cluster.node_ips, &own.addresses)?.iter().map(ToString::to_string).collect());
    add("node-labels", cluster.labels.iter().map(|(key, value)| format!("{key}={value}")).collect());
    add("register-with-taints", cluster.taints.iter().map(ToString::to_string).collect());
    Ok(lines.join("\n") + "\n")
}

/// The addresses that are meant. One that is named must be the machine's; of several in a network the lowest is taken, so that it stays.
fn addresses(wanted: &[NodeIp], own: &[IpAddr]) -> Result<Vec<IpAddr>, Refusal> {
    let find = |ip: &NodeIp| match ip {
        NodeIp::Address(address) => own.iter().find(|own| *own == address).copied(),
        NodeIp::Network(network) => own.iter().filter(|own| network.contains(**own)).min().copied(),
    };
    let missing = |ip: &NodeIp| Refusal::NoAddress {
        wanted: match ip {
            NodeIp::Address(address) => address.to_string(),
            NodeIp::Network(network) => format!("in {network}"),
        },
    };
    wanted.iter().map(|ip| find(ip).ok_or_else(|| missing(ip))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmimage_contract::machine_config;

    fn cluster(text: &str) -> Cluster {
        let text = format!("version = 1\n[cluster]\ndiscovery = \"x\"\n{text}");
        machine_config::parse("t", text.as_bytes(), None).unwrap().cluster.unwrap()
    }

    fn own(addresses: &[&str]) -> Own {
        Own { addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(), ..Own::default() }
    }

    #[test]
    fn each_argument_is_a_line() {
        let text = "node-ip = \"2001:db8::/64,10.0.0.0/24\"\nlabels = { \"example.org/a\" = \"b\", c = \"\" }\n\
                    taints = [\"a=b:NoSchedule\", \"c:NoExecute\"]\n";
        let own = own(&["10.1.0.1", "10.0.0.9", "10.0.0.5", "2001:db8::5"]);
        assert_eq!(
            render("node-1", &cluster(text), &own, "00ff").unwrap(),
            "# config 00ff\n--hostname-override=node-1\n--node-ip=2001:db8::5,10.0.0.5\n--node-labels=c=,example.org/a=b\n\
             --register-with-taints=a=b:NoSchedule,c:NoExecute\n"
        );
        assert_eq!(render("n", &cluster(""), &own, "0").unwrap(), "# config 0\n--hostname-override=n\n");
    }

    #[test]
    fn an_address_that_is_not_there_is_waited_for() {
        let check = |node_ip: &str, expect: &str| {
            let cluster = cluster(&format!("node-ip = \"{node_ip}\""));
            assert_eq!(render("n", &cluster, &own(&["10.0.0.5"]), "").unwrap_err().to_string(), expect);
        };
        check("10.0.0.6", "no address of this machine is 10.0.0.6");
        check("10.0.1.0/24", "no address of this machine is in 10.0.1.0/24");
    }
}
