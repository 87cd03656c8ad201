//! What fills an image: a profile's qcow2 by what is in it. `cargo xtask bench contents [-- --profile base]`

use crate::bench::{Bench, mb, option};
use kmimage::assemble::squashfs::{self, Options, Target};
use kmimage::compose::tree::{Entry, Kind, Origin, Tree, TreePath};
use kmimage::profile::Profile;
use kmimage::report::silent;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;

pub(crate) fn main() {
    let bench = Bench::open();
    let name = option("--profile").unwrap_or_else(|| "base".into());
    bench.prepare(&name);
    let output = format!("out/{name}");
    bench.build(&name, &output, &[]);
    let (_, profile, _, tree) = bench.tree(&name);

    println!("| artefact of `{name}` | size | on the disk |\n|---|---|---|");
    let mut files: Vec<_> = std::fs::read_dir(bench.path(&output)).unwrap().map(|entry| entry.unwrap()).collect();
    files.sort_by_key(|file| file.file_name());
    for file in &files {
        let metadata = file.metadata().unwrap();
        println!("| {} | {} | {} |", file.file_name().to_string_lossy(), mb(metadata.len()), mb(metadata.blocks() * 512));
    }

    // Each group packed by itself: what it would save, apart from what it shares with others.
    let mut groups: BTreeMap<String, Tree> = BTreeMap::new();
    for (path, entry) in tree.iter().filter(|(_, entry)| matches!(entry.kind, Kind::File(_))) {
        groups.entry(group(path, entry)).or_default().insert(path.clone(), entry.clone());
    }
    let whole = packed(&bench, &profile, &tree);
    let mut rows: Vec<(u64, u64, usize, String)> = groups
        .into_iter()
        .map(|(name, group)| {
            let bytes =
                group.iter().map(|(_, entry)| if let Kind::File(content) = &entry.kind { content.len() } else { 0 }).sum();
            let files = group.iter().filter(|(_, entry)| matches!(entry.kind, Kind::File(_))).count();
            (packed(&bench, &profile, &group), bytes, files, name)
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.0));
    println!("\n| in the root | files | bytes | packed | of the root |\n|---|---|---|---|---|");
    for (packed, bytes, files, name) in &rows {
        println!("| {name} | {files} | {} | {} | {:.1} % |", mb(*bytes), mb(*packed), *packed as f64 * 100.0 / whole as f64);
    }
    println!("| the whole root | {} | {} | {} | |", tree.len(), mb(rows.iter().map(|row| row.1).sum()), mb(whole));
}

/// Kernel modules by their directory, everything else by who brought it.
fn group(path: &TreePath, entry: &Entry) -> String {
    let text = path.to_string();
    if let Some((_, below)) = text.strip_prefix("/usr/lib/modules/").and_then(|rest| rest.split_once("/kernel/")) {
        let depth = if below.starts_with("drivers/") { 2 } else { 1 };
        return format!("modules {}", below.split('/').take(depth).collect::<Vec<_>>().join("/"));
    }
    match &entry.origin {
        Origin::Package { name, .. } => format!("package {name}"),
        other => other.to_string(),
    }
}

fn packed(bench: &Bench, profile: &Profile, tree: &Tree) -> u64 {
    let file: File = tempfile::tempfile_in(&bench.folder).unwrap();
    let image = profile.image;
    let options =
        Options { level: image.compression_level, block_size: image.block_size, epoch: 0, jobs: bench.jobs, salt: None };
    squashfs::write(tree, &options, None, Target { file: &file, offset: 0, room: None, replaces: None }, &silent).unwrap().len
}
