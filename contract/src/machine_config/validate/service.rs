//! `[[service]]`.

use super::{Context, Result, did_you_mean, values};
use crate::machine_config::model::{Capability, Need, Readiness, Restart, Service};
use crate::machine_config::raw::{RawReadiness, RawRestart, RawService, Text};
use crate::machine_config::secret::Secret;
use crate::toml_document::Located;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Names of what the machine itself runs, and of what its units wait for: no service's.
pub const RESERVED_SERVICES: [&str; 20] = [
    "agent",
    "applied",
    "apply",
    "coldplug",
    "config",
    "devices",
    "init",
    "kernel",
    "kmimage",
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

const NETWORK: &str = "network";
const TIME: &str = "time";

pub(super) fn services(raw: &[RawService], context: &Context<'_>) -> Result<Vec<Service>> {
    let mut names: BTreeMap<&str, &Text> = BTreeMap::new();
    for service in raw {
        context.value(&service.name, |text| values::name(text, 32))?;
        if RESERVED_SERVICES.contains(&service.name.as_str()) {
            return context
                .fail(&service.name, format!("`{}` is a part of the machine itself: call the service otherwise", *service.name));
        }
        if let Some(first) = names.insert(&service.name, &service.name) {
            return context.doubled(&service.name, "the service", first.span());
        }
    }
    let services: Vec<Service> = raw.iter().map(|raw| service(raw, &names, context)).collect::<Result<_>>()?;
    no_circle(raw, context)?;
    Ok(services)
}

fn service(raw: &RawService, names: &BTreeMap<&str, &Text>, context: &Context<'_>) -> Result<Service> {
    let memory = |text: &Option<Text>| text.as_ref().map(|text| context.value(text, values::size)).transpose();
    let oom_score = raw.oom_score.as_ref().map(|score| context.number(score, -1000..1001, "an OOM score"));
    let stop = raw.stop_timeout_s.as_ref().map(|seconds| context.number(seconds, 1..601, "`stop-timeout-s`"));
    Ok(Service {
        name: (*raw.name).clone(),
        command: command(&raw.command, &raw.name, "`command`", context)?,
        needs: needs(raw, names, context)?,
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

fn needs(raw: &RawService, names: &BTreeMap<&str, &Text>, context: &Context<'_>) -> Result<Vec<Need>> {
    context.values(&raw.needs, |need| match need {
        NETWORK => Ok(Need::Network),
        TIME => Ok(Need::Time),
        name if name == *raw.name => Err(format!("`{name}` needs itself")),
        name if names.contains_key(name) => Ok(Need::Service(name.to_owned())),
        name => {
            let known: Vec<&str> = [NETWORK, TIME].into_iter().chain(names.keys().copied()).collect();
            let name: String = name.chars().take(60).flat_map(char::escape_debug).collect();
            Err(format!("`{}` needs `{name}`, and there is no such service; {}", *raw.name, did_you_mean(&name, known)))
        }
    })
}

/// No service waits for itself, over however many others.
fn no_circle(raw: &[RawService], context: &Context<'_>) -> Result<()> {
    let needs: BTreeMap<&str, &[Text]> = raw.iter().map(|raw| (raw.name.as_str(), raw.needs.as_slice())).collect();
    for service in raw {
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
