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

/// The table, as the kernel shows it.
const TABLE: &str = "/sys/firmware/dmi/entries/11-0/raw";
/// What a fault's name stands behind.
const KEY: &[u8] = b"kmimage.fault=";

/// Does what the table says, if that is due. To be called in every turn.
pub(crate) fn strike(ready: bool) -> std::io::Result<()> {
    let Ok(table) = std::fs::read(Path::new(TABLE)) else { return Ok(()) };
    let Some(wish) = wish(&table) else { return Ok(()) };
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
        // Before there is a watchdog nothing could end it: the drivers of what nobody waits for come when the machine is ready.
        "hang" if crate::watchdog::patience().is_some() => loop {
            let _ = poll::readable(&[], None);
        },
        "fail" => Err(std::io::Error::other(format!("{MARKER}: a failure"))),
        _ => Ok(()),
    }
}

/// The fault that a table asks for. Its strings lie behind a header of five bytes, each with a zero at its end.
fn wish(table: &[u8]) -> Option<String> {
    let at = table.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let text = table.get(at..)?.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_found_in_the_table() {
        assert_eq!(wish(b"\x0b\x05\x00\x0e\x01kmimage.fault=panic\0\0").as_deref(), Some("panic"));
        assert_eq!(wish(b"\x0b\x05\x00\x0e\x02first\0kmimage.fault=early-fail\0\0").as_deref(), Some("early-fail"));
        assert_eq!(wish(b"\x0b\x05\x00\x0e\x01kmimage.fault\0\0"), None);
        assert_eq!(wish(b""), None);
    }
}
