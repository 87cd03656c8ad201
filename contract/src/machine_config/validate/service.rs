//! `[[service]]`, and the same as a file of the image.

use super::{Context, Result, did_you_mean, values};
use crate::machine_config::model::{Capability, Condition, Need, Readiness, Restart, Service};
use crate::machine_config::raw::{RawReadiness, RawRestart, RawService, Text};
use crate::machine_config::secret::Secret;
use crate::toml_document::Located;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Names of what the machine itself runs, and of what its units wait for: no service's.
pub const RESERVED_SERVICES: [&str; 24] = [
    "agent",
    "applied",
    "apply",
    "bless",
    "cluster",
    "coldplug",
    "config",
    "devices",
    "init",
    "install",
    "kernel",
    "kmimage",
    "kubelet-configured",
    "log",
    "log-files",
    "mark-ready",
    "network",
    "ready",
    "state",
    "storage",
    "system",
    "time",
    "var",
    "volumes",
];

/// What a config's service may wait for besides others: it has the disk and /etc in its final form anyway.
const OF_A_CONFIG: [(&str, Condition); 2] = [("network", Condition::Network), ("time", Condition::Time)];

/// What a service's needs are judged by.
pub(in crate::machine_config) struct Known<'a> {
    /// What the machine itself brings about and a service may wait for.
    pub(in crate::machine_config) conditions: &'a [(&'static str, Condition)],
    /// The services that there are.
    pub(in crate::machine_config) services: BTreeSet<&'a str>,
}

pub(super) fn services(raw: &[RawService], context: &Context<'_>) -> Result<Vec<Service>> {
    let mut names: BTreeMap<&str, &Text> = BTreeMap::new();
    for service in raw {
        name(&service.name, context)?;
        if let Some(first) = names.insert(&service.name, &service.name) {
            return context.doubled(&service.name, "the service", first.span());
        }
    }
    let known = Known { conditions: &OF_A_CONFIG, services: names.keys().copied().collect() };
    let services: Vec<Service> = raw.iter().map(|raw| service(raw, &known, context)).collect::<Result<_>>()?;
    no_circle(&raw.iter().map(|raw| (raw, context)).collect::<Vec<_>>())?;
    Ok(services)
}

/// Judges a service's name.
pub(in crate::machine_config) fn name(name: &Text, context: &Context<'_>) -> Result<()> {
    context.value(name, |text| values::name(text, 32))?;
    if RESERVED_SERVICES.contains(&name.as_str()) {
        return context.fail(name, format!("`{}` is a part of the machine itself: call the service otherwise", **name));
    }
    Ok(())
}

/// Judges a service whose name has been judged.
pub(in crate::machine_config) fn service(raw: &RawService, known: &Known<'_>, context: &Context<'_>) -> Result<Service> {
    let memory = |text: &Option<Text>| text.as_ref().map(|text| context.value(text, values::size)).transpose();
    let oom_score = raw.oom_score.as_ref().map(|score| context.number(score, -1000..1001, "an OOM score"));
    let stop = raw.stop_timeout_s.as_ref().map(|seconds| context.number(seconds, 1..601, "`stop-timeout-s`"));
    Ok(Service {
        name: (*raw.name).clone(),
        command: command(&raw.command, &raw.name, "`command`", context)?,
        needs: needs(raw, known, context)?,
        environment: environment(&raw.environment, context)?,
        restart: restart(&raw.restart, context)?,
        readiness: raw.readiness.as_ref().map(|readiness| self::readiness(readiness, &raw.name, context)).transpose()?,
        oom_score: oom_score.transpose()?.unwrap_or(0),
        memory_min: memory(&raw.memory_min)?,
        memory_low: memory(&raw.memory_low)?,
        capabilities: capabilities(&raw.capabilities, context)?,
        stop_timeout: Duration::from_secs(stop.transpose()?.unwrap_or(10)),
    })
}

/// A program of the verified root, and arguments.
fn command<T>(words: &[Text], at: &Located<T>, key: &str, context: &Context<'_>) -> Result<Vec<String>> {
    let Some(program) = words.first() else { return context.fail(at, format!("{key} names no program")) };
    context.value(program, values::program)?;
    match words.iter().find(|word| word.contains('\0')) {
        Some(word) => context.fail(word, "an argument has no zero bytes"),
        None => Ok(words.iter().map(|word| (**word).clone()).collect()),
    }
}

