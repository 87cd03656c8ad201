//! What lets a machine with a BIOS start the image: GRUB, composed for its places.

use super::PipelineError;
use crate::assemble::grub::{self, Core, GrubError, GrubFiles, SECTOR, Target};
use crate::compose::shape::BootInputs;
use crate::emit::medium::plan::Bios;
use kmimage_contract::boot_records::grub::{COMMAND_LINE_ROOM, CORE_CONFIGURATION, PREFIX};
use kmimage_contract::cmdline::{CmdlineError, MAX_LENGTH};
use std::sync::Arc;

/// What GRUB needs to find its configuration on a disk, and what the configuration needs. No module is loaded later: a disk has none.
const MODULES: [&str; 13] = [
    "biosdisk",
    "part_gpt",
    "fat",
    "configfile",
    "loadenv",
    "test",
    "probe",
    "linux",
    "echo",
    "sleep",
    "reboot",
    "serial",
    "terminal",
];

/// GRUB's files.
pub(super) struct Grub(GrubFiles);

/// What starts a disk.
pub(super) struct OnDisk {
    /// The code before the protective MBR.
    pub(super) boot_code: Arc<[u8]>,
    /// The content of the partition `bios`.
    pub(super) core: Arc<[u8]>,
}

impl Grub {
    /// Reads those that core images are made of.
    pub(super) fn read(inputs: &BootInputs) -> Result<Self, PipelineError> {
        let wanted = inputs.grub.iter().filter(|(name, _)| GrubFiles::wants(name));
        let files = wanted.map(|(name, content)| Ok((name.clone(), content.to_vec().map_err(PipelineError::Read)?)));
        Ok(Self(GrubFiles::new(files.collect::<Result<_, PipelineError>>()?)))
    }

    /// What starts a disk whose core image begins at byte `place`.
    pub(super) fn for_disk(&self, place: u64) -> Result<OnDisk, GrubError> {
        let lba = place / SECTOR as u64;
        let core = Core { target: Target::Disk, prefix: PREFIX, modules: &MODULES, config: Some(CORE_CONFIGURATION) };
        let core = grub::core_image(&self.0, &core)?.at(lba);
        Ok(OnDisk { boot_code: Arc::new(grub::boot_code(&self.0, lba)?), core: core.into() })
    }

    /// What starts a medium, as a CD and as a disk; it has its configuration in the same place.
    pub(super) fn for_medium(&self) -> Result<Bios<'_>, GrubError> {
        let core = Core { target: Target::ElTorito, prefix: PREFIX, modules: &MODULES, config: Some(CORE_CONFIGURATION) };
        Ok(Bios { core: grub::core_image(&self.0, &core)?, files: &self.0 })
    }
}

/// Refuses a command line that would be too long with what GRUB adds to it: the kernel would not see its end.
pub(super) fn check_length(cmdline: String) -> Result<String, CmdlineError> {
    match cmdline.len() + COMMAND_LINE_ROOM {
        len if len > MAX_LENGTH => Err(CmdlineError::TooLong(len)),
        _ => Ok(cmdline),
    }
}
