//! The mark on `state` that the machine was ready with a config. (How boots end and what they say is kept by [`crate::kernel_log`].)
//!
//! It waits for the medium, which a dying disk can hold for ever: whoever must not be held calls this from a thread or a child.

use super::lasting;
use std::io;
use std::path::Path;

/// The mark that the machine was ready with a config, relative to `state`.
pub(super) const READY: &str = "config/ready";

/// Keeps that the machine was ready with a config: from now on the config on `state` outranks its sources.
pub fn mark_ready(state: &Path) -> io::Result<()> {
    let mark = state.join(READY);
    if mark.exists() { Ok(()) } else { lasting::write(&mark, b"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_where_others_look_for_it() {
        assert_eq!(Path::new(kmimage_contract::paths::STATE).join(READY), Path::new(kmimage_contract::paths::READY_MARK));
        let state = std::env::temp_dir().join(format!("kmimage-record-{}", std::process::id()));
        std::fs::create_dir_all(state.join("config")).unwrap();
        mark_ready(&state).unwrap();
        mark_ready(&state).unwrap();
        assert!(state.join("config/ready").exists());
        std::fs::remove_dir_all(&state).unwrap();
    }
}
