//! The lock's text, what is refused in one, and what locking a profile anew changes.

use super::*;

const TEXT: &str = r#"# Written by `kmimage lock`: every package of every profile, exactly. Keep it in version control; do not edit.
version = 1

[profile.base]
date = "2026-11-20T08:12:33Z"
request = "1111111111111111111111111111111111111111111111111111111111111111"
kernel = "linux-image-6.12"
releases = { "debian trixie" = "2026-11-20T08:12:33Z", "debian trixie-updates" = "2026-11-19T00:00:00Z", kubernetes = "2026-11-19T00:00:00Z" }
packages = [
    { package = "libc6=2.41-12", repository = "debian", needed-by = "linux-image-6.12", relation = "Pre-Depends: libc6 (>= 2.34)" },
    { package = "linux-image-6.12=6.12.1-1", repository = "debian" },
]
boot = [
    { package = "systemd-boot-efi=257.13-1~deb13u1", repository = "debian" },
]

[profile.small]
date = "2026-11-19T00:00:00Z"
request = "2222222222222222222222222222222222222222222222222222222222222222"
releases = {}
packages = [
    { package = "libc6=2.41-12", repository = "debian" },
]
boot = []

[[package]]
repository = "debian"
name = "libc6"
version = "2.41-12"
architecture = "amd64"
source = "glibc=2.41-12"
path = "pool/main/g/glibc/libc6_2.41-12_amd64.deb"
size = 2846580
sha256 = "3333333333333333333333333333333333333333333333333333333333333333"
scripts.postinst = "4444444444444444444444444444444444444444444444444444444444444444"
scripts.preinst = "5555555555555555555555555555555555555555555555555555555555555555"

[[package]]
repository = "debian"
name = "linux-image-6.12"
version = "6.12.1-1"
architecture = "amd64"
source = "linux-signed-amd64=6.12.1+1"
path = "pool/main/l/linux.deb"
size = 1
sha256 = "6666666666666666666666666666666666666666666666666666666666666666"

[[package]]
repository = "debian"
name = "systemd-boot-efi"
version = "257.13-1~deb13u1"
architecture = "amd64"
source = "systemd=257.13-1~deb13u1"
path = "pool/main/s/systemd.deb"
size = 2
sha256 = "7777777777777777777777777777777777777777777777777777777777777777"
"#;

fn lock() -> Lock {
    decode("kmimage.lock", TEXT.as_bytes()).unwrap()
}

#[test]
fn a_repository_has_the_date_of_its_own_newest_release() {
    let lock = decode("x", TEXT.as_bytes()).unwrap();
    let dates = |profile: &str, repository| lock.profiles[profile].date_of(repository).to_string();
    assert_eq!(dates("base", "debian"), "2026-11-20T08:12:33Z");
    assert_eq!(dates("base", "kubernetes"), "2026-11-19T00:00:00Z");
    // A directory of .deb files has no Release.
    assert_eq!((dates("base", "own"), dates("small", "debian")), ("2026-11-20T08:12:33Z".into(), "2026-11-19T00:00:00Z".into()));
}

#[test]
fn text_and_value_are_one() {
    assert_eq!(encode(&lock()), TEXT);
    assert_eq!(decode("x", encode(&Lock::default()).as_bytes()).unwrap(), Lock::default());
    let names = |packages: Option<Vec<LockedPackage>>| {
        packages.map(|all| all.into_iter().map(|package| package.name).collect::<Vec<_>>())
    };
    assert_eq!(names(lock().packages_of("base")).unwrap(), ["libc6", "linux-image-6.12"]);
    assert_eq!(names(lock().boot_packages_of("base")).unwrap(), ["systemd-boot-efi"]);
    assert_eq!(names(lock().packages_of("other")), None);
}

#[test]
fn odd_names_survive() {
    let mut lock = lock();
    let mut package = lock.packages.values().next().unwrap().clone();
    package.repository = "a \"b\\\u{7}ä".to_owned();
    let mut profile = lock.profiles["small"].clone();
    profile.packages.get_mut("libc6").unwrap().repository = package.repository.clone();
    profile.releases.insert(package.repository.clone(), profile.date);
    lock.packages.insert(package.key(), package);
    lock.profiles.insert("x.y \"".to_owned(), profile);
    assert_eq!(decode("x", encode(&lock).as_bytes()).unwrap(), lock);
}

