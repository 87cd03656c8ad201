//! What was decoded as text for a person: a line a fact, what lies inside indented.

use super::disk::Disk;
use super::esp::Esp;
use super::uki::{PROFILE, Uki};
use super::{Shown, Squashfs, Verity};
use kmimage_contract::disk_layout::{GROW_FILE_SYSTEM, READ_ONLY};
use kmimage_contract::manifest::{Manifest, Package};
use std::fmt;

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lines(self).iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn indent(lines: Vec<String>) -> impl Iterator<Item = String> {
    lines.into_iter().map(|line| format!("    {line}"))
}

fn lines(shown: &Shown) -> Vec<String> {
    match shown {
        Shown::Disk(disk) => disk_lines(disk),
        Shown::Esp(esp) => esp_lines(esp),
        Shown::Uki(uki) => uki_lines(uki),
        Shown::Squashfs(squashfs) => squashfs_lines(squashfs),
        Shown::Verity(verity) => verity_lines(verity),
        Shown::Manifest(manifest) => manifest_lines(manifest),
        Shown::Damaged { what, fault } => vec![format!("damaged: this should be {what}: {fault}")],
    }
}

/// Bytes for a person, and exactly.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        _ if bytes.is_multiple_of(0x10_0000) => format!("{} MiB", bytes >> 20),
        1024..0x10_0000 => format!("{:.1} KiB ({bytes} B)", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB ({bytes} B)", bytes as f64 / 1_048_576.0),
    }
}

fn disk_lines(disk: &Disk) -> Vec<String> {
    let mut lines = vec![
        format!("disk image, {}, {}", disk.format, size(disk.size)),
        format!("GPT {}, sectors of {} bytes", disk.disk_guid, disk.sector_size),
    ];
    if let Some(fault) = &disk.primary_table_fault {
        lines.push(format!("the primary table is not valid ({fault}); this is the backup"));
    }
    let widest = disk.partitions.iter().map(|partition| partition.label.chars().count()).max().unwrap_or(0);
    for partition in &disk.partitions {
        let type_name = partition.type_name.map_or_else(|| partition.type_guid.to_string(), str::to_owned);
        lines.push(format!(
            "{} {:<widest$}  at {}, {}: {type_name}{}",
            partition.number,
            partition.label,
            size(partition.offset),
            size(partition.size),
            attributes(partition.attributes)
        ));
        lines.push(format!("    uuid {}", partition.uuid));
        if let Some(content) = &partition.content {
            lines.extend(indent(self::lines(content)));
        }
    }
    lines
}

/// The attributes that are set, each with a comma before it: by name, what has none by its bits.
fn attributes(bits: u64) -> String {
    const NAMES: [(u64, &str); 2] = [(READ_ONLY, "read-only"), (GROW_FILE_SYSTEM, "file system grows")];
    let mut text = String::new();
    let mut unnamed = bits;
    for (bit, name) in NAMES.into_iter().filter(|(bit, _)| bits & bit != 0) {
        text.push_str(", ");
        text.push_str(name);
        unnamed &= !bit;
    }
    if unnamed != 0 {
        text.push_str(&format!(", attributes {unnamed:#x}"));
    }
    text
}

fn esp_lines(esp: &Esp) -> Vec<String> {
    let mut lines = vec!["FAT32".to_owned()];
    for file in &esp.files {
        lines.push(format!("{}, {}", file.path, size(file.size)));
        if let Some(text) = &file.text {
            lines.extend(indent(text.lines().map(str::to_owned).collect()));
        }
        if let Some(uki) = &file.uki {
            lines.extend(indent(uki_lines(uki)));
        }
    }
    lines
}

