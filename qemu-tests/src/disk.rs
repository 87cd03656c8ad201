//! Looking into a raw image from outside: partitions as `sgdisk` sees them, copied out for other judges.

use crate::foreign::{program, run};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// One partition, as sgdisk prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Its unique GUID, lower case.
    pub uuid: String,
    /// Offset in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

/// The partitions of a raw image with 512-byte sectors.
///
/// # Panics
/// When sgdisk can't read it.
pub fn partitions(image: &Path) -> Vec<Partition> {
    let listing = run(program("sgdisk").arg("--print").arg(image));
    let numbers = listing.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u32>().ok());
    numbers.map(|number| partition(image, number)).collect()
}

fn partition(image: &Path, number: u32) -> Partition {
    let text = run(program("sgdisk").arg(format!("--info={number}")).arg(image));
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no `{key}` in {text}"));
        line.trim_start_matches(':').trim().to_owned()
    };
    let sector = |key: &str| value(key).split(' ').next().and_then(|word| word.parse::<u64>().ok()).expect("a sector number");
    let (first, last) = (sector("First sector"), sector("Last sector"));
    Partition {
        number,
        name: value("Partition name").trim_matches('\'').to_owned(),
        uuid: value("Partition unique GUID").to_lowercase(),
        offset: first * 512,
        len: (last + 1 - first) * 512,
    }
}

/// Copies a partition into a file of its own; zeros stay holes.
///
/// # Panics
/// On any I/O error.
pub fn extract(image: &Path, partition: &Partition, to: &Path) -> PathBuf {
    let mut source = fs_err::File::open(image).expect("the image");
    source.seek(SeekFrom::Start(partition.offset)).expect("seek");
    let mut target = fs_err::File::create(to).expect("a file");
    target.set_len(partition.len).expect("a length");
    let zeros = vec![0; 1 << 20];
    let mut buffer = zeros.clone();
    let mut left = partition.len;
    while left > 0 {
        let chunk = &mut buffer[..left.min(1 << 20) as usize];
        source.read_exact(chunk).expect("read");
        if *chunk != zeros[..chunk.len()] {
            target.write_all(chunk).expect("write");
        } else {
            target.seek(SeekFrom::Current(chunk.len() as i64)).expect("seek");
        }
        left -= chunk.len() as u64;
    }
    to.to_path_buf()
}
