//! A whole image of the miniature distribution, made by the real program.

mod support;

use support::binary::Binary;
use support::mini::Mini;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kmimage");

#[test]
fn a_build_gives_the_whole_set() {
    let binary = Binary::new(PROGRAM);
    Mini::new().write(&binary);
    let outcome = binary.succeed(&["build", "--profile", "mini"]);
    assert_eq!(outcome.stderr.lines().last(), Some("==> built <dir>/work/out/mini"));
    let mut names: Vec<String> = std::fs::read_dir(binary.path("out/mini"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let stem = format!("kmimage-mini-{}-amd64", env!("CARGO_PKG_VERSION"));
    let endings = ["efi", "files.tsv", "json", "qcow2", "raw", "root.squashfs", "spdx.json"];
    let expected: Vec<String> =
        ["SHA256SUMS".to_owned()].into_iter().chain(endings.map(|ending| format!("{stem}.{ending}"))).collect();
    assert_eq!(names, expected);
}