fn uki_lines(uki: &Uki) -> Vec<String> {
    let kind = if uki.texts.contains_key(".cmdline") { "unified kernel image" } else { "PE image" };
    let signed = if uki.signed { "signed" } else { "not signed" };
    let mut lines = vec![format!("{kind}, {signed}, {} in memory", size(u64::from(uki.size_of_image)))];
    let (mut texts, mut profiles) = (&uki.texts, uki.profiles.iter());
    for section in &uki.sections {
        if section.name == PROFILE {
            texts = profiles.next().unwrap_or(texts);
        }
        // Files are padded to sectors; what is in memory is what was put in.
        lines.push(format!("{:<10} {}", section.name, size(u64::from(section.virtual_size.min(section.raw_size)))));
        if let Some(text) = texts.get(&section.name) {
            lines.extend(indent(text.lines().map(str::to_owned).collect()));
        }
    }
    lines
}

fn squashfs_lines(squashfs: &Squashfs) -> Vec<String> {
    let Squashfs { size: bytes, block_size, compression, time, inodes, fragments, files } = squashfs;
    let time = jiff::Timestamp::from_second(i64::from(*time)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let mut lines = vec![format!(
        "squashfs, {}, {compression}, blocks of {} KiB, {inodes} inodes, {fragments} fragment blocks, {time}",
        size(*bytes),
        block_size >> 10
    )];
    for (path, facts) in files.iter().flatten() {
        let size = facts.size.map_or("-".to_owned(), |size| size.to_string());
        let content = facts.content.as_deref().map_or(String::new(), |content| format!(" -> {content}"));
        lines.push(format!("{} {:04o} {:<7} {size:>10} {path}{content}", facts.kind, facts.mode, facts.owner));
    }
    lines
}

fn verity_lines(verity: &Verity) -> Vec<String> {
    let Verity { uuid, salt, data_block_size, hash_block_size, data_blocks } = verity;
    vec![
        format!("dm-verity, sha256, {data_blocks} data blocks of {data_block_size} B, hash blocks of {hash_block_size} B"),
        format!("salt {}", if salt.is_empty() { "-" } else { salt }),
        format!("uuid {uuid}"),
    ]
}

fn manifest_lines(manifest: &Manifest) -> Vec<String> {
    let epoch = i64::try_from(manifest.epoch).ok().and_then(|epoch| jiff::Timestamp::from_second(epoch).ok());
    let mut lines = vec![
        format!("image {} {}, role {}, {}", manifest.image_id, manifest.image_version, manifest.role, manifest.architecture),
        format!("built by kmimage {}, its clock at {}", manifest.builder_version, epoch.unwrap_or(jiff::Timestamp::UNIX_EPOCH)),
        format!("kernel {}", manifest.kernel),
        format!("init {}, {}, by {}", manifest.init.sha256, size(manifest.init.size), manifest.init.compiler),
        format!("root hash {}", manifest.verity.root_hash),
        format!("disk {}, layout version {}", size(manifest.layout.disk_size), manifest.layout.version),
    ];
    let widest = manifest.layout.partitions.iter().map(|partition| partition.label.chars().count()).max().unwrap_or(0);
    for partition in &manifest.layout.partitions {
        let used = partition.used.map_or(String::new(), |used| format!(", {} used", size(used)));
        let (at, len) = (size(partition.offset), size(partition.size));
        lines.push(format!("    {} {:<widest$}  at {at}, {len}{used}", partition.number, partition.label));
    }
    let package = |package: &Package| format!("    {} {}", package.name, package.version);
    lines.push(format!("packages of the root: {}", manifest.packages.len()));
    lines.extend(manifest.packages.iter().map(package));
    lines.push(format!("packages of the boot image: {}", manifest.boot_packages.len()));
    lines.extend(manifest.boot_packages.iter().map(package));
    // Most images have none.
    if !manifest.container_images.is_empty() {
        lines.push(format!("container images: {}", manifest.container_images.len()));
        for image in &manifest.container_images {
            let layers = if image.layers == 1 { "layer" } else { "layers" };
            lines.push(format!("    {}, {} {layers}, {}", image.names.join(", "), image.layers, size(image.size)));
            lines.push(format!("        manifest sha256:{}, ID {}", image.digest, image.id));
        }
    }
    lines.push("artefacts".to_owned());
    lines
        .extend(manifest.artefacts.iter().map(|(name, file)| format!("    {name}, {}, sha256 {}", size(file.size), file.sha256)));
    lines
}
