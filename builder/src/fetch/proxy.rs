//! Through which proxy an address is reached: what the environment says, else what apt says.
//!
//! An `http:` address goes to an HTTP proxy in absolute form (RFC 9112, 3.2.2), as apt and curl send it: caches such as apt-cacher-ng and
//! squid serve that, and refuse a tunnel to port 80. ureq would tunnel, so a transport of our own writes the request line. `https:`
//! addresses are tunnelled (CONNECT), by ureq.

use super::address;
use super::options::Host;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport};
use ureq::{Agent, Error, Proxy};

/// The address of the proxy for an address; none: directly.
pub(super) fn choose(address: &str, host: &Host) -> Option<String> {
    let (scheme, _, _) = address::split(address)?;
    let target = address::host(address)?;
    let variable = |name: &str| host.environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
    if variable("no_proxy").is_some_and(|list| exempt(&target, list)) {
        return None;
    }
    if let Some(proxy) = variable(&format!("{scheme}_proxy")).or_else(|| variable("all_proxy")) {
        return Some(proxy.to_string());
    }
    // apt takes what is said of http for https, too.
    let schemes = if scheme == "https" { ["https", "http"].as_slice() } else { ["http"].as_slice() };
    let setting = |name: String| host.apt.get(&name).filter(|value| !value.is_empty());
    let of_host = schemes.iter().find_map(|scheme| setting(format!("Acquire::{scheme}::Proxy::{target}")));
    let proxy = of_host.or_else(|| schemes.iter().find_map(|scheme| setting(format!("Acquire::{scheme}::Proxy"))))?;
    (!matches!(proxy, "DIRECT" | "false")).then(|| proxy.to_string())
}

/// `no_proxy`: `*`, or host names, each with all names below it.
fn exempt(host: &str, list: &str) -> bool {
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
        let entry = match entry.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => name.to_string(),
            _ => entry,
        };
        entry == "*" || host == entry || host.strip_suffix(&entry).is_some_and(|rest| rest.ends_with('.'))
    })
}

/// An agent that sends requests for `http:` addresses to `proxy`, in absolute form.
pub(super) fn forwarding_agent(config: Config, proxy: &Proxy) -> Agent {
    Agent::with_parts(config, ().chain(TcpConnector::default()).chain(Forward), ProxyResolver(proxy.uri().clone()))
}

/// The value of a Proxy-Authorization header, if the proxy's address has a user.
pub(super) fn authorization(proxy: &Proxy) -> Option<String> {
    let user = proxy.username()?;
    Some(format!("Basic {}", base64(format!("{user}:{}", proxy.password().unwrap_or_default()).as_bytes())))
}

/// Resolves every name to the proxy: names are its business, this host may know none.
#[derive(Debug)]
struct ProxyResolver(Uri);

impl Resolver for ProxyResolver {
    fn resolve(&self, _: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        DefaultResolver::default().resolve(&self.0, config, timeout)
    }
}

#[derive(Debug)]
struct Forward;

impl<In: Transport> Connector<In> for Forward {
    type Out = ForwardTransport<In>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let prefix = format!("http://{}", details.uri.authority().map_or("", |authority| authority.as_str()));
        Ok(chained.map(|inner| ForwardTransport { inner, prefix }))
    }
}

/// Writes `GET /path` as `GET http://host/path`.
#[derive(Debug)]
struct ForwardTransport<T> {
    inner: T,
    prefix: String,
}

impl<T: Transport> Transport for ForwardTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        const METHOD: &[u8] = b"GET ";
        let output = self.inner.buffers().output();
        let longer = amount + self.prefix.len();
        if !output.get(..amount).is_some_and(|head| head.starts_with(b"GET /")) {
            return self.inner.transmit_output(amount, timeout);
        }
        if output.len() < longer {
            return Err(Error::BadUri("too long for a proxy".to_string()));
        }
        output.copy_within(METHOD.len()..amount, METHOD.len() + self.prefix.len());
        output[METHOD.len()..METHOD.len() + self.prefix.len()].copy_from_slice(self.prefix.as_bytes());
        self.inner.transmit_output(longer, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for at in 0..4 {
            let digit = DIGITS[((bits >> (18 - 6 * at)) & 63) as usize] as char;
            text.push(if at <= group.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::apt_conf::parse_settings;

    fn host(environment: &[(&str, &str)], apt: &str) -> Host {
        let mut host = Host::default();
        parse_settings(apt, &mut host.apt);
        host.environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        host
    }

    #[test]
    fn the_environment_goes_before_apt() {
        let apt = "Acquire::http::Proxy \"http://apt:1\"; Acquire::http::Proxy::near.example \"DIRECT\";";
        let quiet = host(&[], apt);
        assert_eq!(choose("http://a.example/x", &quiet).as_deref(), Some("http://apt:1"));
        assert_eq!(choose("https://a.example/x", &quiet).as_deref(), Some("http://apt:1"));
        assert_eq!(choose("http://near.example:80/x", &quiet), None);
        assert_eq!(choose("http://a.example/x", &host(&[], "")), None);

        let loud = host(&[("http_proxy", "http://env:2"), ("no_proxy", "b.example, .c.example:8080,10.0.0.1")], apt);
        assert_eq!(choose("http://a.example/x", &loud).as_deref(), Some("http://env:2"));
        assert_eq!(choose("https://a.example/x", &loud).as_deref(), Some("http://apt:1"));
        for direct in ["http://b.example/", "http://x.b.example/", "http://c.example/", "http://10.0.0.1/x"] {
            assert_eq!(choose(direct, &loud), None, "{direct}");
        }
        assert!(choose("http://bb.example/", &loud).is_some());
        assert_eq!(choose("http://a.example/", &host(&[("all_proxy", "http://all:3"), ("no_proxy", "*")], apt)), None);
    }

    #[test]
    fn base64_as_rfc_4648_has_it() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
