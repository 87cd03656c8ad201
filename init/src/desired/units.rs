//! Services as a config or the image has them, as units.

use crate::services::{Kind, Memory, Readiness, Restart, Unit};
use kmimage_contract::machine_config::{self, MachineConfig, Need, Proxy, Service};
use std::collections::BTreeMap;

/// Where a service's programs are, if it says nothing else.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";

/// The services of a config. Each waits for the disk, for /etc in its final form and for the config's own disks.
pub(super) fn services(config: &MachineConfig) -> BTreeMap<String, Unit> {
    let mut also = vec!["var".to_owned(), "applied".to_owned()];
    if !config.volumes.is_empty() {
        also.push("volumes".to_owned());
    }
    let unit = |service: &Service| (service.name.clone(), unit(service, config.proxy.as_ref(), &also));
    config.services.iter().map(unit).collect()
}

/// One service as unit; it needs `also` besides what it says itself.
pub(crate) fn unit(service: &Service, proxy: Option<&Proxy>, also: &[String]) -> Unit {
    let need = |need: &Need| match need {
        Need::Condition(condition) => condition.name().to_owned(),
        Need::Service(name) => name.clone(),
    };
    let (program, arguments) = service.command.split_first().map_or(("", &[][..]), |(program, rest)| (program, rest));
    Unit {
        kind: Kind::Lasting,
        built_in: false,
        path: program.into(),
        arguments: arguments.to_vec(),
        environment: environment(service, proxy),
        needs: also.iter().cloned().chain(service.needs.iter().map(need)).collect(),
        readiness: readiness(service.readiness.as_ref()),
        awaited: None,
        restart: Restart { minimum: service.restart.minimum, maximum: service.restart.maximum, ..Restart::default() },
        stop_within: service.stop_timeout,
        memory: Memory { min: service.memory_min, low: service.memory_low, max: None },
        oom_score: service.oom_score,
        capabilities: Some(service.capabilities.iter().fold(0, |all, capability| all | 1 << capability.number())),
        no_new_privileges: true,
        reloads: false,
        stops_first: false,
        keeps_processes: false,
    }
}

fn readiness(readiness: Option<&machine_config::Readiness>) -> Readiness {
    match readiness {
        None => Readiness::Started,
        Some(machine_config::Readiness::Socket(path)) => Readiness::Socket(path.into()),
        Some(machine_config::Readiness::Http { address, path }) => Readiness::Http { address: *address, path: path.clone() },
        Some(machine_config::Readiness::Exec(command)) => Readiness::Exec(command.clone()),
    }
}

/// The variables by which programs know proxies.
pub(super) fn proxies(proxy: Option<&Proxy>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let Some(proxy) = proxy else { return variables };
    let no_proxy = (!proxy.no_proxy.is_empty()).then(|| proxy.no_proxy.join(","));
    let reveal = |secret: &Option<machine_config::Secret>| secret.as_ref().map(|secret| secret.reveal().to_owned());
    for (name, value) in [("http_proxy", reveal(&proxy.http)), ("https_proxy", reveal(&proxy.https)), ("no_proxy", no_proxy)] {
        // Programs look for either spelling.
        for name in [name.to_owned(), name.to_uppercase()] {
            variables.extend(value.clone().map(|value| (name, value)));
        }
    }
    variables
}

/// PATH and the proxies, then what the service says: its own word is the last.
fn environment(service: &Service, proxy: Option<&Proxy>) -> Vec<(String, String)> {
    let mut environment = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    environment.extend(proxies(proxy));
    environment.extend(service.environment.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())));
    environment.into_iter().collect()
}
