//! What the image asks of every machine of its role, beside what every image asks: modules (modules-load.d(5)) and kernel parameters
//! (sysctl.d(5)), in files of the verified root. Patterns of parameters are not known.

use super::{FactError, read_text};
use kmimage_contract::machine_config::Sysctl;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the files are.
const MODULES: &str = "/usr/lib/modules-load.d";
const SYSCTLS: &str = "/usr/lib/sysctl.d";

/// What a role asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Role {
    /// Modules to load, in order.
    pub modules: Vec<String>,
    /// Kernel parameters: the path below /proc/sys and the value; a later one wins.
    pub sysctls: Vec<(String, String)>,
}

/// Reads the image's files, by name. An image without a folder asks for nothing.
pub fn read() -> Result<Role, FactError> {
    read_from(Path::new(MODULES), Path::new(SYSCTLS))
}

fn read_from(modules: &Path, sysctls: &Path) -> Result<Role, FactError> {
    let mut role = Role::default();
    for (_, text) in texts(modules)? {
        role.modules.extend(lines(&text).map(str::to_owned));
    }
    for (path, text) in texts(sysctls)? {
        for line in lines(&text) {
            role.sysctls.push(parameter(line).map_err(|message| FactError::Content { path: path.clone(), message })?);
        }
    }
    Ok(role)
}

/// The texts of a folder's files `*.conf`, by name.
fn texts(folder: &Path) -> Result<Vec<(PathBuf, String)>, FactError> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    paths.sort();
    paths.into_iter().map(|path| read_text(&path).map(|text| (path, text))).collect()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
}

fn parameter(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once('=').ok_or_else(|| format!("`{line}` is not NAME = VALUE"))?;
    let sysctl: Sysctl = name.trim().parse()?;
    Ok((sysctl.path().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let read = || read_from(folder.path(), folder.path());
        assert_eq!(read_from(&folder.path().join("none"), &folder.path().join("none")).unwrap(), Role::default());
        fs::write(folder.path().join("a.conf"), "# why\n net.ipv4.ip_forward = 1\n\n;x\nnet/ipv4/conf/eth0.1/forwarding=0\n")
            .unwrap();
        fs::write(folder.path().join("x.txt"), "nothing").unwrap();
        let role = read().unwrap();
        let expected = [("net/ipv4/ip_forward", "1"), ("net/ipv4/conf/eth0.1/forwarding", "0")];
        assert_eq!(role.sysctls, expected.map(|(path, value)| (path.to_owned(), value.to_owned())));
        assert_eq!(role.modules.len(), 2);
        for bad in ["net.ipv4.ip_forward", "net.ipv4.conf.*.rp_filter = 1", "= 1"] {
            fs::write(folder.path().join("b.conf"), bad).unwrap();
            assert!(read().is_err(), "{bad}");
        }
    }

    /// What this repository's own overlays ask for.
    #[test]
    fn the_worker_asks_for_what_kubernetes_needs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../overlays/worker/rootfs");
        let role = read_from(&root.join("usr/lib/modules-load.d"), &root.join("usr/lib/sysctl.d")).unwrap();
        assert!(["overlay", "br_netfilter"].iter().all(|module| role.modules.iter().any(|known| known == module)));
        assert!(role.sysctls.contains(&("net/ipv4/ip_forward".to_owned(), "1".to_owned())));
    }
}
