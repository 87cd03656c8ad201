//! A boot from a medium: `state` and `var` in memory. They are filled and used as those of a disk, and gone with the machine.

use super::doing::{StepError, failed, is_mounted};
use super::places;
use super::plan::What;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::filesystem;
use kmimage_sys::mount::{self, Restrictions};

/// Mounts both, and does for them what a disk's get done. False: something has failed and was said.
pub(super) fn mount_all(say: &mut dyn FnMut(StateLine)) -> bool {
    for what in [What::State, What::Var] {
        match mount(what) {
            Ok(line) => {
                if what == What::State && !super::settle(say) {
                    return false;
                }
                if what == What::Var && !super::bind(say) {
                    return false;
                }
                say(line);
            }
            Err(error) => {
                say(failed(what.name(), &error, error.remedy()));
                return false;
            }
        }
    }
    true
}

fn mount(what: What) -> Result<StateLine, StepError> {
    let target = places::mount_point(what);
    if !is_mounted(target) {
        let fail = |source| StepError::Mount { path: target.to_owned(), source };
        if !target.is_dir() {
            places::make_private(target).map_err(fail)?;
        }
        let restrictions = Restrictions { no_suid: true, no_dev: true, no_exec: what == What::State, read_only: false };
        mount::mount("tmpfs", target, "tmpfs", restrictions, options(what)).map_err(fail)?;
    }
    places::fill(what, target)?;
    let usage = filesystem::usage(target).map_err(|source| StepError::Partition { path: target.to_owned(), source })?;
    let line = StateLine::new("storage").with(what.name(), "mounted").with("medium", "iso");
    Ok(line.with("size", usage.size).with("free", usage.free))
}

/// How much memory each may take: `state` is small on a disk, too; `var` leaves half for programs.
fn options(what: What) -> &'static str {
    match what {
        What::State => "mode=0755,size=64m",
        What::Var => "mode=0755,size=50%",
    }
}
