//! Compiles `init`, the one program inside an image, and hands it to the builder to embed; and `pause`, the one in each pod.
//!
//! A static program of its own profile, the same bytes wherever it is compiled: paths are mapped away, wrappers and flags from the
//! environment don't reach it, and its target folder lives beside the builder's so that nothing is compiled twice. What it is linked
//! from goes along, for the image's bill of materials.

use object::read::elf::{Dyn as _, ElfFile64, ProgramHeader as _};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TARGET: &str = "x86_64-unknown-linux-gnu";
const PACKAGE: &str = "kmimage-init";
/// What init is compiled from, relative to the workspace.
const SOURCES: [&str; 6] = ["builder/build.rs", "Cargo.toml", "Cargo.lock", "contract", "init", "sys"];
/// The program of the built-in image `pause`, relative to the builder.
const PAUSE: &str = "pause/pause.rs";

fn main() -> Result<(), Box<dyn Error>> {
    let manifest = path_of("CARGO_MANIFEST_DIR")?;
    let workspace = manifest.parent().ok_or("the builder's folder has no parent")?;
    let out = path_of("OUT_DIR")?;
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    println!("cargo::rerun-if-changed={}", manifest.join(PAUSE).display());
    let compiler = Compiler::ask()?;
    let messages = compile(workspace, &target_folder(&out), &compiler)?;
    let program = executable(&messages).ok_or("cargo names no executable for init")?;
    let bytes = std::fs::read(&program).map_err(|error| format!("{}: {error}", program.display()))?;
    check_static(&bytes).map_err(|fault| format!("{}: {fault}", program.display()))?;
    let crates = linked_crates(&messages, &std::fs::read_to_string(workspace.join("Cargo.lock"))?)?;
    std::fs::write(out.join("init"), bytes)?;
    compile_pause(&manifest.join(PAUSE), &out.join("pause"))?;
    std::fs::write(out.join("embedded_init.rs"), render(&compiler.version, &crates)?)?;
    Ok(())
}

fn path_of(variable: &str) -> Result<PathBuf, Box<dyn Error>> {
    Ok(env::var_os(variable).ok_or_else(|| format!("cargo does not set {variable}"))?.into())
}

/// The compiler that this build uses, as it says itself.
struct Compiler {
    version: String,
    commit: String,
    sysroot: PathBuf,
}

impl Compiler {
    fn ask() -> Result<Self, Box<dyn Error>> {
        let rustc = path_of("RUSTC")?;
        let verbose = output(command(&rustc).arg("-vV"))?;
        let commit = verbose.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
        let sysroot = output(command(&rustc).args(["--print", "sysroot"]))?.trim().into();
        Ok(Self { version: verbose.lines().next().unwrap_or_default().to_owned(), commit: commit.to_owned(), sysroot })
    }
}

/// A folder for init's own build beside the builder's: `target/embedded-init`, shared by all of the builder's profiles.
fn target_folder(out: &Path) -> PathBuf {
    // OUT_DIR is TARGET/PROFILE/build/PACKAGE-HASH/out.
    let profile = out.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "build")).and_then(Path::parent);
    profile.and_then(Path::parent).unwrap_or(out).join("embedded-init")
}

/// Runs cargo and returns what it says of every artefact.
fn compile(workspace: &Path, target_folder: &Path, compiler: &Compiler) -> Result<Vec<Value>, Box<dyn Error>> {
    let cargo_home = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => path_of("HOME")?.join(".cargo"),
    };
    // The last prefix that matches wins. The standard library's sources, where they are installed, get the name that they have
    // where they aren't.
    let maps = [
        (cargo_home, "/cargo".to_owned()),
        (compiler.sysroot.clone(), "/rust".to_owned()),
        (compiler.sysroot.join("lib/rustlib/src/rust"), format!("/rustc/{}", compiler.commit)),
        (workspace.to_owned(), "/kmimage".to_owned()),
    ];
    // The script leaves the tables for unwinding out, and so has their index to go. Cargo names symbols by its flags, so the script's path is relative to
    // the workspace, where cargo links: another checkout makes the same bytes.
    let mut flags = OsString::from("-Ctarget-feature=+crt-static\x1f-Clink-arg=-Wl,--no-eh-frame-hdr,-T,init/link.ld");
    for (from, to) in &maps {
        flags.push("\x1f--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    }
    // Whoever compiles with the same flags into the same folder (the tests' programs) finds all dependencies done.
    std::fs::create_dir_all(target_folder)?;
    std::fs::write(target_folder.join("rustflags"), flags.as_encoded_bytes())?;
    let mut cargo = command(&path_of("CARGO")?);
    cargo.current_dir(workspace);
    cargo.args(["build", "--locked", "--package", PACKAGE, "--bin", PACKAGE, "--profile", "init", "--target", TARGET]);
    cargo.args(["--message-format", "json-render-diagnostics", "--target-dir"]).arg(target_folder);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_profile = text.starts_with("CARGO_PROFILE_") || text == "CARGO_INCREMENTAL";
        let of_target = text == "RUSTFLAGS" || text.starts_with("CARGO_BUILD_") || text.starts_with("CARGO_TARGET_");
        // What cargo says of the builder: build scripts that ask for it (ring's does) would run again whenever somebody else compiles.
        let of_builder =
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CFG_", "CARGO_FEATURE_"].iter().any(|prefix| text.starts_with(prefix));
        if of_profile || of_target || of_builder {
            cargo.env_remove(&name);
        }
    }
    // Empty, not removed: that outranks a wrapper from a configuration file, too.
    cargo.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "").env("CARGO_ENCODED_RUSTFLAGS", flags);
    let text = output(&mut cargo).map_err(|error| {
        format!("init does not compile ({error}); it needs Rust's {TARGET} target and a C compiler with a static C library (libc6-dev)")
    })?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Compiles `pause`: one file without any library, linked to a program of one page of code.
