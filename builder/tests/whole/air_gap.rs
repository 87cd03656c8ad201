//! From a signed repository to a machine without a network, and the same image there.

use crate::support::binary::Binary;
use crate::support::mini::Mini;
use crate::support::repository::{Key, Repository};
use crate::support::server::Server;
use crate::{PROGRAM, sums};
use std::collections::BTreeSet;

/// A world whose profile `mini` takes its packages from a signed repository on the loopback interface.
fn signed_world(server: &Server, key: &Key) -> Binary {
    let binary = Binary::new(PROGRAM);
    let repository =
        format!("uris = [\"{}\"]\nsuites = [\"stable\"]\ncomponents = [\"main\"]\nkeyrings = [\"mini.asc\"]", server.url());
    let profile = Mini::new().profile().replace("directory = \"../debs\"", &repository);
    binary.write("profiles/mini.toml", profile).write("profiles/keyrings/mini.asc", key.public());
    binary
}

#[test]
fn an_export_builds_the_same_image_offline() {
    let directory = tempfile::tempdir().unwrap();
    let key = Key::generate("Mini");
    Repository::new("stable", Mini::new().debs).write(&key, directory.path());
    let server = Server::start(directory.path());
    let online = signed_world(&server, &key);
    online.succeed(&["build", "--profile", "mini"]);
    assert_eq!(online.succeed(&["cache", "export", "debs"]).stderr, "    mini: 4 packages in debs\n");
    let entries = std::fs::read_dir(online.path("debs")).unwrap();
    let names: BTreeSet<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let expected = ["linux-image-6.0-mini", "mini-boot", "mini-libc", "mini-program"].map(|name| format!("{name}_1.0_amd64.deb"));
    assert_eq!(names, expected.into());

    let gapped = signed_world(&server, &key);
    server.take_requests();
    let offline = ["build", "--profile", "mini", "--locked", "--offline"];
    std::fs::copy(online.path("kmimage.lock"), gapped.path("kmimage.lock")).unwrap();
    let message = "\
error: offline, and the store <dir>/store lacks linux-image-6.0-mini 1.0, mini-libc 1.0, mini-program 1.0, mini-boot 1.0
  help: Without `--offline` it is fetched.
  help: Without a network: `kmimage cache export DIR` on a machine that has it, `--repository NAME=DIR` here.";
    gapped.refuses(&offline[1..], 5, message);
    for name in &names {
        gapped.write(&format!("stick/{name}"), std::fs::read(online.path("debs").join(name)).unwrap());
    }
    gapped.succeed(&[&offline[..], &["--repository", "mini=stick"]].concat());
    assert_eq!(sums(&gapped, "out/mini"), sums(&online, "out/mini"));
    // Now its own store has them.
    std::fs::remove_dir_all(gapped.path("out")).unwrap();
    gapped.succeed(&offline);
    assert_eq!(sums(&gapped, "out/mini"), sums(&online, "out/mini"));
    assert_eq!(server.take_requests(), []);
}
