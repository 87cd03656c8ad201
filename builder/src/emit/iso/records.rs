//! The structures of a volume: descriptors, path tables, folders with Rock Ridge's entries (IEEE P1282 1.10). All of it is pure.

use super::{BLOCK, Entry, EntryKind, Place, Places, PlannedFolder, Volume};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Which of the two hierarchies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// The primary one, with Rock Ridge.
    RockRidge,
    /// Joliet's.
    Joliet,
}

/// A number in both byte orders, as most of ISO 9660 has them.
fn both_16(value: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (value.to_le_bytes(), value.to_be_bytes());
    [a, b, c, d]
}

fn both_32(value: u32) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (value.to_le_bytes(), value.to_be_bytes());
    [a, b, c, d, e, f, g, h]
}

/// Joliet's big-endian UCS-2.
fn ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// A time as records have it: UTC.
fn short_time(time: Timestamp) -> [u8; 7] {
    let time = time.to_zoned(TimeZone::UTC);
    let byte = |value: i8| u8::try_from(value).unwrap_or(0);
    let year = u8::try_from(time.year().saturating_sub(1900)).unwrap_or(u8::MAX);
    [year, byte(time.month()), byte(time.day()), byte(time.hour()), byte(time.minute()), byte(time.second()), 0]
}

/// A time as descriptors have it: UTC.
fn long_time(time: Timestamp) -> Vec<u8> {
    let time = time.to_zoned(TimeZone::UTC);
    let mut bytes = time.strftime("%Y%m%d%H%M%S00").to_string().into_bytes();
    bytes.push(0);
    bytes
}

/// The volume descriptor of a hierarchy: primary, or supplementary for Joliet.
pub(super) fn descriptor(volume: &Volume, names: Names, blocks: u32, places: &Places, little: Place, big: Place) -> Vec<u8> {
    let text = |text: &str, length: usize| {
        let (mut bytes, pad) = match names {
            Names::RockRidge => (text.as_bytes().to_vec(), &b" "[..]),
            Names::Joliet => (ucs2(text), &b"\0 "[..]),
        };
        bytes.truncate(length - length % pad.len());
        bytes.extend(pad.iter().cycle().take((length - bytes.len()) / pad.len() * pad.len()));
        bytes.resize(length, 0);
        bytes
    };
    let mut out = Vec::with_capacity(BLOCK);
    out.push(if names == Names::RockRidge { 1 } else { 2 });
    out.extend(b"CD001\x01\0");
    out.extend(text("LINUX", 32));
    out.extend(text(&volume.label, 32));
    out.extend([0; 8]);
    out.extend(both_32(blocks));
    // The escape sequence of UCS-2, level 3.
    out.extend(if names == Names::Joliet { *b"%/E" } else { [0; 3] });
    out.extend([0; 29]);
    // One volume, the first of one.
    out.extend(both_16(1));
    out.extend(both_16(1));
    out.extend(both_16(BLOCK as u16));
    out.extend(both_32(little.length));
    out.extend(little.block.to_le_bytes());
    out.extend([0; 4]);
    out.extend(big.block.to_be_bytes());
    out.extend([0; 4]);
    let root = places.of(names).first().copied().unwrap_or_default();
    out.extend(record(&[0], true, root, volume.time, &[]));
    for length in [128, 128, 128] {
        out.extend(text("", length));
    }
    out.extend(text(&format!("KMIMAGE {}", env!("CARGO_PKG_VERSION")), 128));
    for length in [37, 37, 37] {
        out.extend(text("", length));
    }
    out.extend(long_time(volume.time));
    out.extend(long_time(volume.time));
    // It never expires, and is effective at once.
    out.extend(b"0000000000000000\0".repeat(2));
    out.push(1);
    out.resize(BLOCK, 0);
    out
}

/// The descriptor that ends the list.
pub(super) fn terminator() -> Vec<u8> {
    let mut out = b"\xffCD001\x01".to_vec();
    out.resize(BLOCK, 0);
    out
}

