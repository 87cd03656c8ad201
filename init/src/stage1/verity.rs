//! Opening the root's verity device: from here on every block is checked before anyone sees it.

use super::{Root, Stage1Error};
use crate::facts::block;
use kmimage_contract::RootHash;
use kmimage_contract::paths::ROOT_MAPPING;
use kmimage_contract::verity::{SUPERBLOCK_SIZE, VerityParams};
use kmimage_sys::device_mapper::DeviceMapper;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Makes the verified device and returns its node in /dev.
pub(super) fn open(root: &Root, root_hash: &RootHash) -> Result<String, Stage1Error> {
    let params = read_superblock(&Path::new("/dev").join(&root.tree.name))?;
    let (tree, partition) = (params.data_size(), root.data.sectors.saturating_mul(512));
    if tree > partition {
        return Err(Stage1Error::Size { tree, partition });
    }
    let line = params.table_line(root_hash, &root.data.number.to_string(), &root.tree.number.to_string());
    // The UUID's form is cryptsetup's, so that its tools know the device for what it is.
    let uuid = format!("CRYPT-VERITY-{}-{ROOT_MAPPING}", params.uuid.simple());
    let device = DeviceMapper::open()?.create_read_only(ROOT_MAPPING, &uuid, tree / 512, "verity", &line)?;
    let node = block::read_one(device).ok_or_else(|| Stage1Error::NoNode(device.to_string()))?;
    // For people and tools that look for it by name; nothing here depends on it.
    let _ = std::os::unix::fs::symlink(format!("../{}", node.name), Path::new("/dev/mapper").join(ROOT_MAPPING));
    Ok(format!("/dev/{}", node.name))
}

fn read_superblock(device: &Path) -> Result<VerityParams, Stage1Error> {
    let fail = |source| Stage1Error::Read { device: PathBuf::from(device), source };
    let mut bytes = [0; SUPERBLOCK_SIZE];
    std::fs::File::open(device).and_then(|mut file| file.read_exact(&mut bytes)).map_err(fail)?;
    VerityParams::parse_superblock(&bytes).map_err(|source| Stage1Error::Superblock { device: device.to_owned(), source })
}