fn needs(raw: &RawService, known: &Known<'_>, context: &Context<'_>) -> Result<Vec<Need>> {
    context.values(&raw.needs, |need| {
        if let Some((_, condition)) = known.conditions.iter().find(|(name, _)| *name == need) {
            return Ok(Need::Condition(*condition));
        }
        match need {
            name if name == *raw.name => Err(format!("`{name}` needs itself")),
            name if known.services.contains(name) => Ok(Need::Service(name.to_owned())),
            name => {
                let words: Vec<&str> =
                    known.conditions.iter().map(|(name, _)| *name).chain(known.services.iter().copied()).collect();
                let name: String = name.chars().take(60).flat_map(char::escape_debug).collect();
                Err(format!("`{}` needs `{name}`, and there is no such service; {}", *raw.name, did_you_mean(&name, words)))
            }
        }
    })
}

/// No service waits for itself, over however many others.
pub(in crate::machine_config) fn no_circle(all: &[(&RawService, &Context<'_>)]) -> Result<()> {
    let needs: BTreeMap<&str, &[Text]> = all.iter().map(|(raw, _)| (raw.name.as_str(), raw.needs.as_slice())).collect();
    for (service, context) in all {
        let mut waiting: Vec<(&Text, &str)> = service.needs.iter().map(|need| (need, need.as_str())).collect();
        let mut seen = BTreeSet::new();
        while let Some((first, name)) = waiting.pop() {
            if name == *service.name {
                return context.fail(first, format!("`{}` and `{}` need each other", *service.name, **first));
            }
            if seen.insert(name) {
                waiting.extend(needs.get(name).into_iter().copied().flatten().map(|need| (first, need.as_str())));
            }
        }
    }
    Ok(())
}

fn environment(raw: &BTreeMap<Text, Located<Secret>>, context: &Context<'_>) -> Result<BTreeMap<String, Secret>> {
    let mut environment = BTreeMap::new();
    for (key, value) in raw {
        let name = context.value(key, values::variable)?;
        if value.reveal().contains('\0') {
            return context.fail(key, format!("the value of `{name}` has a zero byte"));
        }
        environment.insert(name, (**value).clone());
    }
    Ok(environment)
}

fn restart(raw: &RawRestart, context: &Context<'_>) -> Result<Restart> {
    const LONGEST: i64 = 3_600_000;
    let default = Restart::default();
    let bound = |number: &Option<Located<i64>>, what: &str| {
        number.as_ref().map(|number| context.number(number, 10..LONGEST + 1, what).map(Duration::from_millis)).transpose()
    };
    let minimum = bound(&raw.minimum_ms, "`minimum-ms`")?;
    let maximum = bound(&raw.maximum_ms, "`maximum-ms`")?;
    let restart = Restart {
        minimum: minimum.unwrap_or_else(|| default.minimum.min(maximum.unwrap_or(default.minimum))),
        maximum: maximum.unwrap_or_else(|| default.maximum.max(minimum.unwrap_or(default.maximum))),
    };
    match &raw.maximum_ms {
        Some(written) if restart.maximum < restart.minimum => {
            context.fail(written, format!("`maximum-ms` is less than `minimum-ms`, {}", restart.minimum.as_millis()))
        }
        _ => Ok(restart),
    }
}

fn readiness(raw: &RawReadiness, service: &Text, context: &Context<'_>) -> Result<Readiness> {
    match (&raw.socket, &raw.http, &raw.exec) {
        (Some(socket), None, None) => {
            let path = context.value(socket, |text| values::path(text).map(str::to_owned))?;
            // sockaddr_un holds 107 bytes.
            if path.len() > 107 {
                return context.fail(socket, format!("a socket's path has 107 bytes at most, not {}", path.len()));
            }
            Ok(Readiness::Socket(path))
        }
        (None, Some(http), None) => {
            let (address, path) = context.value(http, values::http_address)?;
            Ok(Readiness::Http { address, path })
        }
        (None, None, Some(exec)) => Ok(Readiness::Exec(command(exec, exec, "`exec`", context)?)),
        (None, None, None) => {
            context.fail(service, format!("`{}`: `readiness` is one of `socket`, `http` and `exec`", **service))
        }
        _ => context.fail(service, format!("`{}`: `readiness` is only one of `socket`, `http` and `exec`", **service)),
    }
}

fn capabilities(raw: &[Text], context: &Context<'_>) -> Result<Vec<Capability>> {
    context.values(raw, |name| {
        Capability::named(name).ok_or_else(|| {
            let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
            match crate::toml_document::nearest(name, Capability::names().iter().copied()) {
                Some(nearest) => format!("unknown capability `{shown}`; did you mean `{nearest}`?"),
                None => format!("unknown capability `{shown}`; they are written as \"CAP_NET_ADMIN\""),
            }
        })
    })
}