/// The path table: every folder with its place and its parent.
pub(super) fn path_table(folders: &[PlannedFolder<'_>], places: &Places, names: Names, big_endian: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, (folder, Place { block, .. })) in folders.iter().zip(places.of(names)).enumerate() {
        let name = match names {
            _ if number == 0 => vec![0],
            Names::RockRidge => folder.plain.clone().into_bytes(),
            Names::Joliet => ucs2(folder.name),
        };
        let parent = u16::try_from(folder.parent + 1).unwrap_or(u16::MAX);
        out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        out.push(0);
        out.extend(if big_endian { block.to_be_bytes() } else { block.to_le_bytes() });
        out.extend(if big_endian { parent.to_be_bytes() } else { parent.to_le_bytes() });
        out.extend(&name);
        out.extend(vec![0; name.len() % 2]);
    }
    out
}

/// A folder: itself, its parent, and its entries. No record crosses the end of a block; the length is whole blocks.
pub(super) fn directory(folders: &[PlannedFolder<'_>], number: usize, places: &Places, names: Names, time: Timestamp) -> Vec<u8> {
    let place = |number: usize| places.of(names).get(number).copied().unwrap_or_default();
    let Some(folder) = folders.get(number) else { return Vec::new() };
    let own = if names == Names::RockRidge { attributes(true, time, (number == 0).then_some(())) } else { Vec::new() };
    let parents = if names == Names::RockRidge { attributes(true, time, None) } else { Vec::new() };
    let mut records =
        vec![record(&[0], true, place(number), time, &own), record(&[1], true, place(folder.parent), time, &parents)];
    let mut entries: Vec<&Entry<'_>> = folder.entries.iter().collect();
    if names == Names::Joliet {
        entries.sort_by_key(|entry| ucs2(entry.name));
    }
    for entry in entries {
        let (is_folder, at) = match entry.kind {
            EntryKind::Folder(number) => (true, place(number)),
            EntryKind::File(number) => (false, places.files.get(number).copied().unwrap_or_default()),
        };
        records.push(match names {
            Names::RockRidge => {
                let mut area = attributes(is_folder, time, None);
                area.extend(name_entry(entry.name));
                record(entry.plain.as_bytes(), is_folder, at, time, &area)
            }
            Names::Joliet if is_folder => record(&ucs2(entry.name), true, at, time, &[]),
            Names::Joliet => record(&ucs2(&format!("{};1", entry.name)), false, at, time, &[]),
        });
    }
    let mut out = Vec::new();
    for record in records {
        if out.len() % BLOCK + record.len() > BLOCK {
            out.resize(out.len().next_multiple_of(BLOCK), 0);
        }
        out.extend(record);
    }
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    out
}

/// A folder's record.
fn record(name: &[u8], is_folder: bool, Place { block, length }: Place, time: Timestamp, system_use: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0];
    out.extend(both_32(block));
    out.extend(both_32(length));
    out.extend(short_time(time));
    out.extend([if is_folder { 2 } else { 0 }, 0, 0]);
    out.extend(both_16(1));
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend(name);
    out.extend(vec![0; (name.len() + 1) % 2]);
    out.extend(system_use);
    out.extend(vec![0; out.len() % 2]);
    // Names are short enough that this holds; see `NAME`.
    debug_assert!(out.len() <= 255);
    out[0] = u8::try_from(out.len()).unwrap_or(u8::MAX);
    out
}

/// Rock Ridge's entries of every record: mode and owner (PX), times (TF). The volume's first record says that there are such entries.
fn attributes(is_folder: bool, time: Timestamp, first: Option<()>) -> Vec<u8> {
    let mut out = Vec::new();
    if first.is_some() {
        out.extend(b"SP\x07\x01\xbe\xef\0");
    }
    let (mode, links) = if is_folder { (0o040_555, 2) } else { (0o100_444, 1) };
    out.extend(b"PX\x24\x01");
    for number in [mode, links, 0, 0] {
        out.extend(both_32(number));
    }
    // Modified, accessed, changed.
    out.extend(b"TF\x1a\x01\x0e");
    for _ in 0..3 {
        out.extend(short_time(time));
    }
    if first.is_some() {
        // Which extension this is: its identifier, without description and source.
        out.extend(b"ER\x12\x01\x0a\0\0\x01RRIP_1991A");
    }
    out
}

fn name_entry(name: &str) -> Vec<u8> {
    let mut out = b"NM".to_vec();
    out.push(u8::try_from(name.len() + 5).unwrap_or(u8::MAX));
    out.extend([1, 0]);
    out.extend(name.as_bytes());
    out
}
