//! Faults on purpose, to see that a machine gets over them: only in a binary that was compiled with the feature `fault-injection`, never in
//! one that is shipped (a test looks for [`MARKER`] there).
//!
//! The machine's SMBIOS table of type 11 says which: `kmimage.fault=panic` (process 1 panics), `hang` (it does nothing more), `fail` (a
//! phase that it can't do without fails). It strikes once the machine is ready, in a boot before which none ended badly; `early-` before the
//! word strikes in every boot, as soon as `state` is there.

use kmimage_contract::paths;
use kmimage_sys::poll;
use std::path::Path;

/// What only a binary with this feature has in it.
pub const MARKER: &str = "kmimage fault injection";

/// Does what the table says, if that is due. To be called in every turn.
pub(crate) fn strike(ready: bool) -> std::io::Result<()> {
    let Ok(table) = std::fs::read(Path::new("/sys/firmware/dmi/entries/11-0/raw")) else { return Ok(()) };
    let table = String::from_utf8_lossy(&table).into_owned();
    let Some(wish) = table.split('\0').find_map(|text| text.trim().strip_prefix("kmimage.fault=").map(str::to_owned)) else {
        return Ok(());
    };
    // Not before it is known how many boots have failed.
    let Ok(failed) = std::fs::read_to_string(Path::new(paths::FAILED_BOOTS)) else { return Ok(()) };
    let wish = match wish.strip_prefix("early-") {
        Some(wish) => wish,
        None if ready && failed.trim() == "0" => &wish,
        None => return Ok(()),
    };
    match wish {
        #[expect(clippy::panic, reason = "a panic is what was asked for")]
        "panic" => panic!("{MARKER}: a panic"),
        "hang" => loop {
            let _ = poll::readable(&[], None);
        },
        "fail" => Err(std::io::Error::other(format!("{MARKER}: a failure"))),
        _ => Ok(()),
    }
}
