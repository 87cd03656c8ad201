//! What SCSI and ATA disks call themselves, out of their vital product data pages as sysfs has them (SPC-5 7.7.6, SAT-4 12.4.2). Pure.

use std::fmt::Write as _;

/// What a designator of page 0x83 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Designator<'a> {
    kind: u8,
    ascii: bool,
    value: &'a [u8],
}

/// The identifier of a disk as `scsi-...` shows it: the designator's kind, then its value; the best kind first: NAA, EUI-64, T10 vendor,
/// vendor specific (which alone says too little, so vendor and model stand before it).
pub(super) fn identifier(page83: &[u8], vendor: &str, model: &str) -> Option<String> {
    let designators = designators(page83);
    let rank = |designator: &&Designator<'_>| match (designator.kind, designator.value.first().map(|first| first >> 4)) {
        (3, Some(6)) => 0,
        (3, Some(5)) => 1,
        (3, _) => 2,
        (2, _) => 3,
        (1, _) => 4,
        _ => 5,
    };
    let best = designators.iter().filter(|designator| designator.kind <= 3).min_by_key(rank)?;
    let value =
        if best.ascii { String::from_utf8_lossy(best.value).trim_end_matches('\0').to_owned() } else { hexadecimal(best.value) };
    let before = if best.kind == 0 { format!("{vendor:8}{model:16}") } else { String::new() };
    Some(format!("{}{before}{value}", best.kind))
}

/// The world-wide name: an NAA designator, in hexadecimal.
pub(super) fn world_wide(page83: &[u8]) -> Option<String> {
    let designators = designators(page83);
    designators
        .iter()
        .find(|designator| designator.kind == 3 && !designator.ascii)
        .map(|designator| hexadecimal(designator.value))
}

/// `model_serial` of an ATA disk, from its IDENTIFY DEVICE data within page 0x89.
pub(super) fn ata(page89: &[u8]) -> Option<String> {
    let identify = page89.get(60..60 + 512).filter(|_| page89.get(1) == Some(&0x89))?;
    let (serial, model) = (swapped(identify.get(20..40)?), swapped(identify.get(54..94)?));
    (!model.is_empty() && !serial.is_empty()).then(|| format!("{model}_{serial}"))
}

/// ATA's text: two bytes of each word the other way round.
fn swapped(field: &[u8]) -> String {
    let bytes: Vec<u8> = field.chunks_exact(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// The designators of the logical unit itself (not of its port or target).
fn designators(page83: &[u8]) -> Vec<Designator<'_>> {
    let mut found = Vec::new();
    let mut rest = page83.get(4..).filter(|_| page83.get(1) == Some(&0x83)).unwrap_or_default();
    while let [set, kind, _, length, ..] = *rest {
        let Some(value) = rest.get(4..4 + usize::from(length)) else { break };
        if kind & 0x30 == 0 && !value.is_empty() {
            found.push(Designator { kind: kind & 0x0f, ascii: matches!(set & 0x0f, 2 | 3), value });
        }
        rest = rest.get(4 + usize::from(length)..).unwrap_or_default();
    }
    found
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Page 0x89 of a disk.
    pub(in super::super) fn page89(model: &str, serial: &str) -> Vec<u8> {
        let mut page = vec![0, 0x89, 2, 0x38];
        page.resize(60 + 512, 0);
        for (at, length, text) in [(60 + 20, 20, serial), (60 + 54, 40, model)] {
            let padded = format!("{text:length$}");
            for (pair, bytes) in page[at..at + length].chunks_exact_mut(2).zip(padded.as_bytes().chunks_exact(2)) {
                pair.copy_from_slice(&[bytes[1], bytes[0]]);
            }
        }
        page
    }

    fn page83(designators: &[(u8, u8, &[u8])]) -> Vec<u8> {
        let mut page = vec![0, 0x83, 0, 0];
        for (set, kind, value) in designators {
            page.extend([*set, *kind, 0, value.len() as u8]);
            page.extend(*value);
        }
        page
    }

    #[test]
    fn the_best_designator_wins() {
        let naa5: &[u8] = &[0x50, 0x00, 0xc5, 0x00, 0xa1, 0xb2, 0xc3, 0xd4];
        let naa6: &[u8] = &[0x60, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let check = |page: &[u8], id: Option<&str>, name: Option<&str>| {
            assert_eq!((identifier(page, "QEMU", "HARDDISK").as_deref(), world_wide(page).as_deref()), (id, name));
            for length in 0..page.len() {
                let _ = (identifier(&page[..length], "", ""), world_wide(&page[..length]));
            }
        };
        check(&page83(&[(1, 3, naa5)]), Some("35000c500a1b2c3d4"), Some("5000c500a1b2c3d4"));
        check(
            &page83(&[(2, 1, b"ATA  X"), (1, 3, naa5), (1, 3, naa6)]),
            Some("3600102030405060708090a0b0c0d0e0f"),
            Some("5000c500a1b2c3d4"),
        );
        // A port's name is not the disk's.
        check(&page83(&[(1, 0x93, naa5), (2, 1, b"ATA X")]), Some("1ATA X"), None);
        check(&page83(&[(2, 0, b"drive0\0")]), Some("0QEMU    HARDDISK        drive0"), None);
        check(&page83(&[(1, 4, b"x")]), None, None);
        check(b"\0\x80\0\x01x", None, None);
        check(&[], None, None);
    }

    #[test]
    fn ata_says_model_and_serial() {
        assert_eq!(ata(&page89("QEMU HARDDISK", "QM00001")).as_deref(), Some("QEMU HARDDISK_QM00001"));
        assert_eq!(ata(&page89("", "QM00001")), None);
        assert_eq!(ata(&page89("x", "y")[..500]), None);
    }
}
