//! The files of a join: where they lie, and how they come there: beside, flushed, renamed, and only root's. After a power cut there is the
//! old one or the new.

use super::kubelet_config::CLIENT_CA;
use super::record::Record;
use super::refusal::Refusal;
use kmimage_contract::paths;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// kubelet's credentials for its first certificate.
const BOOTSTRAP: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
/// What kubelet writes when it has that.
pub(super) const KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
/// Its certificate and key; a link that kubelet turns when it has a new one.
pub(super) const CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
/// kubelet's configuration.
const CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// The record of the join.
const RECORD: &str = "/etc/kubernetes/kmimage-join.json";
/// Static pods.
const MANIFESTS: &str = "/etc/kubernetes/manifests";

/// The machine's files, below a root.
#[derive(Debug, Clone)]
pub(super) struct Place {
    root: PathBuf,
}

impl Place {
    /// The ones below this root, which is `/` on a machine.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where a path of the machine is.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The record of a machine that has joined: kubelet has its certificate. `None`: it has not.
    pub(super) fn joined(&self) -> Option<Record> {
        let there = [KUBECONFIG, CERTIFICATE].into_iter().all(|path| self.at(path).exists());
        let bytes = fs::read(self.at(RECORD)).ok().filter(|_| there)?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Whether kubelet has its certificate, and a kubeconfig with it.
    pub(super) fn is_certified(&self) -> bool {
        [KUBECONFIG, CERTIFICATE].into_iter().all(|path| self.at(path).exists())
    }

    /// What [`paths::CLUSTER`] says.
    pub(super) fn read_input(&self) -> io::Result<String> {
        fs::read_to_string(self.at(paths::CLUSTER))
    }

    /// Writes what kubelet gets its first certificate by. The credentials come last.
    pub(super) fn write_join(&self, record: &Record, authority: &str, bootstrap: &str) -> Result<(), Refusal> {
        let text = serde_json::to_string_pretty(record).unwrap_or_default();
        self.write(CLIENT_CA, authority)?;
        self.write(RECORD, &text)?;
        self.write(BOOTSTRAP, bootstrap)
    }

    /// Writes what kubelet reads at each start.
    pub(super) fn write_kubelet(&self, config: &str, arguments: &str) -> Result<(), Refusal> {
        self.folder(&self.at(MANIFESTS)).map_err(|error| failed("making", MANIFESTS, &error))?;
        self.write(CONFIG, config)?;
        self.write(paths::KUBELET_ARGUMENTS, arguments)
    }

    /// Takes away the credentials of the join, which nobody needs any more.
    pub(super) fn forget_bootstrap(&self) -> Result<(), Refusal> {
        match fs::remove_file(self.at(BOOTSTRAP)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", BOOTSTRAP, &error)),
            _ => Ok(()),
        }
    }

    /// Writes a file that only root reads; one that says the same already stays.
    fn write(&self, path: &str, text: &str) -> Result<(), Refusal> {
        let to = self.at(path);
        if fs::read(&to).is_ok_and(|known| known == text.as_bytes()) {
            return Ok(());
        }
        let beside = to.with_added_extension("new");
        let write = || {
            let folder = to.parent().unwrap_or(&self.root);
            self.folder(folder)?;
            match fs::remove_file(&beside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &to)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|error: io::Error| failed("writing", path, &error))
    }

    fn folder(&self, folder: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)
    }
}

fn failed(step: &str, path: &str, error: &io::Error) -> Refusal {
    Refusal::Machine { what: format!("{step} {path}"), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::os::unix::fs::PermissionsExt as _;

    fn record() -> Record {
        let server = "https://a:1".to_owned();
        Record { node: "n".to_owned(), server, joined_by: Default::default(), kubelet_config: Value::Null }
    }

    #[test]
    fn a_machine_has_joined_when_kubelet_has_its_certificate() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::new(root.path());
        place.write_join(&record(), "ca", "hunter2").unwrap();
        place.write_kubelet("{}", "--a\n").unwrap();
        for path in [CLIENT_CA, RECORD, BOOTSTRAP, CONFIG, paths::KUBELET_ARGUMENTS] {
            let mode = fs::metadata(place.at(path)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{path}");
        }
        assert!(place.at(MANIFESTS).is_dir());
        assert_eq!((place.joined(), place.is_certified()), (None, false));
        place.write(KUBECONFIG, "x").unwrap();
        assert_eq!(place.joined(), None);
        place.write(CERTIFICATE, "x").unwrap();
        assert_eq!((place.joined(), place.is_certified()), (Some(record()), true));
        place.forget_bootstrap().unwrap();
        place.forget_bootstrap().unwrap();
        assert!(!place.at(BOOTSTRAP).exists());
        fs::write(place.at(RECORD), "{").unwrap();
        assert_eq!(place.joined(), None);
    }

    #[test]
    fn what_a_power_cut_left_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::new(root.path());
        fs::create_dir_all(place.at("/etc/kubernetes")).unwrap();
        let left = place.at("/etc/kubernetes/bootstrap-kubelet.conf.new");
        fs::write(&left, "half").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).unwrap();
        place.write(BOOTSTRAP, "whole").unwrap();
        assert_eq!(fs::read_to_string(place.at(BOOTSTRAP)).unwrap(), "whole");
        assert_eq!(fs::metadata(place.at(BOOTSTRAP)).unwrap().permissions().mode() & 0o7777, 0o600);
        // A folder in a file's place is an error that names it.
        fs::create_dir_all(place.at(CONFIG)).unwrap();
        let error = place.write(CONFIG, "x").unwrap_err().to_string();
        assert!(error.starts_with("writing /var/lib/kubelet/config.yaml: "), "{error}");
    }
}
