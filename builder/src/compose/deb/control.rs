//! `control.tar`: the control paragraph as text, the maintainer scripts and the lists that matter to an image.

use super::tar::{MemberKind, TarReader};
use super::{Compression, DebError};
use std::collections::BTreeMap;
use std::io::{BufRead, Read};

const PART: &str = "control.tar";
/// The largest control.tar of Debian is that of a package with 60,000 files (md5sums): under 8 MiB.
const UNPACKED_MAX: u64 = 64 << 20;
/// Of what is kept; scripts and lists are far smaller.
const FILE_MAX: u64 = 4 << 20;

/// Names of what dpkg or debconf would execute, or act upon like a script (`triggers`). In the order of an installation.
pub const SCRIPT_NAMES: [&str; 6] = ["config", "preinst", "postinst", "prerm", "postrm", "triggers"];

/// A package's control information.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Control {
    /// The control file: one deb822 paragraph.
    pub paragraph: Vec<u8>,
    /// Maintainer scripts and triggers by name (one of [`SCRIPT_NAMES`]), as bytes.
    pub scripts: BTreeMap<&'static str, Vec<u8>>,
    /// The conffiles list as written; empty if there is none.
    pub conffiles: Vec<u8>,
}

/// Reads a control.tar. Members that have no bearing on an image (md5sums, shlibs, symbols, templates) are passed over.
pub fn read<'a>(source: impl BufRead + 'a, compression: Compression) -> Result<Control, DebError> {
    let decoder = compression.decoder(source, 1).map_err(|source| DebError::Decode { part: PART, source })?;
    read_tar(TarReader::new(decoder, PART, UNPACKED_MAX))
}

/// As [`read`], of bytes already decoded (tests, fuzzing).
pub fn read_bytes(tar: &[u8]) -> Result<Control, DebError> {
    read_tar(TarReader::new(tar, PART, UNPACKED_MAX))
}

fn read_tar(mut tar: TarReader<impl Read>) -> Result<Control, DebError> {
    let mut paragraph = None;
    let mut control = Control::default();
    while let Some(member) = tar.next_member()? {
        let name = member.path.strip_prefix(b"./").unwrap_or(&member.path);
        let script = SCRIPT_NAMES.iter().find(|script| script.as_bytes() == name);
        if name != b"control" && name != b"conffiles" && script.is_none() {
            continue;
        }
        let fault = |fault: &str| DebError::Member {
            part: PART,
            member: String::from_utf8_lossy(&member.path).into_owned(),
            fault: fault.to_string(),
        };
        if !matches!(member.kind, MemberKind::File) {
            return Err(fault("it is not a regular file"));
        }
        if member.size > FILE_MAX {
            return Err(fault("it is larger than a control file can be"));
        }
        let mut bytes = Vec::with_capacity(member.size as usize);
        tar.copy_data(|chunk| {
            bytes.extend_from_slice(chunk);
            Ok::<_, DebError>(())
        })?;
        let twice = match script {
            Some(script) => control.scripts.insert(script, bytes).is_some(),
            None if name == b"control" => paragraph.replace(bytes).is_some(),
            None => !std::mem::replace(&mut control.conffiles, bytes).is_empty(),
        };
        if twice {
            return Err(fault("it is there twice"));
        }
    }
    control.paragraph = paragraph.ok_or(DebError::NoControl)?;
    Ok(control)
}
