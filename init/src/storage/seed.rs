//! The random seed on `state`: what one boot gives to the next, so that a machine without a good source has one all the same.
//!
//! A seed counts once. The next one is on the medium before the kernel is told to count this one, so that no power cut lets two boots
//! begin alike; a clone's seed, which another machine has, too, is only mixed in.

use super::lasting;
use kmimage_sys::random::{self, SEED};
use std::io;
use std::path::Path;

/// The file.
const FILE: &str = "random-seed";

/// Gives the kernel the seed of the boot before, and keeps a new one.
pub fn renew(state: &Path, clone: bool) -> io::Result<()> {
    let old: Option<[u8; SEED]> = std::fs::read(state.join(FILE)).ok().and_then(|bytes| bytes.try_into().ok());
    if let Some(old) = &old {
        random::mix(old)?;
    }
    keep(state)?;
    match old {
        Some(old) if !clone => random::credit(&old),
        _ => Ok(()),
    }
}

/// Keeps a seed for the next boot; at the end of a run there is more in it than at the begin.
pub fn keep(state: &Path) -> io::Result<()> {
    lasting::write(&state.join(FILE), &random::bytes_at_once::<SEED>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_boot_leaves_another_seed() {
        let state = std::env::temp_dir().join(format!("kmimage-seed-{}", std::process::id()));
        std::fs::create_dir_all(&state).unwrap();
        let read = || std::fs::read(state.join(FILE)).unwrap();
        renew(&state, false).unwrap();
        let first = read();
        renew(&state, true).unwrap();
        let second = read();
        assert_eq!((first.len(), second.len()), (SEED, SEED));
        assert_ne!(first, second);
        // Damaged, it is passed over.
        std::fs::write(state.join(FILE), "short").unwrap();
        renew(&state, true).unwrap();
        assert_eq!(read().len(), SEED);
        std::fs::remove_dir_all(&state).unwrap();
    }
}