fn compile_pause(source: &Path, program: &Path) -> Result<(), Box<dyn Error>> {
    let link = "-Clink-args=-nostdlib -nostartfiles -static -no-pie -Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,norelro";
    let mut rustc = command(&path_of("RUSTC")?);
    rustc.args(["--crate-name", "pause", "--crate-type", "bin", "--edition", "2024", "--target", TARGET]);
    rustc.args(["-Cpanic=abort", "-Copt-level=s", "-Cstrip=symbols", "-Crelocation-model=static", link, "-o"]);
    rustc.arg(program).arg(source);
    output(&mut rustc).map_err(|error| format!("pause does not compile ({error})"))?;
    let bytes = std::fs::read(program)?;
    Ok(check_static(&bytes).map_err(|fault| format!("{}: {fault}", program.display()))?)
}

#[expect(clippy::disallowed_methods, reason = "a build script's work is to run the compiler")]
fn command(program: &Path) -> Command {
    Command::new(program)
}

/// What a command prints; its complaints go to ours.
fn output(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let ran = command.stderr(Stdio::inherit()).output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    if !ran.status.success() {
        return Err(format!("{:?}: {}", command.get_program(), ran.status).into());
    }
    Ok(String::from_utf8(ran.stdout)?)
}

/// The program, by cargo's messages.
fn executable(messages: &[Value]) -> Option<PathBuf> {
    messages
        .iter()
        .filter(|message| message["target"]["name"] == PACKAGE)
        .find_map(|message| Some(message["executable"].as_str()?.into()))
}

/// The program must run where nothing else is: no interpreter, no shared library.
fn check_static(bytes: &[u8]) -> Result<(), String> {
    let file = ElfFile64::<object::Endianness>::parse(bytes).map_err(|error| format!("not an ELF program: {error}"))?;
    let endian = file.endian();
    for header in file.elf_program_headers() {
        if header.p_type(endian) == object::elf::PT_INTERP {
            return Err("it asks for an interpreter, so it is not static".to_owned());
        }
        let dynamic = header.dynamic(endian, bytes).map_err(|error| error.to_string())?.unwrap_or_default();
        if dynamic.iter().any(|entry| entry.tag(endian) == object::elf::DT_NEEDED) {
            return Err("it needs a shared library, so it is not static".to_owned());
        }
    }
    Ok(())
}

/// A crate that init is linked from.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    license: String,
    checksum: Option<String>,
}

/// The crates whose code is in the program, itself aside: those compiled for the target, not the host's macros and build scripts.
fn linked_crates(messages: &[Value], lock: &str) -> Result<BTreeSet<Crate>, Box<dyn Error>> {
    let checksums = checksums(lock);
    let in_target = |message: &&Value| {
        let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        message["reason"] == "compiler-artifact"
            && files.into_iter().any(|file| Path::new(file).iter().any(|part| part == TARGET))
    };
    let mut crates = BTreeSet::new();
    for message in messages.iter().filter(in_target) {
        let id = message["package_id"].as_str().ok_or("an artefact without a package")?;
        let (place, fragment) = id.rsplit_once('#').ok_or("a package without a version")?;
        let folder_name = || place.rsplit('/').next().unwrap_or_default();
        let (name, version) = fragment.split_once('@').unwrap_or_else(|| (folder_name(), fragment));
        let manifest = message["manifest_path"].as_str().ok_or("a package without a manifest")?;
        if name == PACKAGE {
            continue;
        }
        let (name, version) = (name.to_owned(), version.to_owned());
        let checksum = checksums.get(&(name.clone(), version.clone())).cloned();
        crates.insert(Crate { license: license(Path::new(manifest))?, name, version, checksum });
    }
    Ok(crates)
}

/// The licence that a manifest states, as an SPDX expression; crates of this workspace inherit it.
fn license(manifest: &Path) -> Result<String, Box<dyn Error>> {
    let text = std::fs::read_to_string(manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
    let stated = text.lines().find_map(|line| line.strip_prefix("license = \"")?.strip_suffix('"')).map(str::to_owned);
    match stated {
        // Cargo once took a slash for OR, and older manifests have it still; SPDX has no such operator.
        Some(license) => Ok(license.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")),
        None if text.lines().any(|line| line == "license.workspace = true") => Ok(env::var("CARGO_PKG_LICENSE")?),
        None => Ok("NOASSERTION".to_owned()),
    }
}

/// The checksums in Cargo.lock, by name and version; packages of this workspace have none.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |package: &str, key: &str| {
        package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')).map(str::to_owned)
    };
    let packages = lock.split("[[package]]");
    packages
        .filter_map(|package| Some(((value(package, "name")?, value(package, "version")?), value(package, "checksum")?)))
        .collect()
}

/// The Rust source that the builder includes.
fn render(compiler: &str, crates: &BTreeSet<Crate>) -> Result<String, Box<dyn Error>> {
    let mut text = format!("const COMPILER: &str = {compiler:?};\nconst CRATES: &[LinkedCrate] = &[\n");
    for Crate { name, version, license, checksum } in crates {
        let fields = format!("name: {name:?}, version: {version:?}, license: {license:?}, sha256: {checksum:?}");
        writeln!(text, "    LinkedCrate {{ {fields} }},")?;
    }
    text.push_str("];\n");
    Ok(text)
}
