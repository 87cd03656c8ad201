//! The small grammars of a config's values. Pure; an error is a sentence that begins with the value.

use super::model::Host;
use crate::notation;
use std::net::{IpAddr, SocketAddr};

type Judged<T> = Result<T, String>;

/// What a message shows of a value.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        shown.push_str("...");
    }
    shown
}

/// A host's name (RFC 1123), as Kubernetes wants a node's: lower case, 63 characters at most.
pub(super) fn hostname(text: &str) -> Judged<String> {
    let shown = shown(text);
    if text.len() > 63 {
        return Err(format!("`{shown}` has {} characters, a host's name 63 at most", text.chars().count()));
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("`{shown}` has upper-case letters: a node's name has none"));
    }
    if !domain_name(text) {
        return Err(format!(
            "`{shown}` is no host's name: labels of letters, digits and `-` (neither first nor last), with dots between"
        ));
    }
    if text.parse::<IpAddr>().is_ok() || text.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit())) {
        return Err(format!("`{shown}` reads as an address: the last label needs a letter"));
    }
    Ok(text.to_owned())
}

/// Whether a text has the form of a domain name, in letters of either case.
fn domain_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// A domain, such as one to search in; a dot at its end is taken off.
pub(super) fn domain(text: &str) -> Judged<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if domain_name(name) { Ok(name.to_ascii_lowercase()) } else { Err(format!("`{}` is no domain name", shown(text))) }
}

/// A host by name or address.
pub(super) fn host(text: &str) -> Judged<Host> {
    if let Ok(address) = text.parse() {
        return Ok(Host::Address(address));
    }
    let numeric = text.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    match domain(text) {
        Ok(name) if !numeric => Ok(Host::Name(name)),
        _ => Err(format!("`{}` is neither a host's name nor an address", shown(text))),
    }
}

/// An address of a host.
pub(super) fn address(text: &str) -> Judged<IpAddr> {
    let address: IpAddr = text.parse().map_err(|_| format!("`{}` is no IP address", shown(text)))?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("`{address}` is no address of a host"));
    }
    Ok(address)
}

/// The name of a link in the kernel, or one that stands for it.
pub(super) fn link_name(text: &str) -> Judged<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text == "lo" {
        return Err("`lo` is the kernel's loopback link".to_owned());
    }
    if text.is_empty() || text.len() > 15 || !text.bytes().all(fits) || text.bytes().all(|byte| byte == b'.') {
        return Err(format!("`{}` is no name of a link: 1 to 15 letters, digits, `-`, `_` and `.`", shown(text)));
    }
    Ok(text.to_owned())
}

/// A pattern over names of links.
pub(super) fn link_pattern(text: &str) -> Judged<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*?".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
        return Err(format!("`{}` is no link's name or pattern: letters, digits, `-`, `_`, `.`, `*` and `?`", shown(text)));
    }
    Ok(text.to_owned())
}

/// A module's or driver's name.
pub(super) fn module(text: &str) -> Judged<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if text.is_empty() || text.len() > 55 || !text.bytes().all(fits) {
        return Err(format!("`{}` is no module's name: letters, digits, `-` and `_`, without `.ko`", shown(text)));
    }
    Ok(text.replace('-', "_"))
}

/// A driver's name: as a module's, and kept as it is.
pub(super) fn driver(text: &str) -> Judged<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if text.is_empty() || text.len() > 55 || !text.bytes().all(fits) {
        return Err(format!("`{}` is no driver's name: letters, digits, `-` and `_`", shown(text)));
    }
    Ok(text.to_owned())
}

/// The name of something that the config makes: `longest` lower-case letters, digits and `-` at most.
pub(super) fn name(text: &str, longest: usize) -> Judged<String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || text.len() > longest || text.starts_with('-') || !text.bytes().all(fits) {
        return Err(format!("`{}` is no name: lower-case letters, digits and `-`, {longest} at most", shown(text)));
    }
    Ok(text.to_owned())
}

/// An absolute path in its normal form, other than `/`.
pub(super) fn path(text: &str) -> Judged<&str> {
    let Some(parts) = text.strip_prefix('/') else { return Err(format!("`{}` is no absolute path", shown(text))) };
    if text.len() > 4000 || text.chars().any(char::is_control) {
        return Err(format!("`{}` is no path: too long, or with control characters", shown(text)));
    }
    if parts.split('/').any(|part| part == "..") {
        return Err(format!("`{}` has `..` in it", shown(text)));
    }
    if parts.split('/').any(|part| matches!(part, "" | ".") || part.len() > 255) {
        return Err(format!("`{}` is not in its normal form: no `.`, no empty part, no `/` at its end", shown(text)));
    }
    Ok(text)
}

/// A command: a program of the verified root, and arguments.
pub(super) fn program(text: &str) -> Judged<()> {
    let text = path(text)?;
    let verified = ["/usr/", "/bin/", "/sbin/", "/lib/", "/lib64/"].iter().any(|folder| text.starts_with(folder));
    if verified { Ok(()) } else { Err(format!("`{}` is not in the verified root: programs are below /usr", shown(text))) }
}

