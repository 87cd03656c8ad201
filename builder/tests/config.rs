//! `kmimage config` through the real program: what it prints, where, and with which exit code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

#[path = "support/mod.rs"]
mod support;

use support::binary::Binary;

fn binary() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_kmimage"))
}

#[test]
fn what_generate_prints_validates() {
    let binary = binary();
    let generated = binary.succeed(&["config", "generate", "--role", "base", "--hostname", "node-1"]);
    assert!(generated.stdout.contains("\nhostname = \"node-1\"\nrole = \"base\"\n"), "{}", generated.stdout);
    binary.write("node-1.toml", &generated.stdout);
    let outcome = binary.succeed(&["config", "validate", "node-1.toml", "--role", "base"]);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("node-1.toml is valid\n", ""));
    let outcome = binary.succeed(&["config", "validate", "node-1.toml", "--json"]);
    assert_eq!(outcome.stdout, "{\n  \"file\": \"node-1.toml\",\n  \"valid\": true\n}\n");
}

#[test]
fn a_bad_config_is_refused_with_exit_code_3() {
    let binary = binary();
    binary.write("bad.toml", "version = 1\n\n[[file]]\npath = \"/etc/token\"\nmode = \"4755\"\ncontent = \"hunter2\"\n");
    let outcome = binary.run(&["config", "validate", "bad.toml"]);
    let message = "\
error: bad.toml:5:8: `4755`: set-uid, set-gid and sticky bits are not for files of a config
   |
 5 | mode = \"4755\"
   |        ^^^^^^
";
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (3, "", message));
    let outcome = binary.run(&["config", "validate", "bad.toml", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((outcome.code, &answer["valid"], &answer["line"], &answer["column"]), (3, &false.into(), &5.into(), &8.into()));

    let outcome = binary.run(&["config", "generate", "--hostname", "Node 1"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (3, ""));
    let outcome = binary.run(&["config", "validate", "missing.toml"]);
    assert_eq!(outcome.stderr, "error: cannot read missing.toml\n  caused by: No such file or directory (os error 2)\n");
}

#[test]
fn the_role_is_the_images() {
    let binary = binary();
    binary.write("worker.toml", "version = 1\n[machine]\nrole = \"worker\"\n");
    binary.succeed(&["config", "validate", "worker.toml"]);
    let outcome = binary.run(&["config", "validate", "worker.toml", "--role", "base"]);
    assert_eq!(outcome.code, 3);
    assert!(outcome.stderr.contains("this is for the role `worker`, the image has the role `base`"), "{}", outcome.stderr);
}

#[test]
fn the_schema_is_the_committed_one() {
    let binary = binary();
    let schema = binary.succeed(&["config", "schema"]).stdout;
    // What a run prints is normalised: an example's port looks like that of a server.
    assert_eq!(schema, binary.normalise(include_bytes!("../../docs/machine-config.schema.json")));
}

/// What kubeadm prints, through a pipe as an administrator has it.
fn join(binary: &Binary, line: &str, arguments: &[&str]) -> (i32, String, String) {
    binary.write("line", line);
    let mut command = binary.command(&[&["config", "join"], arguments].concat());
    let output = command.stdin(std::fs::File::open(binary.path("line")).unwrap()).output().unwrap();
    (output.status.code().unwrap_or(-1), binary.normalise(&output.stdout), binary.normalise(&output.stderr))
}

#[test]
fn a_join_line_becomes_a_config_that_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let binary = binary();
    let hash = format!("sha256:{}", "ab".repeat(32));
    let line =
        format!("kubeadm join 10.0.0.1:6443 --token abcdef.hunter2hunter2hu \\\n\t--discovery-token-ca-cert-hash {hash} \n");
    let expect = format!(
        "version = 1\n\n[machine]\nrole = \"worker\"\nhostname = \"node-1\"\n\n[cluster]\nendpoint = \"10.0.0.1:6443\"\n\
         token = \"abcdef.hunter2hunter2hu\"\nca-hashes = [\"{hash}\"]\n"
    );
    assert_eq!(join(&binary, &line, &["--hostname", "node-1"]), (0, expect.clone(), String::new()));
    assert_eq!(join(&binary, &line, &["--hostname", "node-1", "-o", "node-1.toml"]), (0, String::new(), String::new()));
    let file = binary.path("node-1.toml");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expect);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    binary.succeed(&["config", "validate", "node-1.toml", "--role", "worker"]);
    let refused = join(&binary, &format!("{line} --control-plane"), &[]);
    let message = "error: `--control-plane`: joining as a control plane is not built yet; only workers are\n";
    assert_eq!(refused, (2, String::new(), message.to_owned()));
    let (code, _, message) = join(&binary, &line, &["--ttl", "2h"]);
    assert_eq!(code, 2, "{message}");
}
