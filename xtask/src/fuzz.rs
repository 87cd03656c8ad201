//! Fuzz targets: built and replayed over their committed corpora in CI, run for real by `just fuzz`.

use crate::docs::{root, target};
use crate::run::{Outcome, cargo, command, run, say};

/// The targets, which are the files of fuzz/fuzz_targets.
fn targets() -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(root().join("fuzz/fuzz_targets"))? {
        if let Some(name) = entry?.file_name().to_str().and_then(|name| name.strip_suffix(".rs")) {
            names.push(format!("fuzz_{name}"));
        }
    }
    names.sort();
    Ok(names)
}

/// Builds every target without instrumentation and runs it once over each file of its corpus.
pub(crate) fn replay() -> Outcome {
    run(&mut cargo(&["build", "--locked", "--workspace", "--bins"]))?;
    for name in targets()? {
        let corpus = root().join("fuzz/corpus").join(&name);
        let files = fs_err::read_dir(&corpus)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        if files.is_empty() {
            return Err(format!("fuzz target {name} has an empty corpus").into());
        }
        say(&format!("fuzz corpus of {name}: {} files", files.len()));
        run(command(target().join("debug").join(&name)).args(&files).env("RUST_BACKTRACE", "1"))?;
    }
    Ok(())
}

/// Runs every target under libFuzzer for `seconds`.
pub(crate) fn main(seconds: &str) -> Outcome {
    let limit = format!("-max_total_time={seconds}");
    for name in targets()? {
        let mut fuzz = cargo(&["fuzz", "run", "--sanitizer", "none", &name, "--", &limit]);
        // libFuzzer's instrumentation is an unstable compiler flag; this lets a stable compiler take it.
        fuzz.env("RUSTC_BOOTSTRAP", "1").current_dir(root());
        // What optimising at link time costs for each target is more than it gives in five minutes.
        run(fuzz.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"))?;
    }
    Ok(())
}
