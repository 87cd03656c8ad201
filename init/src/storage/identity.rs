//! Who this machine is: its machine-id, and whether the disk it boots from was another machine's.
//!
//! A disk that was cloned finds another product UUID (the SMBIOS one, which every virtual machine has for itself) than the one on
//! `state`. Then everything that would make two machines of one name goes, and the product UUID is written last: whatever a power
//! cut leaves, the next boot finds a clone again and goes on.

use super::{lasting, record};
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The file with the machine-id: 32 lower-case hexadecimal digits and a line feed.
pub const MACHINE_ID: &str = "machine-id";
/// The file with the product UUID of the machine that the rest of `state` belongs to.
const PRODUCT: &str = "product-uuid";
/// What a clone does not keep, in this order: first the mark that the machine was ready, so that the sources are read anew; what the
/// platform said was of the other machine.
const NOT_A_CLONES: [&str; 7] =
    [record::READY, "config/platform.json", "kubernetes", "kubelet-pki", "log", "last-failure", MACHINE_ID];
/// Which of these are folders that stay, empty.
const FOLDERS: [&str; 3] = ["kubernetes", "kubelet-pki", "log"];
/// Where the kernel shows the product UUID.
const DMI: &str = "/sys/class/dmi/id/product_uuid";

/// Who the machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// 32 lower-case hexadecimal digits.
    pub machine_id: String,
    /// Whether the machine-id was made in this boot.
    pub new: bool,
    /// Whether this disk was another machine's.
    pub clone: bool,
}

/// An identity that could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[error("the machine's identity: {}", path.display())]
pub struct IdentityError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// The product UUID of this machine. `None`: it has none, or one that many have.
pub fn product() -> Option<Uuid> {
    distinct(&std::fs::read_to_string(DMI).ok()?)
}

fn distinct(text: &str) -> Option<Uuid> {
    /// What a vendor that never thought of it leaves in its firmware.
    const SHARED: Uuid = uuid::uuid!("03000200-0400-0500-0006-000700080009");
    text.trim().parse().ok().filter(|uuid: &Uuid| !uuid.is_nil() && !uuid.is_max() && *uuid != SHARED)
}

/// Reads who the machine is from `state`, makes what is missing, and drops what a clone must not keep. `random` is asked for a new
/// machine-id only.
pub fn settle(
    state: &Path,
    product: Option<Uuid>,
    random: impl FnOnce() -> io::Result<[u8; 16]>,
) -> Result<Identity, IdentityError> {
    let at = |name: &str| {
        let path = state.join(name);
        move |source| IdentityError { path, source }
    };
    let read = |name: &str| match std::fs::read(state.join(name)) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    };
    let known: Option<Uuid> = read(PRODUCT).map_err(at(PRODUCT))?.parse().ok();
    let clone = matches!((known, product), (Some(known), Some(product)) if known != product);
    if clone {
        for name in NOT_A_CLONES {
            lasting::remove(&state.join(name)).map_err(at(name))?;
        }
        for name in FOLDERS {
            std::fs::create_dir(state.join(name)).map_err(at(name))?;
        }
    }
    let found = read(MACHINE_ID).map_err(at(MACHINE_ID))?;
    let valid = found.len() == 32 && found.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let machine_id = if valid {
        found
    } else {
        let bytes = random().map_err(at(MACHINE_ID))?;
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid().simple().to_string();
        lasting::write(&state.join(MACHINE_ID), format!("{id}\n").as_bytes()).map_err(at(MACHINE_ID))?;
        id
    };
    if let Some(product) = product.filter(|product| known != Some(*product)) {
        lasting::write(&state.join(PRODUCT), format!("{product}\n").as_bytes()).map_err(at(PRODUCT))?;
    }
    Ok(Identity { machine_id, new: !valid, clone })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Uuid = Uuid::from_u128(0x10);
    const SECOND: Uuid = Uuid::from_u128(0x20);
    const ID_1: &str = "01010101010141018101010101010101";
    const ID_2: &str = "02020202020242028202020202020202";

    struct State(PathBuf);

    impl State {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("kmimage-identity-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            for folder in ["config", "kubernetes", "kubelet-pki"] {
                std::fs::create_dir_all(path.join(folder)).unwrap();
            }
            let files = ["config/ready", "config/machine.toml", "config/platform.json"];
            for file in files.into_iter().chain(["kubernetes/kubelet.conf", "kubelet-pki/key", "last-failure"]) {
                std::fs::write(path.join(file), "x").unwrap();
            }
            Self(path)
        }

        fn check(&self, product: Option<Uuid>, random: u8, expect: (&str, bool, bool)) {
            let identity = settle(&self.0, product, || Ok([random; 16])).unwrap();
            assert_eq!((identity.machine_id.as_str(), identity.new, identity.clone), expect);
        }

        fn has(&self, file: &str) -> bool {
            self.0.join(file).exists()
        }
    }

    impl Drop for State {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_machine_stays_who_it_is() {
        let state = State::new("stays");
        state.check(Some(FIRST), 1, (ID_1, true, false));
        state.check(Some(FIRST), 2, (ID_1, false, false));
        // Firmware that says nothing for once makes no clone.
        state.check(None, 2, (ID_1, false, false));
        state.check(Some(FIRST), 2, (ID_1, false, false));
        assert!(state.has("config/ready") && state.has("kubernetes/kubelet.conf"));
        // A machine-id that is none is made anew, and that alone.
        std::fs::write(state.0.join(MACHINE_ID), "0123").unwrap();
        state.check(Some(FIRST), 2, (ID_2, true, false));
        assert!(state.has("config/ready"));
    }

    #[test]
    fn a_clone_becomes_another_machine() {
        let state = State::new("clone");
        state.check(Some(FIRST), 1, (ID_1, true, false));
        state.check(Some(SECOND), 2, (ID_2, true, true));
        for gone in ["config/ready", "config/platform.json", "kubernetes/kubelet.conf", "kubelet-pki/key", "last-failure"] {
            assert!(!state.has(gone), "{gone}");
        }
        assert!(state.has("config/machine.toml") && state.has("kubernetes") && state.has("kubelet-pki"));
        state.check(Some(SECOND), 3, (ID_2, false, false));
    }

    /// After every prefix of what a clone's boot does, the next boot ends it.
    #[test]
    fn a_clone_that_is_cut_is_still_a_clone() {
        for done in 0..=NOT_A_CLONES.len() {
            let state = State::new(&format!("cut-{done}"));
            state.check(Some(FIRST), 1, (ID_1, true, false));
            for name in &NOT_A_CLONES[..done] {
                lasting::remove(&state.0.join(name)).unwrap();
            }
            state.check(Some(SECOND), 2, (ID_2, true, true));
            assert!(!state.has("config/ready") && !state.has("kubelet-pki/key"));
            state.check(Some(SECOND), 3, (ID_2, false, false));
        }
    }

    #[test]
    fn product_uuids_that_many_have_are_none() {
        assert_eq!(distinct("00000000-0000-0000-0000-000000000010\n"), Some(FIRST));
        for text in [
            "",
            "Not Settable",
            "00000000-0000-0000-0000-000000000000",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            "03000200-0400-0500-0006-000700080009",
        ] {
            assert_eq!(distinct(text), None, "{text}");
        }
    }
}
