//! Names of kernel parameters, and those whose value is not free.

use super::model::Sysctl;

/// What kubelet asks of the kernel when it runs with `protectKernelDefaults` (`kubelet --protect-kernel-defaults`); with another
/// value it doesn't start. kmimage sets these by itself.
pub const KUBELET: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

impl std::str::FromStr for Sysctl {
    /// What is wrong, in one line.
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        name(text)
    }
}

/// A name as sysctl.d(5) has it: dots separate, or slashes where the first separator is one; then dots belong to names.
pub(super) fn name(text: &str) -> Result<Sysctl, String> {
    let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    let bad = || format!("`{shown}` is no kernel parameter's name, such as \"net.ipv4.ip_forward\"");
    let path: String = match text.find(['.', '/']) {
        Some(at) if text.as_bytes().get(at) == Some(&b'.') => text
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
        Some(_) => text.to_owned(),
        None => return Err(bad()),
    };
    let part = |part: &str| {
        !matches!(part, "" | "." | "..") && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte))
    };
    if path.len() > 255 || !path.split('/').all(part) {
        return Err(bad());
    }
    Ok(Sysctl::new(path))
}

/// Judges a value: one line, and kubelet's where kubelet asks for one.
pub(super) fn value(name: &Sysctl, value: &str) -> Result<String, String> {
    if value.is_empty() || value.len() > 1024 || value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(format!("the value of `{name}` must be one line"));
    }
    match KUBELET.iter().find(|(known, _)| *known == name.path()) {
        Some((_, wanted)) if *wanted != value.trim() => {
            Err(format!("kubelet (protectKernelDefaults) asks for {name} = {wanted} and doesn't start with `{value}`"))
        }
        _ => Ok(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths() {
        let check = |text: &str, path: &str| assert_eq!(name(text).unwrap().path(), path);
        check("net.ipv4.ip_forward", "net/ipv4/ip_forward");
        check("net/ipv4/ip_forward", "net/ipv4/ip_forward");
        check("net/ipv4/conf/eth0.10/forwarding", "net/ipv4/conf/eth0.10/forwarding");
        check("net.ipv4.conf.eth0/10.forwarding", "net/ipv4/conf/eth0.10/forwarding");
        for text in
            ["", "panic", ".kernel.panic", "kernel..panic", "kernel.panic.", "/kernel/panic", "kernel/../panic", "a b.c", "ä.b"]
        {
            assert!(name(text).is_err(), "{text}");
        }
    }
}