#[test]
fn what_is_no_lock_is_refused_where_it_stands() {
    for (from, to, expect) in [
        ("version = 1", "version = 2\nnew = 1", (2, "a lock of format 2, and this kmimage reads 1")),
        ("name = \"libc6\"", "name = \"../libc6\"", (28, "not a package name (letters, digits, `+ - . _`)")),
        ("path = \"pool/main/g", "path = \"/pool/main/g", (32, "not a path inside the repository")),
        ("sha256 = \"33", "sha256 = \"3", (34, "not a SHA-256 digest (64 hexadecimal digits)")),
        ("scripts.preinst = \"55", "scripts.preinst = \"5x", (36, "not a SHA-256 digest (64 hexadecimal digits)")),
        ("date = \"2026", "date = \"26", (5, "not a time such as 2026-11-20T08:12:33Z")),
        ("kernel = \"linux", "kernel = \"x", (7, "the kernel is not among the packages")),
        ("{ package = \"libc6=2.41-12\"", "{ package = \"libc6\"", (10, "a package is written `name=version`")),
        ("{ package = \"libc6=2.41-12\"", "{ package = \"libc6=2\"", (10, "no `[[package]]` is libc6 2 of debian")),
        (", relation = \"Pre-Depends: libc6 (>= 2.34)\"", "", (10, "`needed-by` and `relation` come together")),
        ("linux-image-6.12=6.12.1-1", "libc6=2.41-12", (11, "libc6 is here twice")),
        (
            "version = \"2.41-12\"",
            "version = \"2.41 12\"",
            (29, "version `2.41 12`: ` ` is not allowed in an upstream version (letters, digits, `. + - ~`)"),
        ),
        ("source = \"glibc=", "source = \"", (31, "a source package is written `name=version`")),
    ] {
        let text = TEXT.replacen(from, to, 1);
        assert_ne!(text, TEXT, "{from}");
        match decode("kmimage.lock", text.as_bytes()) {
            Err(LockError::Text(error)) => assert_eq!((error.line, error.message.as_str()), expect),
            other => panic!("{from}: {other:?}"),
        }
    }
    let error = decode("kmimage.lock", TEXT.replace("size = 2846580", "sise = 1").as_bytes()).unwrap_err().to_string();
    assert!(error.contains("kmimage.lock:33") && error.contains('^') && error.contains("`size`"), "{error}");
    let twice = format!("{TEXT}{}", &TEXT[TEXT.rfind("\n[[package]]").unwrap()..]);
    let error = decode("kmimage.lock", twice.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("systemd-boot-efi 257.13-1~deb13u1 of debian is here twice"), "{error}");
}

/// The `small` profile with libc6 in another version, as a new locking would give it.
fn moved(version: &str) -> (LockedProfile, LockedPackage) {
    let lock = lock();
    let mut package = lock.packages_of("small").unwrap().remove(0);
    package.version = version.to_owned();
    let mut profile = lock.profiles["small"].clone();
    profile.packages.get_mut("libc6").unwrap().version = version.to_owned();
    profile.date = "2026-12-01T00:00:00Z".parse().unwrap();
    (profile, package)
}

fn lines(old: &Lock, new: &Lock, profile: &str) -> Vec<String> {
    diff(old, new, profile).iter().map(Change::to_string).collect()
}

