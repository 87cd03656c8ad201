//! The line `kubeadm join ...`, as `kubeadm init` and `kubeadm token create --print-join-command` print it. Pure.
//!
//! Flags may stand in any order, as `--flag value` or `--flag=value`; a backslash at a line's end goes on with the next. What a machine config
//! can't say, and what is for a control plane, is refused by name. No message shows a value: any of them may be a token at the wrong place.

use kmimage_contract::machine_config::{BootstrapToken, CaHash, Endpoint};

/// What the line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// The API server.
    pub endpoint: Option<Endpoint>,
    /// The token: to find the cluster by, and to join with.
    pub token: Option<BootstrapToken>,
    /// Hashes of authorities' keys.
    pub ca_hashes: Vec<CaHash>,
    /// The node's name.
    pub node_name: Option<String>,
    /// A kubeconfig's path, in place of the endpoint.
    pub discovery_file: Option<String>,
}

/// Why it is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Something else than this command.
    #[error("this is no `kubeadm join` line")]
    NotOne,
    /// A quotation mark without its other half.
    #[error("a quotation mark in the line is not closed")]
    Quote,
    /// A flag without its value.
    #[error("`{0}` needs a value")]
    NoValue(String),
    /// A flag that means nothing here.
    #[error("`{0}` can't be said in a machine config")]
    Unknown(String),
    /// A control plane's.
    #[error("`{0}`: joining as a control plane is not built yet; only workers are")]
    ControlPlane(&'static str),
    /// No authority is pinned.
    #[error("`--discovery-token-unsafe-skip-ca-verification`: without a hash nobody knows whose cluster answers")]
    Unsafe,
    /// Another container runtime.
    #[error("`--cri-socket`: the image has CRI-O, at its own socket")]
    OtherRuntime,
    /// A word that is no flag's.
    #[error("the line has one word too many: the API server's address is there already")]
    TooMany,
    /// Two ways to find the cluster.
    #[error("`--discovery-file` says where the API server is: its address is one word too many")]
    TwoServers,
    /// A value that is not of its kind.
    #[error("`{flag}`: {why}")]
    Value {
        /// The flag.
        flag: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Two tokens.
    #[error("`--discovery-token` and `--tls-bootstrap-token` differ, and a machine config has one `token`")]
    TwoTokens,
    /// Something is missing.
    #[error("the line has no {0}")]
    Missing(&'static str),
}

/// The flags that are understood, of which the first few take a value.
const TOKENS: [&str; 3] = ["--token", "--discovery-token", "--tls-bootstrap-token"];
const HASH: &str = "--discovery-token-ca-cert-hash";

/// Reads the line.
pub fn parse(text: &str) -> Result<Line, LineError> {
    let words = words(text)?;
    let mut words = words.into_iter().skip_while(|word| matches!(word.as_str(), "sudo" | "$" | "#"));
    let kubeadm = words.next().is_some_and(|word| word.rsplit('/').next() == Some("kubeadm"));
    if !kubeadm || words.next().as_deref() != Some("join") {
        return Err(LineError::NotOne);
    }
    let mut line = Line::default();
    let mut address = None;
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            if address.replace(word).is_some() {
                return Err(LineError::TooMany);
            }
            continue;
        }
        let (flag, own) = word.split_once('=').map_or((word.as_str(), None), |(flag, value)| (flag, Some(value.to_owned())));
        // These take none.
        match flag {
            "--control-plane" => return Err(LineError::ControlPlane("--control-plane")),
            "--discovery-token-unsafe-skip-ca-verification" => return Err(LineError::Unsafe),
            _ => {}
        }
        if flag == "--certificate-key" {
            return Err(LineError::ControlPlane("--certificate-key"));
        }
        let known =
            TOKENS.contains(&flag) || [HASH, "--node-name", "--discovery-file", "--cri-socket", "--v", "-v"].contains(&flag);
        if !known {
            return Err(LineError::Unknown(flag.chars().take(80).flat_map(char::escape_debug).collect()));
        }
        let value = own.or_else(|| words.next()).ok_or_else(|| LineError::NoValue(flag.to_owned()))?;
        take(&mut line, flag, value)?;
    }
    if let Some(address) = address {
        let why = "behind it belongs the API server's address, HOST:PORT";
        line.endpoint =
            Some(address.parse().map_err(|_: String| LineError::Value { flag: "kubeadm join", why: why.to_owned() })?);
    }
    complete(line)
}

fn take(line: &mut Line, flag: &str, value: String) -> Result<(), LineError> {
    match flag {
        HASH => {
            for hash in value.split(',') {
                // What was given is not shown: it may be a token at the wrong place.
                let why = "a hash is `sha256:` and 64 hexadecimal digits";
                let hash = hash.parse().map_err(|_: String| LineError::Value { flag: HASH, why: why.to_owned() })?;
                if !line.ca_hashes.contains(&hash) {
                    line.ca_hashes.push(hash);
                }
            }
        }
        "--node-name" => line.node_name = Some(value),
        "--discovery-file" => line.discovery_file = Some(value),
        "--cri-socket" if !value.ends_with("/crio/crio.sock") => return Err(LineError::OtherRuntime),
        flag => {
            if let Some(flag) = TOKENS.into_iter().find(|known| *known == flag) {
                let token: BootstrapToken = value.parse().map_err(|why| LineError::Value { flag, why })?;
                if line.token.replace(token.clone()).is_some_and(|known| known != token) {
                    return Err(LineError::TwoTokens);
                }
            }
        }
    }
    Ok(())
}

