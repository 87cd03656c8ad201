//! The two gates: `check` (seconds to minutes, no VM) and `everything` (what CI runs).

use crate::run::{Outcome, cargo, run};
use crate::{docs, fuzz, setup};

/// Format, lints, generated pages, every test that needs no VM and no foreign tool.
pub(crate) fn check() -> Outcome {
    lints()?;
    run(&mut cargo(&["test", "--workspace", "--locked", "--", "--skip", "tools_", "--skip", "vm_"]))
}

/// Everything. A tool that is missing is a failure, named before anything long begins.
pub(crate) fn everything() -> Outcome {
    let missing = setup::missing();
    if !missing.is_empty() {
        return Err(format!("missing: {}; run `cargo xtask setup`", missing.join(", ")).into());
    }
    lints()?;
    run(&mut cargo(&["deny", "check", "bans", "licenses", "sources"]))?;
    fuzz::replay()?;
    // Two at a time: each test that boots a machine keeps a core busy.
    run(&mut cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--", "--test-threads", "2"]))
}

/// Every test that repeats something, and with them all others, at full count; hours. They print their seeds.
pub(crate) fn soak() -> Outcome {
    let mut soak = cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--", "--test-threads", "2", "--nocapture"]);
    run(soak.env("KMIMAGE_SOAK", "1"))?;
    matrix()
}

/// The whole boot matrix, of which CI boots a part.
pub(crate) fn matrix() -> Outcome {
    let machines = ["test", "--workspace", "--locked", "--no-fail-fast", "--test", "machines"];
    run(cargo(&machines).args(["--", "--test-threads", "2", "--include-ignored", "matrix::"]))
}

fn lints() -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))?;
    docs::check()
}
