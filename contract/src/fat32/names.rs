//! Names in FAT directories: 8.3 names, and the long-name records (VFAT) before them.
//!
//! A name that is a valid upper-case 8.3 name is stored as such; any other gets long-name records and a `NAME~1` alias. Format:
//! Microsoft's "FAT32 File System Specification", 2000.

use std::collections::BTreeSet;

/// One directory record, or one long-name record.
pub(super) type Record = [u8; 32];

/// The eleven bytes of a short name.
pub(super) type ShortName = [u8; 11];

/// Where a long-name record has its 13 UTF-16 units.
pub(super) const UNITS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// What ties long-name records to the short name behind them.
pub(super) fn checksum(short: &ShortName) -> u8 {
    short.iter().fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte))
}

/// Why a name can't be on a FAT file system; the text goes after the path in an error.
pub(super) fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() || name == "." || name == ".." {
        Some("it has an empty, `.` or `..` component")
    } else if name.encode_utf16().count() > 255 {
        Some("a name on FAT has at most 255 UTF-16 units")
    } else if name.chars().any(|c| c < ' ' || c == '\u{7f}' || "\"*/:<>?\\|".contains(c)) {
        Some("it has a character that FAT does not allow")
    } else if name.ends_with(['.', ' ']) {
        Some("a name on FAT does not end in a dot or a space")
    } else {
        None
    }
}

/// What two names must not share in one directory: FAT does not tell case apart.
pub(super) fn folded(name: &str) -> String {
    name.to_uppercase()
}

fn allowed_in_short(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || "$%'-_@~`!(){}^#&".contains(c)
}

/// The short name that stores `name` exactly; none if only a long name does.
pub(super) fn exact_short(name: &str) -> Option<ShortName> {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let has_dot = name.contains('.');
    let fits = (1..=8).contains(&base.len()) && extension.len() <= 3 && !(has_dot && extension.is_empty());
    (fits && base.chars().chain(extension.chars()).all(allowed_in_short)).then(|| short(base, extension))
}

fn short(base: &str, extension: &str) -> ShortName {
    let mut name = [b' '; 11];
    name.iter_mut().zip(base.bytes().take(8)).for_each(|(to, from)| *to = from);
    name.iter_mut().skip(8).zip(extension.bytes()).for_each(|(to, from)| *to = from);
    name
}

/// An alias (`KMIMAG~1.EFI`) that `taken` does not hold yet; it is added there.
pub(super) fn alias(name: &str, taken: &mut BTreeSet<ShortName>) -> ShortName {
    let clean = |text: &str| -> String {
        let chars = text.chars().filter(|c| !matches!(c, ' ' | '.')).map(|c| c.to_ascii_uppercase());
        chars.map(|c| if allowed_in_short(c) { c } else { '_' }).collect()
    };
    let name = name.trim_start_matches('.');
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let base = clean(base);
    let extension: String = clean(extension).chars().take(3).collect();
    for number in 1.. {
        let tail = format!("~{number}");
        let head: String = base.chars().take(8usize.saturating_sub(tail.len())).collect();
        let candidate = short(&format!("{head}{tail}"), &extension);
        if taken.insert(candidate) {
            return candidate;
        }
    }
    unreachable!("numbers up to 9,999,999 fit, and a directory has at most 65,536 records")
}

/// The long-name records of `name` for the alias `short`, in the order in which they are stored.
pub(super) fn long_records(name: &str, short: &ShortName) -> Vec<Record> {
    let checksum = checksum(short);
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(13) {
        units.push(0);
        units.resize(units.len().next_multiple_of(13), 0xffff);
    }
    let count = units.len() / 13;
    let mut records = Vec::with_capacity(count);
    for (index, part) in units.chunks_exact(13).enumerate().rev() {
        let mut record = [0; 32];
        record[0] = (index as u8 + 1) | if index + 1 == count { 0x40 } else { 0 };
        record[11] = 0x0f;
        record[13] = checksum;
        for (place, unit) in UNITS.into_iter().zip(part) {
            record[place..place + 2].copy_from_slice(&unit.to_le_bytes());
        }
        records.push(record);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_store_upper_case_only() {
        let check = |name: &str, expect: Option<&str>| {
            assert_eq!(exact_short(name).map(|name| String::from_utf8_lossy(&name).into_owned()).as_deref(), expect, "{name}");
        };
        check("EFI", Some("EFI        "));
        check("BOOTX64.EFI", Some("BOOTX64 EFI"));
        check("bootx64.efi", None);
        check("A.B.C", None);
        check("A.", None);
        check("LONGERTHAN8", None);
        check(".A", None);
    }

    #[test]
    fn aliases_count_up() {
        let mut taken = BTreeSet::new();
        let mut check = |name: &str, expect: &str| {
            assert_eq!(String::from_utf8_lossy(&alias(name, &mut taken)), expect);
        };
        check("kmimage-a.conf", "KMIMAG~1CON");
        check("kmimage-a+3.conf", "KMIMAG~2CON");
        check("loader", "LOADER~1   ");
        check("größe x.y.tärx", "GR__EX~1T_R");
    }

    #[test]
    fn names_that_fat_cannot_hold_are_told() {
        assert_eq!(fault("a:b"), Some("it has a character that FAT does not allow"));
        assert_eq!(fault("a."), Some("a name on FAT does not end in a dot or a space"));
        assert_eq!(fault(".."), Some("it has an empty, `.` or `..` component"));
        assert_eq!(fault(&"x".repeat(256)), Some("a name on FAT has at most 255 UTF-16 units"));
        assert_eq!(fault("kmimage-a+3-0.conf"), None);
    }
}
