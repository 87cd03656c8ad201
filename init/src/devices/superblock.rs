//! What a file system calls itself: UUID and label out of its first bytes, as blkid shows them. Pure.
//!
//! Known are the file systems that a node or a Kubernetes volume has: ext2 to ext4, XFS, Btrfs, FAT, ISO 9660, and LUKS for its UUID. Of a
//! FAT the boot sector's label counts (a label that was changed later may be in its root directory only).

use uuid::Uuid;

/// How much of a device's beginning is looked at, in bytes: Btrfs is the one that begins last.
pub(super) const LOOK: usize = 0x1_1000;

/// What a file system calls itself; empty where it has no name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The UUID, in the file system's own writing.
    pub uuid: String,
    /// The label.
    pub label: String,
}

/// Reads the identity out of a device's first bytes. `None`: nothing that is known.
pub fn identify(start: &[u8]) -> Option<Identity> {
    [luks, xfs, btrfs, ext, iso9660, fat].into_iter().find_map(|read| read(start))
}

fn ext(start: &[u8]) -> Option<Identity> {
    let block = start.get(1024..2048)?;
    (block.get(0x38..0x3a)? == [0x53, 0xef]).then(|| Identity { uuid: uuid(block, 0x68), label: text(block, 0x78, 16) })
}

fn xfs(start: &[u8]) -> Option<Identity> {
    let start = start.get(..512)?;
    start.starts_with(b"XFSB").then(|| Identity { uuid: uuid(start, 32), label: text(start, 108, 12) })
}

fn btrfs(start: &[u8]) -> Option<Identity> {
    let block = start.get(0x1_0000..0x1_1000)?;
    (block.get(0x40..0x48)? == b"_BHRfS_M").then(|| Identity { uuid: uuid(block, 0x20), label: text(block, 0x12b, 256) })
}

fn luks(start: &[u8]) -> Option<Identity> {
    let start = start.get(..512)?;
    start.starts_with(b"LUKS\xba\xbe").then(|| Identity { uuid: text(start, 168, 40), label: luks2_label(start) })
}

fn luks2_label(start: &[u8]) -> String {
    if start.get(6..8) == Some(&[0, 2]) { text(start, 24, 48) } else { String::new() }
}

fn iso9660(start: &[u8]) -> Option<Identity> {
    let block = start.get(0x8000..0x8800)?;
    if block.get(..6)? != b"\x01CD001" {
        return None;
    }
    // When it was changed, else made: sixteen digits, to the hundredth of a second.
    let time = [830, 813]
        .into_iter()
        .filter_map(|at| block.get(at..at + 16))
        .find(|time| time.iter().any(|&digit| digit != b'0' && digit != 0))?;
    let time = time.iter().all(u8::is_ascii_digit).then(|| String::from_utf8_lossy(time).into_owned())?;
    let parts = [0..4, 4..6, 6..8, 8..10, 10..12, 12..14, 14..16].map(|range| time.get(range).unwrap_or_default().to_owned());
    Some(Identity { uuid: parts.join("-"), label: text(block, 40, 32) })
}

fn fat(start: &[u8]) -> Option<Identity> {
    let boot = start.get(..512)?;
    let of = |signature: usize, kind: &[u8]| {
        let known = boot.get(signature..)?.starts_with(&[0x29]) && boot.get(signature + 16..)?.starts_with(kind);
        known.then(|| {
            let serial: Vec<u8> = boot.get(signature + 1..signature + 5).unwrap_or_default().iter().rev().copied().collect();
            let serial: String = serial.iter().map(|byte| format!("{byte:02X}")).collect();
            let label = text(boot, signature + 5, 11);
            let uuid = format!("{}-{}", serial.get(..4).unwrap_or_default(), serial.get(4..).unwrap_or_default());
            Identity { uuid, label: if label == "NO NAME" { String::new() } else { label } }
        })
    };
    let signed = boot.get(510..512)? == [0x55, 0xaa];
    // FAT32 has the field further behind.
    signed.then(|| of(66, b"FAT32").or_else(|| of(38, b"FAT1"))).flatten()
}

fn uuid(block: &[u8], at: usize) -> String {
    let bytes = block.get(at..at + 16).and_then(|bytes| Uuid::from_slice(bytes).ok());
    bytes.filter(|uuid| !uuid.is_nil()).map_or_else(String::new, |uuid| uuid.to_string())
}

/// A field of text, to its first zero, without spaces at its end.
fn text(block: &[u8], at: usize, length: usize) -> String {
    let field = block.get(at..at + length).unwrap_or_default();
    let field = field.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(field).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parts: &[(usize, &[u8])], expect: Option<(&str, &str)>) {
        let mut start = vec![0; LOOK];
        for (at, bytes) in parts {
            start[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        let found = identify(&start);
        assert_eq!(found.as_ref().map(|found| (found.uuid.as_str(), found.label.as_str())), expect);
        // However short it is cut: no panic, and nothing else than this or nothing.
        for length in (0..start.len()).step_by(509) {
            let cut = identify(&start[..length]);
            assert!(cut.is_none() || cut == found);
        }
    }

    #[test]
    fn file_systems_are_known_by_their_first_bytes() {
        let id: Vec<u8> = (0..16).collect();
        let text = "00010203-0405-0607-0809-0a0b0c0d0e0f";
        check(
            &[(1024 + 0x38, &[0x53, 0xef]), (1024 + 0x68, &id), (1024 + 0x78, b"kmimage-state")],
            Some((text, "kmimage-state")),
        );
        check(&[(0, b"XFSB"), (32, &id), (108, b"data")], Some((text, "data")));
        check(&[(0x1_0040, b"_BHRfS_M"), (0x1_0020, &id), (0x1_012b, b"pool")], Some((text, "pool")));
        check(&[(0, b"LUKS\xba\xbe\x00\x01"), (168, text.as_bytes())], Some((text, "")));
        check(&[(0, b"LUKS\xba\xbe\x00\x02"), (168, text.as_bytes()), (24, b"safe")], Some((text, "safe")));
        let iso: [(usize, &[u8]); 3] =
            [(0x8000, b"\x01CD001\x01"), (0x8000 + 40, b"cidata   "), (0x8000 + 813, b"2026112115082700")];
        check(&iso, Some(("2026-11-21-15-08-27-00", "cidata")));
        let fat: [(usize, &[u8]); 4] =
            [(66, b"\x29\x78\x56\x34\x12KMIMAGE-ESP"), (82, b"FAT32   "), (510, &[0x55, 0xaa]), (0, &[0xeb])];
        check(&fat, Some(("1234-5678", "KMIMAGE-ESP")));
        check(&[(38, b"\x29\x78\x56\x34\x12NO NAME    FAT16   "), (510, &[0x55, 0xaa])], Some(("1234-5678", "")));
        check(&[(510, &[0x55, 0xaa])], None);
        check(&[], None);
    }
}
