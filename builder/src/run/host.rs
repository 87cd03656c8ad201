//! What this host offers to boot an image with: QEMU, OVMF, KVM.

use super::machine::Accelerator;
use crate::failure::{Classified, Kind};
use std::path::{Path, PathBuf};

/// The program that `kmimage run` starts.
pub const QEMU: &str = "qemu-system-x86_64";

/// Where distributions put OVMF, code and variable template, the most common first. 4 MiB builds: Debian has dropped the 2 MiB ones.
const FIRMWARE: [(&str, &str); 3] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
];

/// What the host lacks.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No QEMU in PATH.
    #[error("no {QEMU} in PATH")]
    NoQemu,
    /// No OVMF in any known place.
    #[error("no OVMF firmware found; looked for {}", FIRMWARE.map(|(code, _)| code).join(", "))]
    NoFirmware,
}

impl Classified for HostError {
    fn kind(&self) -> Kind {
        Kind::Host
    }

    fn hints(&self) -> Vec<String> {
        let package = match self {
            HostError::NoQemu => "qemu-system-x86",
            HostError::NoFirmware => "ovmf",
        };
        vec![format!("install it; on Debian: apt-get install {package}")]
    }
}

/// QEMU's path, from a PATH value.
pub fn qemu(path: &std::ffi::OsStr) -> Result<PathBuf, HostError> {
    std::env::split_paths(path).map(|folder| folder.join(QEMU)).find(|file| file.is_file()).ok_or(HostError::NoQemu)
}

/// OVMF's code and variable template below `root` (`/` but for tests).
pub fn firmware(root: &Path) -> Result<(PathBuf, PathBuf), HostError> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    FIRMWARE
        .iter()
        .map(|(code, variables)| (below(code), below(variables)))
        .find(|(code, variables)| code.is_file() && variables.is_file())
        .ok_or(HostError::NoFirmware)
}

/// KVM where the processor offers it and this user may open it, else TCG, with the reason. A /dev/kvm alone proves nothing: inside many
/// virtual machines the node exists and cannot be used.
pub fn accelerator(cpuinfo: &str, kvm: std::io::Result<()>) -> (Accelerator, String) {
    let offered = cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| line.split_ascii_whitespace().any(|flag| flag == "vmx" || flag == "svm"));
    match (offered, kvm) {
        (true, Ok(())) => (Accelerator::Kvm, "KVM".into()),
        (true, Err(error)) => (Accelerator::Tcg, format!("TCG (software): /dev/kvm: {error}")),
        (false, _) => (Accelerator::Tcg, "TCG (software): the processor offers no virtualisation here".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_needs_the_processor_and_the_node() {
        let with = "processor\t: 0\nflags\t\t: fpu svm lm\n";
        let without = "flags\t\t: fpu lm svm_lock\n";
        assert_eq!(accelerator(with, Ok(())).0, Accelerator::Kvm);
        let refused = accelerator(with, Err(std::io::ErrorKind::PermissionDenied.into()));
        assert_eq!(refused, (Accelerator::Tcg, "TCG (software): /dev/kvm: permission denied".into()));
        assert_eq!(accelerator(without, Ok(())).0, Accelerator::Tcg);
    }

    #[test]
    fn missing_firmware_names_where_it_was_looked_for() {
        let empty = tempfile::tempdir().unwrap();
        let text = firmware(empty.path()).unwrap_err().to_string();
        assert!(text.starts_with("no OVMF firmware found; looked for /usr/share/OVMF/OVMF_CODE_4M.fd, "), "{text}");
    }
}
