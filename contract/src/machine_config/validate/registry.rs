//! `[registry]`.

use super::{Context, Result};
use crate::machine_config::pem;
use crate::machine_config::raw::{RawCredentials, RawMachineConfig, RawMirror, Text};
use crate::machine_config::registry::{Credentials, Mirror, Place, Registry};

/// The role whose images have no container runtime.
const WITHOUT_RUNTIME: &str = "base";

pub(super) fn registry(raw: &RawMachineConfig, context: &Context<'_>) -> Result<Registry> {
    let Some(registry) = &raw.registry else { return Ok(Registry::default()) };
    let role = context.image_role.or(raw.machine.role.as_ref().map(|role| role.as_str()));
    if role == Some(WITHOUT_RUNTIME) {
        return context.fail(registry, format!("`registry`: an image of the role `{WITHOUT_RUNTIME}` runs no containers"));
    }
    let host = |text: &str| match Place::judge(text)? {
        place if place.host() == place.as_str() => Ok(place.as_str().to_owned()),
        place => Err(format!("`{}`: short names are looked up in a whole registry, `{}`", place.as_str(), place.host())),
    };
    Ok(Registry {
        search: registry.search.as_ref().map(|search| context.values(search, host)).transpose()?,
        mirrors: mirrors(&registry.mirror, context)?,
        credentials: credentials(&registry.credentials, context)?,
    })
}

fn mirrors(raw: &[RawMirror], context: &Context<'_>) -> Result<Vec<Mirror>> {
    once(raw.iter().map(|mirror| &mirror.registry), context)?;
    raw.iter().map(|raw| mirror(raw, context)).collect()
}

fn mirror(raw: &RawMirror, context: &Context<'_>) -> Result<Mirror> {
    let registry = context.value(&raw.registry, prefix)?;
    let endpoints = context.values(&raw.endpoints, |text| endpoint(text, raw.insecure))?;
    if endpoints.is_empty() && raw.ca.is_none() && !raw.insecure {
        return context.fail(&raw.registry, format!("what is otherwise with `{registry}`? Give `endpoints`, `ca` or `insecure`"));
    }
    if registry.starts_with("*.") && endpoints.is_empty() && raw.ca.is_some() {
        return context
            .fail(&raw.registry, format!("`{registry}`: an authority is for one host; those of all belong in `[trust] ca`"));
    }
    let authorities = raw.ca.as_ref().map(|text| context.value(text, pem::certificates)).transpose()?.unwrap_or_default();
    Ok(Mirror { registry, endpoints, insecure: raw.insecure, authorities })
}

/// What names of images begin with.
fn prefix(text: &str) -> Result<String, String> {
    match text.strip_prefix("*.") {
        Some(domain) => match Place::judge(domain)? {
            place if place.host() == domain && !domain.contains(':') => Ok(text.to_owned()),
            _ => Err(format!("`*.{domain}`: all of a domain, without port and path")),
        },
        None => Place::judge(text).map(|place| place.as_str().to_owned()),
    }
}

fn endpoint(text: &str, insecure: bool) -> Result<Place, String> {
    let bad = || "an endpoint is written \"https://HOST\", with :PORT and /PATH if it needs them".to_owned();
    let (rest, plain) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => return Err(bad()),
    };
    if rest.contains('@') {
        return Err("an endpoint's name and password belong in `[[registry.credentials]]`".to_owned());
    }
    let place = Place::judge(rest.strip_suffix('/').unwrap_or(rest)).map_err(|_| bad())?;
    if plain && !insecure {
        return Err(format!(
            "`http://{}`: images without TLS can be anybody's; if that is meant, say `insecure = true`",
            place.as_str()
        ));
    }
    Ok(place)
}

fn credentials(raw: &[RawCredentials], context: &Context<'_>) -> Result<Vec<Credentials>> {
    once(raw.iter().map(|credentials| &credentials.registry), context)?;
    let one = |raw: &RawCredentials| {
        let fits = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if !fits(&raw.username) || raw.username.contains(':') {
            return context.fail(&raw.username, "a user's name is not empty, and has no `:` in it");
        }
        if !fits(raw.password.reveal()) {
            return context.fail(&raw.password, "a password is not empty, and one line");
        }
        Ok(Credentials {
            registry: context.value(&raw.registry, Place::judge)?,
            username: (*raw.username).clone(),
            password: (*raw.password).clone(),
        })
    };
    raw.iter().map(one).collect()
}

/// Refuses a registry that is here twice.
fn once<'a>(registries: impl Iterator<Item = &'a Text>, context: &Context<'_>) -> Result<()> {
    let mut seen: Vec<&Text> = Vec::new();
    for registry in registries {
        if let Some(first) = seen.iter().find(|known| known.as_str() == registry.as_str()) {
            return context.doubled(registry, "the registry", first.span());
        }
        seen.push(registry);
    }
    Ok(())
}