#[test]
fn locking_a_profile_touches_no_other() {
    let (profile, mut package) = moved("2.42-1");
    package.sha256 = Sha256Digest::of(b"new");
    package.scripts.insert("prerm".to_owned(), Sha256Digest::of(b"script"));
    package.scripts.remove("preinst");
    let new = lock().with_profile("small", profile, [package]).unwrap();
    assert_eq!(new.profiles["base"], lock().profiles["base"]);
    assert_eq!(lines(&lock(), &new, "base"), [""; 0]);
    assert_eq!(lines(&lock(), &new, "small"), ["  libc6 2.41-12 -> 2.42-1 (debian); scripts differ: preinst, prerm"]);
    assert_eq!(new.packages.len(), 4, "base still has the old one");
    assert_eq!(new.profiles["small"].date.to_string(), "2026-12-01T00:00:00Z");
    let json = serde_json::to_string(&diff(&lock(), &new, "small")).unwrap();
    assert!(
        json.starts_with(r#"[{"name":"libc6","boot":false,"from":{"version":"2.41-12","repository":"debian","sha256":"3333"#),
        "{json}"
    );
    // A package that nobody takes any more goes.
    let mut alone = lock();
    alone.profiles.remove("base");
    let (profile, package) = moved("2.42-1");
    let new = alone.with_profile("small", profile, [package]).unwrap();
    assert_eq!(new.packages.len(), 1);
    assert_eq!(decode("x", encode(&new).as_bytes()).unwrap(), new);
}

#[test]
fn locking_without_a_change_changes_nothing() {
    let (profile, package) = moved("2.41-12");
    let new = lock().with_profile("small", profile.clone(), [package.clone()]).unwrap();
    assert_eq!(encode(&new), TEXT);
    // Another request that comes to the same packages is noted, with the old date.
    let profile = LockedProfile { request: Sha256Digest::of(b"other"), ..profile };
    let new = lock().with_profile("small", profile.clone(), [package]).unwrap();
    assert_eq!(new.profiles["small"].request, profile.request);
    assert_eq!(new.profiles["small"].date, lock().profiles["small"].date);
}

#[test]
fn changes_read_well() {
    let (mut profile, mut package) = moved("2.41-12");
    profile.packages.get_mut("libc6").unwrap().repository = "mine".to_owned();
    package.repository = "mine".to_owned();
    let new = lock().with_profile("small", profile.clone(), [package.clone()]).unwrap();
    assert_eq!(lines(&lock(), &new, "small"), ["  libc6 2.41-12 (debian) -> 2.41-12 (mine)"]);
    let rebuilt = LockedPackage { sha256: Sha256Digest::of(b"x"), ..package };
    let newer = new.with_profile("small", profile.clone(), [rebuilt]).unwrap();
    assert_eq!(lines(&new, &newer, "small"), ["  libc6 2.41-12 -> 2.41-12 (mine, other bytes)"]);
    assert_eq!(
        lines(&Lock::default(), &lock(), "base"),
        [
            "+ libc6 2.41-12 (debian)",
            "+ linux-image-6.12 6.12.1-1 (debian)",
            "+ systemd-boot-efi 257.13-1~deb13u1 (debian) [boot]"
        ]
    );
    assert_eq!(lines(&lock(), &Lock::default(), "small"), ["- libc6 2.41-12 (debian)"]);
}

#[test]
fn one_version_is_one_file() {
    let (profile, package) = moved("2.41-12");
    let package = LockedPackage { sha256: Sha256Digest::of(b"x"), ..package };
    assert_eq!(
        lock().with_profile("small", profile, [package]).unwrap_err().to_string(),
        "libc6 2.41-12 of the repository `debian` is locked for the profile `base`, and now the repository offers other bytes as that version"
    );
}

#[test]
fn what_is_not_updated_is_held() {
    let held = |update: &[&str]| {
        let update: Vec<_> = update.iter().map(|name| (*name).to_owned()).collect();
        let held = lock().held("base", &update).map_err(|error| error.to_string())?;
        Ok::<_, String>(held.into_iter().map(|package| package.name).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(held(&["libc6"]).unwrap(), "linux-image-6.12 systemd-boot-efi");
    assert_eq!(held(&["systemd-boot-efi"]).unwrap(), "libc6 linux-image-6.12");
    assert_eq!(held(&["libc7"]).unwrap_err(), "the lock of the profile `base` has no package `libc7`; did you mean `libc6`?");
    assert_eq!(lock().held("new", &["x".to_owned()]).unwrap(), []);
}

#[test]
fn files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kmimage.lock");
    assert_eq!(read(&path).unwrap(), None);
    assert!(write(&path, &lock()).unwrap());
    assert!(!write(&path, &lock()).unwrap(), "nothing to write");
    assert_eq!(read(&path).unwrap(), Some(lock()));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing left beside it");
    let error = write(&directory.path().join("no/kmimage.lock"), &lock()).unwrap_err();
    assert!(error.to_string().starts_with("cannot write the lock /"), "{error}");
}
