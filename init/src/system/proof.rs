//! The proof that `/` is the verified root: asked of device-mapper itself, not remembered from stage 1.

use super::SystemError;
use crate::facts::block;
use kmimage_contract::verity::root_hash_in_table;
use kmimage_contract::{RootHash, Slot};
use kmimage_sys::device_mapper::{DeviceMapper, DeviceNumber, Target};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The slot of the root, if the device under `/` is a verity target with this root hash that has seen no corrupted block.
pub(super) fn slot_of_verified_root(root_hash: &RootHash) -> Result<Slot, SystemError> {
    let root = Path::new("/");
    let device = std::fs::metadata(root).map_err(|source| SystemError::Root(root.to_owned(), source))?.dev();
    let (mapper, device) = (DeviceMapper::open()?, DeviceNumber::from_stat(device));
    let data = data_device(&mapper.table(device)?, &mapper.status(device)?, root_hash).map_err(SystemError::NotVerified)?;
    let label = block::read_one(data).map(|device| device.label).unwrap_or_default();
    Slot::of_root_label(&label).ok_or(SystemError::NoSlot(label))
}

/// The device that the verified data is on, by what device-mapper says of the device under `/`; or what is wrong with it.
fn data_device(table: &[Target], status: &[Target], root_hash: &RootHash) -> Result<DeviceNumber, String> {
    let ([table], [status]) = (table, status) else {
        return Err(format!("it has {} device-mapper targets, not one", table.len()));
    };
    if table.kind != "verity" || status.kind != "verity" {
        return Err(format!("it is a `{}` target", table.kind));
    }
    let found = root_hash_in_table(&table.text).ok_or("its table has no SHA-256 root hash")?;
    if found != *root_hash {
        return Err(format!("it has the root hash {found}"));
    }
    // The first word; newer kernels say more behind it.
    if status.text.split_ascii_whitespace().next() != Some("V") {
        return Err(format!("its status is `{}`", status.text.trim()));
    }
    let number = table.text.split_ascii_whitespace().nth(1).and_then(|data| data.split_once(':'));
    let number = number.and_then(|(major, minor)| Some(DeviceNumber { major: major.parse().ok()?, minor: minor.parse().ok()? }));
    number.ok_or_else(|| "its table has no data device".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: RootHash = RootHash([0xc0; 32]);

    fn target(kind: &str, text: &str) -> Target {
        Target { start: 0, length: 8, kind: kind.to_owned(), text: text.to_owned() }
    }

    fn table() -> Target {
        target("verity", &format!("1 254:3 254:4 4096 4096 1 1 sha256 {HASH} - 1 restart_on_corruption"))
    }

    #[test]
    fn a_verified_root_names_its_data() {
        for status in ["V", "V 0 -"] {
            let device = data_device(&[table()], &[target("verity", status)], &HASH);
            assert_eq!(device, Ok(DeviceNumber { major: 254, minor: 3 }), "{status}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let check = |table: &[Target], status: &[Target], hash: &RootHash, expect: &str| {
            assert_eq!(data_device(table, status, hash), Err(expect.to_owned()));
        };
        let good = target("verity", "V");
        check(&[], &[], &HASH, "it has 0 device-mapper targets, not one");
        check(&[target("linear", "8:3 0")], std::slice::from_ref(&good), &HASH, "it is a `linear` target");
        let other = RootHash([0xc1; 32]);
        check(&[table()], std::slice::from_ref(&good), &other, &format!("it has the root hash {HASH}"));
        for status in ["C", "C V", "Vx", ""] {
            check(&[table()], &[target("verity", status)], &HASH, &format!("its status is `{status}`"));
        }
        check(&[target("verity", "1 2 3")], &[good], &HASH, "its table has no SHA-256 root hash");
    }
}
