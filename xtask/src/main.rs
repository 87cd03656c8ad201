//! What a contributor runs that cargo can't do alone; the recipes of the Justfile call it.

mod bench;
mod docs;
mod fuzz;
mod real;
mod run;
mod setup;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask TASK
  setup          install what the tests need (Debian 12 or 13)
  check          format, lints, generated pages, tests without a VM
  test           everything: check, refusals, judged by others, boots in QEMU, fuzz corpora, licences
  soak           every test, those that repeat something at full count: hours
  matrix         the whole boot matrix: every firmware, chipset and medium
  docs           write the generated pages and schemas anew
  bench [NAME...] [-- OPTION...]   speed against named peers, as ratios
  fuzz SECONDS   run each fuzz target for so long
  real KUBERNETES VERSION CRI-O   build real Kubernetes and CRI-O from source trees, for the tests' clusters (docs/real-cluster.md)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["setup"] => setup::main(),
        ["check"] => test::check(),
        ["test"] => test::everything(),
        ["soak"] => test::soak(),
        ["matrix"] => test::matrix(),
        ["docs"] => docs::write(),
        ["bench", names @ ..] => bench::main(names),
        ["fuzz", seconds] => fuzz::main(seconds),
        ["real", kubernetes, version, crio] => real::main(kubernetes.as_ref(), version, crio.as_ref()),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::say(&format!("xtask: {error}"));
            ExitCode::FAILURE
        }
    }
}
