//! The texts that the kernel and udev write of block devices, parsed. Pure.

use std::path::PathBuf;

/// A line of `/proc/PID/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// The device's number; the file system's own for those that span devices.
    pub(super) number: (u32, u32),
    /// Where it is mounted.
    pub(super) point: PathBuf,
    /// What was mounted, if that is a path.
    pub(super) source: Option<PathBuf>,
}

/// `8:1`.
pub(super) fn number(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Lines that can't be read are left out.
pub(super) fn mounts(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (of_mount, of_type) = line.split_once(" - ")?;
        let mut fields = of_mount.split(' ').skip(2);
        let (number, point) = (number(fields.next()?)?, fields.nth(1)?);
        let source = of_type.split(' ').nth(1).filter(|source| source.starts_with('/'));
        Some(Mount { number, point: unescape(point), source: source.map(unescape) })
    };
    text.lines().filter_map(mount).collect()
}

/// The devices among the lines of `/proc/swaps`; a file's device is mounted anyway.
pub(super) fn swaps(text: &str) -> Vec<PathBuf> {
    let paths = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    paths.filter(|path| path.starts_with("/dev/")).map(unescape).collect()
}

/// `\040` and its like, as the kernel writes blanks in paths.
fn unescape(text: &str) -> PathBuf {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        out.push_str(before);
        let code = behind.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                out.push(char::from(code));
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                out.push('\\');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    PathBuf::from(out)
}

/// What udev knows of a device.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Udev {
    pub(super) serial: Option<String>,
    pub(super) file_system: Option<String>,
    pub(super) label: Option<String>,
    /// Shortest first.
    pub(super) by_id: Vec<String>,
}

/// A file of `/run/udev/data`: `E:KEY=VALUE` for properties, `S:disk/by-id/...` for links.
pub(super) fn udev(text: &str) -> Udev {
    let mut udev = Udev::default();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("S:disk/by-id/") {
            udev.by_id.push(printable(name));
        } else if let Some((key, value)) = line.strip_prefix("E:").and_then(|line| line.split_once('=')) {
            let field = match key {
                "ID_SERIAL_SHORT" => &mut udev.serial,
                "ID_FS_TYPE" => &mut udev.file_system,
                "ID_FS_LABEL" => &mut udev.label,
                _ => continue,
            };
            *field = Some(printable(value));
        }
    }
    udev.by_id.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    udev
}

/// The unit serial number in page 0x80 of SCSI's vital product data.
pub(super) fn unit_serial(page: &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes(page.get(2..4)?.try_into().ok()?));
    let rest = page.get(4..)?;
    let serial = rest.get(..length.min(rest.len()))?;
    let serial = printable(String::from_utf8_lossy(serial).trim_matches(|c: char| c == '\0' || c.is_whitespace()));
    Some(serial).filter(|serial| !serial.is_empty())
}

/// The name of a partition in its table, out of its `uevent`.
pub(super) fn partition_name(uevent: &str) -> Option<String> {
    let line = uevent.lines().find_map(|line| line.strip_prefix("PARTNAME="))?;
    Some(printable(line)).filter(|name| !name.is_empty())
}

/// A text that may go to a terminal: control characters become `?`.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_and_swaps_are_read() {
        let text = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
                    30 25 0:27 /@home /my\\040home rw shared:1 - btrfs /dev/mapper/luks-x rw\n\
                    31 25 0:28 / /proc rw - proc proc rw\nshort\n99 1 x:y / /a rw - ext4 /dev/sda1 rw\n";
        let expect =
            [((254, 0), "/", Some("/dev/vda")), ((0, 27), "/my home", Some("/dev/mapper/luks-x")), ((0, 28), "/proc", None)];
        let found = mounts(text);
        let found = found.iter().map(|m| (m.number, m.point.to_str().unwrap(), m.source.as_ref().map(|s| s.to_str().unwrap())));
        assert_eq!(found.collect::<Vec<_>>(), expect);
        let text = "Filename\tType\tSize\tUsed\tPriority\n/dev/sda3 partition 1 0 -2\n/swap.img file 1 0 -3\n";
        assert_eq!(swaps(text), [PathBuf::from("/dev/sda3")]);
        assert_eq!(swaps(""), Vec::<PathBuf>::new());
        for (text, expect) in [("a\\", "a\\"), ("a\\9", "a\\9"), ("\\134", "\\"), ("\\377x", "\\377x"), ("\\\u{e9}", "\\\u{e9}")]
        {
            assert_eq!(unescape(text), PathBuf::from(expect));
        }
    }

    #[test]
    fn udev_and_serial_numbers_are_read() {
        let text = "S:disk/by-id/usb-SanDisk_Ultra_4C53-0:0\nS:disk/by-path/x\nS:disk/by-id/wwn-0x5\n\
                    E:ID_SERIAL_SHORT=4C53\nE:ID_FS_LABEL=DATA\u{1b}[2J\nE:ID_FS_TYPE=vfat\nI:1\nE:odd\n";
        let udev = udev(text);
        assert_eq!((udev.serial.as_deref(), udev.label.as_deref()), (Some("4C53"), Some("DATA?[2J")));
        assert_eq!(udev.by_id, ["wwn-0x5", "usb-SanDisk_Ultra_4C53-0:0"]);
        assert_eq!(unit_serial(b"\0\x80\0\x08 AB12\0\0\0").as_deref(), Some("AB12"));
        assert_eq!(unit_serial(b"\0\x80\0\xffAB").as_deref(), Some("AB"));
        assert_eq!((unit_serial(b"\0\x80\0\x04    "), unit_serial(b"\0\x80")), (None, None));
        assert_eq!(partition_name("MAJOR=8\nPARTNAME=root-a\nPARTN=3").as_deref(), Some("root-a"));
        assert_eq!(partition_name("PARTNAME=\n"), None);
    }
}