/// Permission bits without set-uid, set-gid and sticky.
pub(super) fn mode(text: &str) -> Judged<u32> {
    match notation::mode(text) {
        Some(mode) if mode > 0o777 => Err(format!("`{text}`: set-uid, set-gid and sticky bits are not for files of a config")),
        Some(mode) => Ok(mode.into()),
        None => Err(format!("`{}` is no mode: three or four octal digits, such as \"0644\"", shown(text))),
    }
}

/// A size of memory: a number with KiB, MiB or GiB.
pub(super) fn size(text: &str) -> Judged<u64> {
    notation::size(text)
        .ok_or_else(|| format!("`{}` is no size: a whole number and KiB, MiB or GiB, such as \"64 MiB\"", shown(text)))
}

/// The name of a variable of the environment (POSIX).
pub(super) fn variable(text: &str) -> Judged<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit()) || !text.bytes().all(fits) {
        return Err(format!("`{}` is no variable's name: letters, digits and `_`, not beginning with a digit", shown(text)));
    }
    Ok(text.to_owned())
}

/// A qualified name of Kubernetes, as labels and taints have for keys: `name`, or `domain/name`.
pub(super) fn qualified_name(text: &str) -> Judged<String> {
    let (prefix, name) = text.rsplit_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let lower = |domain: &str| domain_name(domain) && !domain.bytes().any(|byte| byte.is_ascii_uppercase());
    if name.is_empty() || !label_text(name) || !prefix.is_none_or(lower) {
        return Err(format!(
            "`{}` is no name of Kubernetes: \"name\" or \"example.org/name\", 63 letters, digits, `-`, `_`, `.`",
            shown(text)
        ));
    }
    Ok(text.to_owned())
}

/// The value of a label; it may be empty.
pub(super) fn label_value(text: &str) -> Judged<String> {
    if label_text(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is no value of a label: 63 letters, digits, `-`, `_`, `.`", shown(text)))
    }
}

fn label_text(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63 && text.bytes().all(fits) && edge(text.bytes().next()) && edge(text.bytes().last())
}

/// A cloud's name for a machine: `provider://...`.
pub(super) fn provider_id(text: &str) -> Judged<String> {
    let form = text.split_once("://").is_some_and(|(provider, id)| !provider.is_empty() && !id.is_empty());
    if !form || text.len() > 512 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("`{}` is no provider id: \"PROVIDER://ID\"", shown(text)));
    }
    Ok(text.to_owned())
}

/// A disk's name in /dev/disk/by-id.
pub(super) fn disk(text: &str) -> Judged<String> {
    if text.contains('/') {
        return Err(format!("`{}` is no name in /dev/disk/by-id: give the name alone, such as \"virtio-data0\"", shown(text)));
    }
    let fits = |byte: u8| byte.is_ascii_graphic();
    if matches!(text, "" | "." | "..") || text.len() > 255 || !text.bytes().all(fits) {
        return Err(format!("`{}` is no name in /dev/disk/by-id", shown(text)));
    }
    Ok(text.to_owned())
}

/// `HOST:PORT`, an IPv6 address in brackets.
pub(super) fn host_and_port(text: &str) -> Judged<(Host, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 {
            Err("port 0 is none".to_owned())
        } else {
            Ok((Host::Address(address.ip()), address.port()))
        };
    }
    let bad = || format!("`{}` is not HOST:PORT", shown(text));
    let (name, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port: u16 = port.parse().ok().filter(|port| digits && *port > 0).ok_or_else(bad)?;
    Ok((host(name)?, port))
}

/// The address of a proxy. It may hold a password, so no message repeats it.
pub(super) fn proxy(text: &str) -> Judged<()> {
    let bad =
        || "a proxy is written \"http://HOST:PORT\", with \"NAME:PASSWORD@\" before the host if it asks for them".to_owned();
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).ok_or_else(bad)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
    let user_fits = user.is_none_or(|user| user.bytes().all(|byte| byte.is_ascii_graphic() && !b"/@?#".contains(&byte)));
    if !user_fits {
        return Err(bad());
    }
    host_and_port(host).map(|_| ()).map_err(|_| bad())
}

/// What is reached without a proxy: a name, a domain with a dot before it, an address, a network, or `*`.
pub(super) fn no_proxy(text: &str) -> Judged<String> {
    let name = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text);
    let fits = text == "*" || text.parse::<IpAddr>().is_ok() || text.parse::<super::Cidr>().is_ok() || domain_name(name);
    if fits { Ok(text.to_owned()) } else { Err(format!("`{}` is no name, domain, address or network", shown(text))) }
}

/// An http:// address of a host that is named by its IP address.
pub(super) fn http_address(text: &str) -> Judged<(SocketAddr, String)> {
    let bad = || format!("`{}` is not \"http://ADDRESS:PORT/PATH\" with an IP address", shown(text));
    let rest = text.strip_prefix("http://").ok_or_else(bad)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(bad());
    }
    let with_port = authority.parse::<SocketAddr>().ok();
    let alone = || authority.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let address =
        with_port.or_else(|| Some(SocketAddr::new(alone()?, 80))).filter(|address| address.port() != 0).ok_or_else(bad)?;
    Ok((address, path.to_owned()))
}