fn complete(line: Line) -> Result<Line, LineError> {
    let missing = match &line {
        Line { discovery_file: Some(_), endpoint: None, .. } => None,
        Line { discovery_file: Some(_), .. } => return Err(LineError::TwoServers),
        Line { endpoint: None, .. } => Some("address of an API server (HOST:PORT)"),
        Line { token: None, .. } => Some("`--token`"),
        Line { ca_hashes, .. } if ca_hashes.is_empty() => Some("`--discovery-token-ca-cert-hash`"),
        _ => None,
    };
    missing.map_or(Ok(line), |what| Err(LineError::Missing(what)))
}

/// The words of a command line: white space between, quotation marks around what has some in it, a backslash before a line's end for none.
fn words(text: &str) -> Result<Vec<String>, LineError> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => {
                // A line's end, however it was copied, and what else nobody writes with a backslash.
                characters.next_if(|next| *next == '\r');
                characters.next_if(|next| *next == '\n');
                words.extend(word.take());
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(LineError::Quote);
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "abcdef.hunter2hunter2hu";

    fn hash(digit: char) -> String {
        format!("sha256:{}", String::from(digit).repeat(64))
    }

    #[test]
    fn what_kubeadm_prints_is_understood() {
        let (a, b) = (hash('a'), hash('b'));
        let expect = Line {
            endpoint: Some("10.0.0.1:6443".parse().unwrap()),
            token: Some(TOKEN.parse().unwrap()),
            ca_hashes: vec![a.parse().unwrap()],
            ..Line::default()
        };
        // kubeadm token create --print-join-command; kubeadm init.
        for text in [
            format!("kubeadm join 10.0.0.1:6443 --token {TOKEN} --discovery-token-ca-cert-hash {a} \n"),
            format!("kubeadm join 10.0.0.1:6443 --token {TOKEN} \\\n\t--discovery-token-ca-cert-hash {a} "),
            format!("$ sudo /usr/bin/kubeadm join --token={TOKEN} --discovery-token-ca-cert-hash={a} 10.0.0.1:6443 --v=5"),
            format!(
                "kubeadm join --discovery-token {TOKEN} \\\r\n --tls-bootstrap-token '{TOKEN}' \"10.0.0.1:6443\" {HASH} {a},{a}"
            ),
            format!("kubeadm join 10.0.0.1:6443 --token {TOKEN} {HASH} {a} --cri-socket unix:///var/run/crio/crio.sock"),
        ] {
            assert_eq!(parse(&text), Ok(expect.clone()), "{text}");
        }
        let line =
            parse(&format!("kubeadm join [2001:db8::1]:6443 --token {TOKEN} {HASH} {a} {HASH} {b} --node-name n1")).unwrap();
        assert_eq!((line.ca_hashes.len(), line.node_name.as_deref()), (2, Some("n1")));
        let line = parse("kubeadm join --discovery-file '/tmp/a b.conf'").unwrap();
        assert_eq!((line.discovery_file.as_deref(), line.token), (Some("/tmp/a b.conf"), None));
    }

    #[test]
    fn what_is_not_taken_is_refused_by_name() {
        let a = hash('a');
        let good = format!("kubeadm join 10.0.0.1:6443 --token {TOKEN} {HASH} {a}");
        let check = |text: &str, expect: &str| {
            let error = parse(text).unwrap_err().to_string();
            assert_eq!(error, expect, "{text}");
            assert!(!error.contains("hunter"), "{error}");
        };
        check("", "this is no `kubeadm join` line");
        check("kubeadm init", "this is no `kubeadm join` line");
        check(
            &format!("{good} --control-plane"),
            "`--control-plane`: joining as a control plane is not built yet; only workers are",
        );
        check(
            &format!("{good} --certificate-key 00"),
            "`--certificate-key`: joining as a control plane is not built yet; only workers are",
        );
        check(&format!("{good} --ignore-preflight-errors=all"), "`--ignore-preflight-errors` can't be said in a machine config");
        check(
            &format!("{good} --cri-socket unix:///run/containerd/containerd.sock"),
            "`--cri-socket`: the image has CRI-O, at its own socket",
        );
        check(&format!("{good} {TOKEN}"), "the line has one word too many: the API server's address is there already");
        check(
            "kubeadm join a:1 --discovery-file f",
            "`--discovery-file` says where the API server is: its address is one word too many",
        );
        check(
            &format!("{good} {HASH} {TOKEN}"),
            "`--discovery-token-ca-cert-hash`: a hash is `sha256:` and 64 hexadecimal digits",
        );
        check(&format!("{good} --node-name"), "`--node-name` needs a value");
        check(
            &format!("{good} --tls-bootstrap-token bbbbbb.hunter2hunter2hu"),
            "`--discovery-token` and `--tls-bootstrap-token` differ, and a machine config has one `token`",
        );
        check(&format!("{good} 'x"), "a quotation mark in the line is not closed");
        check(&format!("kubeadm join --token {TOKEN} {HASH} {a}"), "the line has no address of an API server (HOST:PORT)");
        check(&format!("kubeadm join a:1 {HASH} {a}"), "the line has no `--token`");
        check(&format!("kubeadm join a:1 --token {TOKEN}"), "the line has no `--discovery-token-ca-cert-hash`");
        check(
            &format!("kubeadm join a:1 --token {TOKEN} --discovery-token-unsafe-skip-ca-verification"),
            "`--discovery-token-unsafe-skip-ca-verification`: without a hash nobody knows whose cluster answers",
        );
        check(
            &format!("kubeadm join a:1 --token hunter2 {HASH} {a}"),
            "`--token`: a bootstrap token is 6 lower-case letters and digits, a dot, and 16 more (`kubeadm token create`)",
        );
        check(
            &format!("kubeadm join a --token {TOKEN} {HASH} {a}"),
            "`kubeadm join`: behind it belongs the API server's address, HOST:PORT",
        );
    }
}
