//! Profiles, command lines and places that do not make an image.

use super::{refused, refused_as};
use crate::PROGRAM;
use crate::support::binary::{Binary, EarlierSet, look};
use crate::support::boot::kernel;
use crate::support::mini::{Mini, RELEASE, mini_profile, package, profiles_and};
use sha2::{Digest, Sha256};

/// Building `profile` of these profile files fails with exit code 3 and exactly this message.
#[track_caller]
fn refused_profile(profiles: &[(&str, &str)], profile: &str, message: &str) {
    let binary = Binary::new(PROGRAM);
    for (name, text) in profiles {
        binary.write(&format!("profiles/{name}.toml"), text);
    }
    binary.refuses(&["--profile", profile], 3, message);
}

/// The profile `mini` with this TOML in it.
#[track_caller]
fn refused_toml(toml: &str, message: &str) {
    refused_profile(&[("mini", &mini_profile(toml))], "mini", message);
}

#[test]
fn an_unknown_profile_key() {
    let message = "\
error: profiles/mini.toml:3:1: unknown key `overlay`; did you mean `overlays`?
   |
 3 | overlay = [\"base\"]
   | ^^^^^^^
";
    refused_toml("overlay = [\"base\"]", message);
    let message = "\
error: profiles/mini.toml:35:1: unknown key `paths`; did you mean `path`?
    |
 35 | paths = \"/x\"
    | ^^^^^
";
    refused_toml("[[allow]]\nrule = \"shell\"\npaths = \"/x\"\nreason = \"r\"", message);
}

#[test]
fn an_unknown_value() {
    let message = "\
error: profiles/mini.toml:34:8: unknown value `shel`; did you mean `shell`?
    |
 34 | rule = \"shel\"
    |        ^^^^^^
";
    refused_toml("[[allow]]\nrule = \"shel\"\npath = \"/x\"\nreason = \"r\"", message);
    let message = "\
error: profiles/mini.toml:3:13: there is no overlay `bass`; did you mean `base`?
   |
 3 | overlays = [\"bass\"]
   |             ^^^^^^
";
    refused_toml("overlays = [\"bass\"]", message);
}

#[test]
fn an_unknown_profile() {
    let mini = [("mini", &*mini_profile(""))];
    for (name, hint) in [
        ("minni", "Did you mean `mini`?"),
        ("storage", "Write ./profiles/storage.toml, or see `kmimage profiles`."),
        ("../debs", "A profile's name has lower-case letters, digits and `-`, 64 at most; see `kmimage profiles`."),
    ] {
        let known = profiles_and(&["mini"]).join(", ");
        let message = format!("error: there is no profile `{name}`; there are: {known}\n  help: {hint}");
        refused_profile(&mini, name, &message);
    }
    let message = "\
error: profiles/mini.toml:3:11: there is no profile `bse`; did you mean `base`?
   |
 3 | extends = \"bse\"
   |           ^^^^^
";
    refused_toml("extends = \"bse\"", message);
}

#[test]
fn profiles_that_extend_each_other() {
    let one = "description = \"a\"\nextends = \"two\"\n";
    let two = "description = \"b\"\n\nextends = \"one\"\n";
    let message = "\
error: profiles/two.toml:3:11: these profiles extend each other: profiles/one.toml -> profiles/two.toml -> profiles/one.toml
   |
 3 | extends = \"one\"
   |           ^^^^^
";
    refused_profile(&[("one", one), ("two", two)], "one", message);
}

#[test]
fn an_image_that_does_not_fit_its_slot() {
    let noise: Vec<u8> = (0u32..(17 << 20) / 32).flat_map(|n| Sha256::digest(n.to_le_bytes())).collect();
    let message = "\
error: the root image does not fit into its slot of 16777216 bytes (16 MiB)
  help: Drop packages or files, raise the compression level, or make the slot larger: `slot-size` of [image] in the profile.
";
    refused(&Mini::new().with(package("odd").file("/opt/noise", 0o644, noise)), message);
}

#[test]
fn a_boot_image_above_its_limit() {
    let binary = Binary::new(PROGRAM);
    Mini::new().write(&binary);
    let small = "description = \"small\"\nextends = \"mini\"\n[image]\nboot-image-limit = \"512 KiB\"\n";
    binary.write("profiles/small.toml", small);
    let earlier = EarlierSet::write(&binary.path("earlier/set"));
    let outcome = binary.run(&["build", "--quiet", "--output", "earlier/set", "--profile", "small"]);
    // How many bytes it has changes with init, which is in it.
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let size = digits(outcome.stderr.split(" bytes").next().unwrap());
    assert!(size.parse::<u64>().unwrap() > 512 << 10, "{}", outcome.stderr);
    let message = format!("\
error: the boot image has {size} bytes, but image.boot-image-limit of profile small is 524288 (512 KiB)
  help: Let the initramfs have fewer drivers (`[kernel.initramfs]`), or raise the limit and with it the memory that a machine needs to boot.
");
    assert_eq!((outcome.code, outcome.stderr), (6, message));
    earlier.assert_untouched();
}

#[test]
fn an_effect_of_a_maintainer_script_that_nobody_answers_for() {
    let postinst = "#!/bin/sh\nset -e\nadduser --system odd\nchmod 4755 /usr/bin/odd\n";
    let message = "\
error: the postinst of `odd` would do in line 3 what no step of kmimage does: adduser (`adduser --system odd`); and 1 more effect like this
  help: If the image does without it, or an overlay does it, answer in the profile:
# line 3: adduser --system odd
# line 4: chmod 4755 /usr/bin/odd
[[script]]
package = \"odd\"
script = \"postinst\"
effects = [\"adduser\", \"chmod\"]
reason = \"...\"
";
    refused_as(&Mini::new().with(package("odd").script("postinst", postinst)), &[], 3, message);
}

#[test]
fn a_version_that_is_no_part_of_a_file_name() {
    for version in ["../1", "", "1/2", "-1"] {
        let message = format!(
            "error: `{version}` can't be an image version: only letters, digits and . _ + ~ - are allowed, and it begins with a letter or \
             digit"
        );
        refused_as(&Mini::new(), &[&format!("--image-version={version}")], 2, &message);
    }
}

#[test]
fn an_epoch_that_is_no_number_of_seconds() {
    let mut binary = Binary::new(PROGRAM);
    Mini::new().write(&binary);
    for epoch in ["yesterday", "4294967296", "-1", ""] {
        binary.env("SOURCE_DATE_EPOCH", epoch);
        let message = format!("error: SOURCE_DATE_EPOCH is `{epoch}`; expected seconds since 1970, 0 to 4294967295");
        binary.refuses(&["--profile", "mini"], 2, &message);
    }
}

#[test]
fn an_output_folder_that_is_not_kmimages() {
    let binary = Binary::new(PROGRAM);
    Mini::new().write(&binary);
    binary.write("mine/notes.txt", "my notes\n").write("file", "no folder\n");
    // A file of ours among others does not make the folder ours.
    binary.write("mixed/SHA256SUMS", "00  disk.raw\n").write("mixed/disk.raw", "").write("mixed/disk.raw.bak", "");
    let before = look(&binary.path("mine"));
    for (output, fault) in [
        ("mine", "<dir>/work/mine holds notes.txt, which its SHA256SUMS does not name"),
        ("mixed", "<dir>/work/mixed holds disk.raw.bak, which its SHA256SUMS does not name"),
        ("file", "<dir>/work/file is not a folder"),
        (".", "<dir>/work holds debs, which its SHA256SUMS does not name"),
    ] {
        let outcome = binary.run(&["build", "--quiet", "--profile", "mini", "--output", output]);
        let hint = "Name another folder with --output, or move what is there away.";
        assert_eq!(outcome.stderr, format!("error: {fault}; nothing was changed\n  help: {hint}\n"));
        assert_eq!(outcome.code, 2);
    }
    // Not even a lock was made: a folder that cannot be written is no reason to fetch anything.
    assert_eq!(look(&binary.path("mine")), before);
}

#[test]
fn a_module_that_the_initramfs_wants_and_the_root_has_not() {
    let missing = |module: &str, hint: &str| {
        format!(
            "error: the initramfs wants the module {module}, which the root of kernel 6.0-mini has neither as a file nor built in\n\
             {hint}  help: Perhaps [kernel.modules] drops it: name it under `keep` there, or take it out of [kernel.initramfs]."
        )
    };
    let binary = Binary::new(PROGRAM);
    let mini = Mini::new();
    mini.write(&binary);
    for (module, hint) in [("mini_disc", "  help: Did you mean `mini_disk`?\n"), ("virtio_blk", "")] {
        binary.write("profiles/mini.toml", mini.profile().replace("\"mini_disk\"", &format!("\"{module}\"")));
        binary.refuses(&["--profile", "mini"], 3, &missing(module, hint));
    }
}

#[test]
fn a_kernel_of_another_release_than_its_modules() {
    let mini = Mini::new().change("linux-image-6.0-mini", |mut deb| {
        let name = format!("./boot/vmlinuz-{RELEASE}");
        deb.members.iter_mut().find(|member| member.path == name.as_bytes()).unwrap().data = kernel("6.1-mini");
        deb
    });
    let message = "\
error: the kernel says it is 6.1-mini, but its modules are for 6.0-mini
  help: Let the profile name exactly one linux-image package.
";
    refused(&mini, message);
}

#[test]
fn no_kernel_and_two() {
    let mut mini = Mini::new();
    mini.install.remove(0);
    let message = "\
error: no package of the profile has a kernel (/boot/vmlinuz-*)
  help: Install linux-image-amd64, or name a linux-image package as [kernel] package.
";
    refused_as(&mini, &[], 3, message);
    let other = package("linux-image-6.1-mini").file("/boot/vmlinuz-6.1-mini", 0o644, kernel("6.1-mini"));
    let message = "\
error: an image has one kernel, but these are here: linux-image-6.0-mini, linux-image-6.1-mini
  help: Name the one to use: `package = \"...\"` below `[kernel]`, and no other linux-image in `packages`.
";
    refused_as(&Mini::new().with(other), &[], 3, message);
}

#[test]
fn a_lock_that_does_not_answer() {
    let hint = "Run `kmimage lock --profile mini`, or build without --locked.";
    let message = format!("error: kmimage.lock does not lock profile mini\n  help: {hint}");
    refused_as(&Mini::new(), &["--locked"], 3, &message);

    let binary = Binary::new(PROGRAM);
    Mini::new().write(&binary);
    binary.succeed(&["lock", "--profile", "mini"]);
    let locked = std::fs::read(binary.path("kmimage.lock")).unwrap();
    Mini::new().with(package("odd")).write(&binary);
    let message = format!("error: kmimage.lock was made for other wishes of profile mini\n  help: {hint}");
    binary.refuses(&["--profile", "mini", "--locked"], 3, &message);
    assert_eq!(std::fs::read(binary.path("kmimage.lock")).unwrap(), locked);
}
