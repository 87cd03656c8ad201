//! What the EFI boot loader says: the partition that it was started from.

use std::path::Path;
use uuid::Uuid;

/// Where efivarfs is mounted.
pub const EFIVARS: &str = "/sys/firmware/efi/efivars";

/// The boot loader interface's variable (systemd.io/BOOT_LOADER_INTERFACE); systemd-boot and systemd-stub set it.
const LOADER_DEVICE: &str = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// The UUID of the partition that the boot loader was started from. `None`: no EFI, no efivarfs, or a loader that doesn't say.
pub fn loader_partition() -> Option<Uuid> {
    parse(&std::fs::read(Path::new(EFIVARS).join(LOADER_DEVICE)).ok()?)
}

/// Reads the variable's file: four bytes of attributes, then UTF-16 text with a terminating zero.
fn parse(file: &[u8]) -> Option<Uuid> {
    let units = file.get(4..)?.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let text: Result<String, _> = char::decode_utf16(units.take_while(|&unit| unit != 0)).collect();
    text.ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_read_as_the_loader_writes_it() {
        let mut file = vec![6, 0, 0, 0];
        file.extend("C12A7328-F81F-11D2-BA4B-00A0C93EC93B\0".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(parse(&file), Some(uuid::uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")));
        for bad in [&file[..3], &file[..4], &file[..30], &[6, 0, 0, 0, 0, 0xd8], b"\0\0\0\0\0"] {
            assert_eq!(parse(bad), None);
        }
    }
}
