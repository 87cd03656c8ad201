use super::*;
use crate::failure::{Classified as _, Kind};
use crate::report::silent;

fn publish(output: &Path, files: &[(&str, &str)]) -> Result<PathBuf, ArtifactsError> {
    let staging = Staging::begin(output, &silent)?;
    for (name, text) in files {
        staging.write(name, text.as_bytes())?;
    }
    let artefacts = files.iter().map(|(name, _)| Ok(((*name).to_owned(), staging.digest(name)?))).collect::<Result<_, _>>()?;
    staging.publish(&artefacts, &silent)
}

fn listing(directory: &Path) -> Vec<String> {
    let mut rows: Vec<String> =
        fs_err::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    rows.sort();
    rows
}

#[test]
fn names_are_the_profile_and_the_version() {
    let names = Names::new("gpu-worker", "1.2.3~rc1").unwrap();
    assert_eq!(names.root(), "kmimage-gpu-worker-1.2.3~rc1-amd64.root.squashfs");
    for version in ["", "../x", "-1", "a b", ".x"] {
        assert_eq!(
            Names::new("base", version).unwrap_err().to_string(),
            format!(
                "`{version}` can't be an image version: only letters, digits and . _ + ~ - are allowed, and it begins with a letter or digit"
            )
        );
    }
}

#[test]
fn names_of_builds_are_told() {
    let names = Names::new("base", "1.0").unwrap();
    for name in [names.raw(), names.qcow2(), names.root(), names.uki(), names.manifest(), names.files(), names.spdx()] {
        assert!(Names::is_built(&name), "{name}");
    }
    for name in ["kmimage-notes.json", "thesis-amd64.raw", "kmimage-base-1-amd64.txt"] {
        assert!(!Names::is_built(name), "{name}");
    }
}

#[test]
fn a_mount_point_is_refused_at_once() {
    let error = check_output(Path::new("/proc")).unwrap_err();
    assert_eq!(error.to_string(), "/proc is a mount point, which can't be replaced by a finished set; nothing was changed");
    assert_eq!(error.hints(), ["Name a folder below it, as --output /proc/image."]);
    assert_eq!(error.kind(), Kind::Usage);
}

#[test]
fn a_file_kept_from_a_leftover_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("base");
    let leftover = directory.path().join(".base.kmimage-0");
    fs_err::create_dir(&leftover).unwrap();
    fs_err::write(leftover.join("thesis"), "years").unwrap();
    let said = std::sync::Mutex::new(Vec::new());
    let report = |event| said.lock().unwrap().push(event);
    drop(Staging::begin(&output, &report).unwrap());
    let text =
        "D/base.kept-0 holds files that got into D/base during a build and are not of its set; take what you need and remove it";
    let text = text.replace('D', directory.path().to_str().unwrap());
    assert_eq!(*said.lock().unwrap(), [Event::Warning(text)]);
    assert_eq!(fs_err::read_to_string(directory.path().join("base.kept-0/thesis")).unwrap(), "years");
}

#[test]
fn a_set_replaces_a_set_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out/base");
    publish(&output, &[("a.raw", "one"), ("a.json", "{}")]).unwrap();
    assert_eq!(listing(&output), ["SHA256SUMS", "a.json", "a.raw"]);
    assert_eq!(
        fs_err::read_to_string(output.join(SHA256SUMS)).unwrap(),
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a  a.json\n\
         7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed  a.raw\n"
    );
    publish(&output, &[("b.raw", "two")]).unwrap();
    assert_eq!(listing(&output), ["SHA256SUMS", "b.raw"]);
    assert_eq!(listing(output.parent().unwrap()), ["base"]);
    // An empty folder is as good as none, and a link to a folder stays one.
    let (empty, link) = (directory.path().join("empty"), directory.path().join("link"));
    fs_err::create_dir(&empty).unwrap();
    std::os::unix::fs::symlink("empty", &link).unwrap();
    publish(&link, &[("c", "")]).unwrap();
    assert_eq!(listing(&empty), ["SHA256SUMS", "c"]);
    assert!(fs_err::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_folder_with_something_else_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("base");
    publish(&output, &[("a.raw", "one")]).unwrap();
    fs_err::write(output.join("thesis.txt"), "years").unwrap();
    let check = |path: &Path, expect: &str| {
        let error = Staging::begin(path, &silent).unwrap_err();
        assert_eq!(error.to_string().replace(directory.path().to_str().unwrap(), "D"), expect);
        assert_eq!(error.kind(), Kind::Usage);
    };
    check(&output, "D/base holds thesis.txt, which its SHA256SUMS does not name; nothing was changed");
    assert_eq!(listing(&output), ["SHA256SUMS", "a.raw", "thesis.txt"]);
    check(&output.join("thesis.txt"), "D/base/thesis.txt is not a folder; nothing was changed");
    fs_err::create_dir(output.join("sub")).unwrap();
    fs_err::remove_file(output.join("thesis.txt")).unwrap();
    check(&output, "D/base holds sub, which its SHA256SUMS does not name; nothing was changed");
    assert_eq!(listing(directory.path()), ["base"]);
}

#[test]
fn what_appears_during_the_build_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("base");
    publish(&output, &[("a.raw", "one")]).unwrap();
    let staging = Staging::begin(&output, &silent).unwrap();
    fs_err::write(output.join("notes"), "mine").unwrap();
    staging.write("b.raw", b"two").unwrap();
    let artefacts = BTreeMap::from([("b.raw".to_owned(), staging.digest("b.raw").unwrap())]);
    assert!(matches!(staging.publish(&artefacts, &silent), Err(ArtifactsError::Foreign { .. })));
    assert_eq!(listing(&output), ["SHA256SUMS", "a.raw", "notes"]);
    assert_eq!(listing(directory.path()), ["base"]);
}

#[test]
fn leftovers_go_and_a_build_at_work_stays() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("base");
    let leftover = directory.path().join(".base.kmimage-7");
    fs_err::create_dir(&leftover).unwrap();
    fs_err::write(leftover.join(Names::new("base", "1").unwrap().raw()), "x").unwrap();
    fs_err::create_dir(directory.path().join(".base.kmimage-keep")).unwrap();
    let first = Staging::begin(&output, &silent).unwrap();
    let second = Staging::begin(&output, &silent).unwrap();
    assert_eq!(listing(directory.path()), [".base.kmimage-0", ".base.kmimage-1", ".base.kmimage-keep"]);
    drop(first);
    drop(second);
    assert_eq!(listing(directory.path()), [".base.kmimage-keep"]);
}
