//! A difference as text for a person: `+` only in the second image, `-` only in the first, `~` in both.

use super::{Change, Diff, FileChange};
use crate::show::text::size;
use std::fmt;

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, change) in &self.image {
            writeln!(f, "{name} {}", arrow(change, String::clone))?;
        }
        match &self.packages {
            None => writeln!(f, "packages: not compared (only output folders and manifests name them)")?,
            Some(packages) => {
                writeln!(f, "packages: {}", count(packages.values().map(sign)))?;
                for (name, change) in packages {
                    writeln!(f, "  {} {name} {}", sign(change), arrow(change, String::clone))?;
                }
            }
        }
        // Most images have none, and then there is nothing to say.
        if let Some(images) = self.container_images.as_ref().filter(|images| !images.is_empty()) {
            writeln!(f, "container images: {}", count(images.values().map(sign)))?;
            for (name, change) in images {
                writeln!(f, "  {} {name} {}", sign(change), arrow(change, String::clone))?;
            }
        }
        match &self.files {
            None => writeln!(f, "files: not compared (a manifest without its .files.tsv lists none)")?,
            Some(files) => {
                writeln!(f, "files: {}", count(files.values().map(file_sign)))?;
                for (path, change) in files {
                    writeln!(f, "  {} {path}{}", file_sign(change), details(change))?;
                }
                if !self.contents_compared {
                    writeln!(f, "  (contents of the same size were not compared: only output folders have the files' hashes)")?;
                }
            }
        }
        for (name, change) in &self.sizes {
            writeln!(f, "size of {name} {}{}", arrow(change, |bytes| size(*bytes)), growth(change))?;
        }
        if self.is_empty() {
            writeln!(f, "no difference")?;
        }
        Ok(())
    }
}

fn sign<T>(change: &Change<T>) -> char {
    match (&change.from, &change.to) {
        (None, _) => '+',
        (_, None) => '-',
        _ => '~',
    }
}

fn file_sign(change: &FileChange) -> char {
    match (change.added, change.removed) {
        (true, _) => '+',
        (_, true) => '-',
        _ => '~',
    }
}

fn arrow<T>(change: &Change<T>, text: impl Fn(&T) -> String) -> String {
    match (&change.from, &change.to) {
        (Some(from), Some(to)) => format!("{} -> {}", text(from), text(to)),
        (Some(only), None) | (None, Some(only)) => text(only),
        (None, None) => String::new(),
    }
}

fn growth(change: &Change<u64>) -> String {
    match (change.from, change.to) {
        (Some(from), Some(to)) if from > 0 => format!(", {:+.1} %", (to as f64 / from as f64 - 1.0) * 100.0),
        _ => String::new(),
    }
}

fn count(signs: impl Iterator<Item = char>) -> String {
    let (mut added, mut removed, mut changed) = (0, 0, 0);
    for sign in signs {
        match sign {
            '+' => added += 1,
            '-' => removed += 1,
            _ => changed += 1,
        }
    }
    format!("{added} added, {removed} removed, {changed} changed")
}

fn details(change: &FileChange) -> String {
    let mut parts = Vec::new();
    match (change.size.from, change.size.to) {
        (Some(from), Some(to)) if from != to => parts.push(format!("{} -> {}", size(from), size(to))),
        (Some(only), None) | (None, Some(only)) => parts.push(size(only)),
        _ => {}
    }
    parts.extend(change.what.iter().cloned());
    parts.extend(change.origin.iter().map(|origin| format!("from {origin}")));
    parts.into_iter().map(|part| format!(", {part}")).collect()
}
