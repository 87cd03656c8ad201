//! Boot sectors: the code in front of a protective MBR, told where the core image lies.

use super::{GrubError, GrubFiles, SECTOR};
use crate::assemble::grub::patch;

/// Bytes of an MBR that are code; the disk's signature and the partition table follow.
pub const BOOT_CODE_LEN: usize = 440;

/// Where boot.img keeps the sector that it loads, the drive, and the jump around a work-around.
const KERNEL_SECTOR: usize = 0x5c;
const BOOT_DRIVE: usize = 0x64;
const DRIVE_CHECK: usize = 0x66;
/// "The drive that the BIOS says".
const DRIVE_OF_BIOS: u8 = 0xff;
/// The jump that the next bytes replace: over a check for BIOSes that hand over a drive that is none.
const JUMP: [u8; 2] = [0xeb, 0x05];
const TWO_NOPS: [u8; 2] = [0x90, 0x90];

/// Where boot_hybrid.img keeps the sector that it loads.
const HYBRID_KERNEL_SECTOR: usize = 0x1b0;
/// A CD's core image has cdboot.img in front of what a boot sector loads.
const HYBRID_SKIP: u64 = 4;

/// The code for a disk whose core image ([`super::Target::Disk`]) begins at sector `core_lba` (of 512 bytes); what `grub-install` writes.
pub fn boot_code(files: &GrubFiles, core_lba: u64) -> Result<[u8; BOOT_CODE_LEN], GrubError> {
    const NAME: &str = "boot.img";
    let mut code = code(files, NAME)?;
    if code.get(DRIVE_CHECK..DRIVE_CHECK + 2) != Some(&JUMP) {
        return Err(GrubError::Damaged { name: NAME, fault: "the check of the drive is not where it should be" });
    }
    patch(&mut code, KERNEL_SECTOR, &core_lba.to_le_bytes());
    patch(&mut code, BOOT_DRIVE, &[DRIVE_OF_BIOS]);
    patch(&mut code, DRIVE_CHECK, &TWO_NOPS);
    Ok(code)
}

/// The code for a CD that is written to a disk; its core image ([`super::Target::ElTorito`]) begins at sector `core_lba` (of 512 bytes).
pub fn hybrid_boot_code(files: &GrubFiles, core_lba: u64) -> Result<[u8; BOOT_CODE_LEN], GrubError> {
    let mut code = code(files, "boot_hybrid.img")?;
    patch(&mut code, HYBRID_KERNEL_SECTOR, &core_lba.saturating_add(HYBRID_SKIP).to_le_bytes());
    Ok(code)
}

fn code(files: &GrubFiles, name: &'static str) -> Result<[u8; BOOT_CODE_LEN], GrubError> {
    let sector = files.sized(name, SECTOR)?;
    if sector.get(SECTOR - 2..) != Some(&[0x55, 0xaa]) {
        return Err(GrubError::Damaged { name, fault: "it is no boot sector" });
    }
    let code = sector.get(..BOOT_CODE_LEN).and_then(|code| code.try_into().ok());
    code.ok_or(GrubError::Damaged { name, fault: "it is no boot sector" })
}
