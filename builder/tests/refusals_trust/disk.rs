//! Full disks: a small tmpfs in a mount namespace of the test's own, for the store or for the output.

use crate::bench::Bench;
use crate::support::binary::EarlierSet;
use crate::support::mini::Mini;
use crate::support::repository::Key;
use std::process::Command;

/// Mounts the small file system at `small`, puts the earlier set into it, builds, and shows what the folder then holds: a mount
/// lasts as long as its namespace. What kmimage said is on standard error, its exit code at the end of standard output.
const SCRIPT: &str = r#"
set -e
size=$1; shift
mount -t tmpfs -o size="$size" none small
cp -a earlier/set small/set
code=0
"$@" || code=$?
cd small
find . ! -name . | sort
(cd set && sha256sum --check --quiet --strict SHA256SUMS)
echo "exit code $code"
"#;

/// Builds with a file system of `size` at `small/`, which must fail so, with the earlier set at `small/set` untouched and nothing
/// beside it but `store`. In the message `DIGEST` stands for a digest and `N` for a number of bytes, which differ from run to run.
#[track_caller]
fn refuses(bench: &Bench, size: &str, options: &[&str], message: &str) {
    let binary = &bench.binary;
    EarlierSet::write(&binary.path("earlier/set"));
    std::fs::create_dir_all(binary.path("small")).unwrap();
    let fixed = ["build", "--quiet", "--jobs", "1", "--profile", "mini", "--format", "raw", "--output", "small/set"];
    let kmimage = binary.command(&[&fixed, options].concat());
    #[expect(clippy::disallowed_methods, reason = "a test")]
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh", size]).arg(kmimage.get_program());
    command.args(kmimage.get_args()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(kmimage.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.current_dir(binary.path("")).output().unwrap();
    let (stdout, stderr) = (binary.normalise(&output.stdout), steady(&binary.normalise(&output.stderr)));
    let lines: Vec<&str> = stdout.lines().filter(|line| !line.starts_with("./store")).collect();
    let untouched = ["./set", "./set/SHA256SUMS", "./set/kmimage-earlier-1-amd64.json", "./set/kmimage-earlier-1-amd64.raw"];
    assert_eq!(lines, [&untouched[..], &["exit code 7"]].concat(), "{stderr}");
    assert_eq!(stderr.trim_end(), message);
}

fn steady(text: &str) -> String {
    let words = text.split_inclusive([' ', '/', '\n']).map(|word| {
        let bare = word.trim_end_matches([' ', '/', '\n']);
        let is_digest = bare.len() == 64 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_number = bare.strip_prefix('(').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        match (is_digest, is_number) {
            (true, _) => word.replace(bare, "DIGEST"),
            (_, true) => word.replace(bare, "(N"),
            _ => word.to_owned(),
        }
    });
    words.collect()
}

/// A package of 300 kB that no compression makes smaller: as a download, unpacked, and in the image.
fn bench() -> Bench {
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    let noise: Vec<u8> = noise.take(300_000).collect();
    let mini = Mini::new().change("mini-program", |deb| deb.file("/usr/lib/mini/noise", 0o644, noise));
    let bench = Bench::with(Key::generate("Archive"), mini);
    bench.publish(&bench.repository());
    bench
}

const MORE_ROOM: &str = "help: Free some space; `kmimage cache gc` removes what no lock names and no build used lately.
  help: Put the store on another file system: `--store DIR`, or KMIMAGE_STORE in the environment.";

#[test]
fn tools_no_room_for_a_download() {
    let bench = bench();
    let message = format!(
        "error: no space left to write small/store/partial/DIGEST (N bytes)
  caused by: No space left on device (os error 28)
  {MORE_ROOM}"
    );
    refuses(&bench, "200k", &["--store", "small/store"], &message);
    assert!(!bench.binary.path("kmimage.lock").exists());
}

#[test]
fn tools_no_room_for_derived_data() {
    let bench = bench();
    let message = format!(
        "error: no space left to write small/store/packs/packages/DIGEST (N bytes)
  caused by: No space left on device (os error 28)
  {MORE_ROOM}"
    );
    refuses(&bench, "500k", &["--store", "small/store"], &message);
    let message = "error: failed to write to the block cache in small/store/blocks
  caused by: No space left on device (os error 28)
  help: Free space on the file system of small/store/blocks, or choose another store with --store.";
    refuses(&bench, "800k", &["--store", "small/store"], message);
}

#[test]
fn tools_no_room_for_the_image() {
    let bench = bench();
    let message = format!(
        "error: can't write <dir>/work/small/.set.kmimage-0/kmimage-mini-{}-amd64.raw
  caused by: No space left on device (os error 28)
  help: Free some space, or name a folder on another disk with --output.",
        env!("CARGO_PKG_VERSION")
    );
    // With more room the disk and the root's copy are written beside each other: which of them meets the end first is chance.
    refuses(&bench, "200k", &[], &message);
}

#[test]
fn tools_no_room_for_the_lock() {
    // The earlier set fills it.
    let message = "error: cannot write the lock small/kmimage.lock
  caused by: No space left on device (os error 28)
  help: Free some space, or name a lock on another disk with `--lock`.";
    refuses(&bench(), "12k", &["--lock", "small/kmimage.lock"], message);
}
