//! SMBIOS structures (DMTF DSP0134), as far as a hypervisor can put a config there: the system's serial number and OEM strings.

/// Where the kernel shows the table.
pub(super) const TABLE: &str = "sys/firmware/dmi/tables/DMI";

/// The largest table that is read: a 16-bit length in SMBIOS 2; hypervisors write no more than some MiB in SMBIOS 3.
pub(super) const TABLE_BYTES: u64 = 4 << 20;

/// What begins the OEM string that is a config.
const CONFIG: &str = "kmimage.config=";

/// A structure: what is fixed of it, and its strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure<'a> {
    /// What it describes: 1 is the system, 11 OEM strings, 127 the end.
    pub kind: u8,
    /// Its formatted area, with the header's four bytes.
    pub area: &'a [u8],
    /// Its strings, in order.
    pub strings: Vec<&'a [u8]>,
}

/// The structures of a table, up to one that doesn't fit.
pub fn structures(table: &[u8]) -> impl Iterator<Item = Structure<'_>> {
    let mut rest = table;
    std::iter::from_fn(move || {
        let length = usize::from(*rest.get(1)?);
        let area = rest.get(..length).filter(|_| length >= 4)?;
        let kind = *area.first()?;
        let mut after = rest.get(length..)?;
        let mut strings = Vec::new();
        if after.starts_with(&[0, 0]) {
            after = after.get(2..)?;
        } else {
            loop {
                let end = after.iter().position(|byte| *byte == 0)?;
                let (string, next) = (after.get(..end)?, after.get(end + 1..)?);
                after = next;
                if string.is_empty() {
                    break;
                }
                strings.push(string);
            }
        }
        rest = if kind == 127 { &[] } else { after };
        Some(Structure { kind, area, strings })
    })
}

/// The system's serial number (type 1).
pub fn serial(table: &[u8]) -> Option<String> {
    let system = structures(table).find(|structure| structure.kind == 1)?;
    let number = usize::from(*system.area.get(7)?);
    let text = system.strings.get(number.checked_sub(1)?)?;
    Some(String::from_utf8_lossy(text).trim().to_owned())
}

/// What follows `kmimage.config=` in the first OEM string (type 11) that begins so.
pub fn config(table: &[u8]) -> Option<Vec<u8>> {
    let mut strings = structures(table).filter(|structure| structure.kind == 11).flat_map(|structure| structure.strings);
    strings.find_map(|string| Some(string.strip_prefix(CONFIG.as_bytes())?.to_vec()))
}

/// What a serial number of the form `ds=nocloud;key=value;...` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoCloud {
    /// `s` or `seedfrom`: where the seed's files are.
    pub seed_from: Option<String>,
    /// `h` or `local-hostname`.
    pub hostname: Option<String>,
    /// `i` or `instance-id`.
    pub instance_id: Option<String>,
    /// Keys that mean nothing here.
    pub unknown: Vec<String>,
}

/// Reads a serial number. `None`: it is just a serial number.
pub fn no_cloud(serial: &str) -> Option<NoCloud> {
    let mut parts = serial.split(';');
    if !matches!(parts.next()?.trim(), "ds=nocloud" | "ds=nocloud-net") {
        return None;
    }
    let mut found = NoCloud::default();
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let value = Some(value.to_owned()).filter(|value| !value.is_empty());
        match key {
            "s" | "seedfrom" => found.seed_from = value,
            "h" | "local-hostname" => found.hostname = value,
            "i" | "instance-id" => found.instance_id = value,
            _ => found.unknown.push(key.to_owned()),
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure(kind: u8, area: &[u8], strings: &[&str]) -> Vec<u8> {
        let mut bytes = vec![kind, u8::try_from(area.len() + 4).unwrap(), 0, kind];
        bytes.extend(area);
        for string in strings {
            bytes.extend(string.as_bytes());
            bytes.push(0);
        }
        bytes.extend(if strings.is_empty() { &[0, 0][..] } else { &[0] });
        bytes
    }

    fn table() -> Vec<u8> {
        let mut table = structure(0, &[1, 2], &["SeaBIOS", "1.16"]);
        table.extend(structure(1, &[1, 2, 0, 3, 0, 0, 0, 0], &["QEMU", "Standard PC", " ds=nocloud;h=a "]));
        table.extend(structure(32, &[0; 7], &[]));
        table.extend(structure(
            11,
            &[3],
            &["other", "kmimage.config=version = 1\n[machine]\nhostname = \"a\"\n", "kmimage.config=b"],
        ));
        table.extend(structure(127, &[], &[]));
        table.extend(structure(11, &[1], &["kmimage.config=behind the end"]));
        table
    }

    #[test]
    fn the_serial_number_and_the_config_are_found() {
        let table = table();
        assert_eq!(structures(&table).map(|structure| structure.kind).collect::<Vec<_>>(), [0, 1, 32, 11, 127]);
        assert_eq!(serial(&table).as_deref(), Some("ds=nocloud;h=a"));
        assert_eq!(config(&table).as_deref(), Some(&b"version = 1\n[machine]\nhostname = \"a\"\n"[..]));
        // Cut anywhere, it has less in it and nothing else happens.
        for length in 0..table.len() {
            let _ = (serial(&table[..length]), config(&table[..length]));
        }
        assert_eq!(serial(&structure(1, &[0; 8], &[])), None);
        assert_eq!(config(&[11, 3, 0, 0]), None);
    }

    #[test]
    fn a_serial_number_may_ask_for_no_cloud() {
        assert_eq!(no_cloud("VMware-42"), None);
        assert_eq!(no_cloud("ds=nocloudy"), None);
        assert_eq!(no_cloud("ds=nocloud"), Some(NoCloud::default()));
        let found = no_cloud("ds=nocloud-net;s=http://10.0.0.1:8080/seed/;h=node-1;i=i-42;x=y;").unwrap();
        let expect = NoCloud {
            seed_from: Some("http://10.0.0.1:8080/seed/".to_owned()),
            hostname: Some("node-1".to_owned()),
            instance_id: Some("i-42".to_owned()),
            unknown: vec!["x".to_owned()],
        };
        assert_eq!(found, expect);
    }
}
