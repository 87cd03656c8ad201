//! Processors' microcode, as the kernel takes it before anything else: an uncompressed newc archive before the initramfs' own.
//!
//! The archive has no folders, so that the kernel, which finds the files by their names (Documentation/arch/x86/microcode.rst), unpacks
//! them nowhere. Microcode begins at a multiple of 16 bytes, as Intel's manual asks of what a processor loads (volume 3, "Microcode
//! Update Loader"): names are padded with zeros for it, as iucode_tool does.

use super::initramfs::InitramfsError;
use crate::compose::shape::Microcode;
use cpio::newc::{Builder, ModeFileType, trailer};
use std::io::Write as _;

/// Bytes of a newc header.
const HEADER: usize = 110;
/// What microcode is aligned to.
const ALIGNMENT: usize = 16;

/// The archive; empty where there is no microcode. The same microcode gives the same bytes.
pub fn archive(microcode: &[Microcode]) -> Result<Vec<u8>, InitramfsError> {
    let mut archive = Vec::new();
    for (inode, Microcode { vendor, files }) in (1..).zip(microcode) {
        let path = vendor.path();
        let too_large = |size| InitramfsError::TooLarge { path: format!("/{path}"), size };
        let size = files.iter().map(|file| file.len()).sum::<u64>();
        let length = u32::try_from(size).map_err(|_| too_large(size))?;
        // The terminating zero is the format's own.
        let unpadded = archive.len() + HEADER + path.len() + 1;
        let name = format!("{path}{}", "\0".repeat(unpadded.next_multiple_of(ALIGNMENT) - unpadded));
        let entry = Builder::new(&name).ino(inode).mode(0o644).set_mode_file_type(ModeFileType::Regular).nlink(1);
        let mut writer = entry.write(&mut archive, length);
        for file in files {
            let read = |source| InitramfsError::Read { path: format!("/{path}"), source };
            writer.write_all(&file.to_vec().map_err(read)?).map_err(InitramfsError::Compress)?;
        }
        writer.finish().map_err(InitramfsError::Compress)?;
    }
    if archive.is_empty() { Ok(archive) } else { trailer(archive).map_err(InitramfsError::Compress) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::content::Content;
    use crate::compose::shape::Vendor;
    use cpio::newc::Reader;
    use std::io::Read as _;

    #[test]
    fn microcode_lies_where_processors_take_it() {
        let files = |bytes: &[&[u8]]| bytes.iter().map(|bytes| Content::from_bytes(bytes.to_vec())).collect();
        let microcode = [
            Microcode { vendor: Vendor::Amd, files: files(&[b"amd fam10h", b"amd"]) },
            Microcode { vendor: Vendor::Intel, files: files(&[b"intel"]) },
        ];
        let archive = archive(&microcode).unwrap();
        let expect =
            [("kernel/x86/microcode/AuthenticAMD.bin", "amd fam10hamd"), ("kernel/x86/microcode/GenuineIntel.bin", "intel")];
        let mut rest = archive.as_slice();
        for (name, bytes) in expect {
            let mut reader = Reader::new(rest).unwrap();
            assert_eq!(reader.entry().name(), name);
            let mut data = String::new();
            reader.read_to_string(&mut data).unwrap();
            assert_eq!(data, bytes);
            rest = reader.finish().unwrap();
            let at = archive.windows(bytes.len()).position(|window| window == bytes.as_bytes()).unwrap();
            assert_eq!(at % ALIGNMENT, 0, "{name} at {at}");
        }
        assert!(Reader::new(rest).unwrap().entry().is_trailer());
    }

    #[test]
    fn without_microcode_there_is_no_archive() {
        assert_eq!(archive(&[]).unwrap(), [0; 0]);
    }
}
