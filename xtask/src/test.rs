//! The two gates: `check` (seconds to minutes, no VM) and `everything` (what CI runs).

use crate::run::{Outcome, cargo, run, say};
use crate::{docs, fuzz, setup};

/// Format, lints, generated pages, licences, every test that needs no VM and no foreign tool.
pub(crate) fn check() -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))?;
    docs::check()?;
    run(&mut cargo(&["test", "--workspace", "--locked", "--exclude", "kmimage-qemu-tests", "--", "--skip", "tools_"]))
}

/// Everything. A tool that is missing is a failure, named before anything long begins.
pub(crate) fn everything() -> Outcome {
    let missing = setup::missing();
    if !missing.is_empty() {
        return Err(format!("missing: {}; run `cargo xtask setup`", missing.join(", ")).into());
    }
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))?;
    docs::check()?;
    run(&mut cargo(&["deny", "check", "bans", "licenses", "sources"]))?;
    fuzz::replay()?;
    say("tests without a VM");
    run(&mut cargo(&["test", "--workspace", "--locked", "--exclude", "kmimage-qemu-tests"]))?;
    say("boots in QEMU");
    run(&mut cargo(&["test", "--package", "kmimage-qemu-tests", "--locked", "--", "--test-threads", "2"]))
}
