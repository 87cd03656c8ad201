//! The closure judged by apt: the same index, the same wishes, the same packages.
//!
//! Every test runs apt-get in a state directory of its own with an empty dpkg status, simulating, so nothing of the host is read or
//! changed. What the profile declares absent is met for apt by empty generated packages, preferred for their higher version.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]
#![expect(clippy::disallowed_methods, reason = "the judge is an external program")]

use kmimage::profile::Choices;
use kmimage::resolve::{Closure, Held, RepositoryPackages, Request, ResolveError, closure, packages};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A private apt, with the sources it was given.
struct Apt {
    directory: tempfile::TempDir,
}

impl Apt {
    /// `sources` in the one-line format.
    fn new(sources: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let apt = Self { directory };
        for folder in [
            "etc/apt/preferences.d",
            "etc/apt/apt.conf.d",
            "etc/apt/trusted.gpg.d",
            "state/lists/partial",
            "cache/archives/partial",
            "empty",
        ] {
            fs::create_dir_all(apt.path(folder)).unwrap();
        }
        fs::write(apt.path("status"), "").unwrap();
        fs::write(apt.path("empty/Packages"), "").unwrap();
        let empty = apt.path("empty");
        fs::write(apt.path("etc/apt/sources.list"), format!("{sources}\ndeb [trusted=yes] file:{} ./\n", empty.display()))
            .unwrap();
        apt
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// Adds packages that have a name, a version, perhaps Provides, and nothing else.
    fn add_empty(&self, packages: &[(String, String, String)]) {
        let records = packages.iter().map(|(name, version, provides)| {
            let provides = if provides.is_empty() { String::new() } else { format!("Provides: {provides}\n") };
            format!(
                "Package: {name}\nVersion: {version}+empty\nArchitecture: all\nMulti-Arch: foreign\n{provides}{}",
                file_fields(name)
            )
        });
        fs::write(self.path("empty/Packages"), records.collect::<Vec<_>>().join("\n")).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let root = self.directory.path().display();
        let options = [
            format!("Dir={root}"),
            format!("Dir::State={root}/state"),
            format!("Dir::State::status={root}/status"),
            format!("Dir::Cache={root}/cache"),
            format!("Dir::Etc={root}/etc/apt"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures::=amd64".to_owned(),
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::GzipIndexes=false".to_owned(),
        ];
        let mut command = Command::new("apt-get");
        // The host's own apt configuration is of no interest, its proxy aside, which comes by the environment.
        command.env("APT_CONFIG", "/dev/null").env("LC_ALL", "C").args(["-q", "-y"]);
        for option in &options {
            command.args(["-o", option]);
        }
        let output = command.args(arguments).output().expect("apt-get is needed to judge the closure (Debian package apt)");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(text) } else { Err(text) }
    }

    fn update(&self) {
        let text = self.run(&["update"]).unwrap_or_else(|text| panic!("{text}"));
        assert!(!text.contains("Failed to fetch"), "{text}");
    }

    /// `name=version` of all that apt would install.
    fn install(&self, names: &[&str]) -> Result<BTreeSet<String>, String> {
        let text = self.run(&[&["-s", "--no-install-recommends", "install"], names].concat())?;
        let installed = text.lines().filter_map(|line| {
            let mut words = line.strip_prefix("Inst ")?.split(' ');
            let (name, version) = (words.next()?, words.find(|word| word.starts_with('('))?.trim_start_matches('('));
            Some(format!("{name}={version}"))
        });
        Ok(installed.collect())
    }

    /// The index that apt took from a source, by the end of its file name.
    fn list(&self, end: &str) -> String {
        let lists = fs::read_dir(self.path("state/lists")).unwrap();
        let path = lists.map(|entry| entry.unwrap().path()).find(|path| path.to_string_lossy().ends_with(end));
        fs::read_to_string(path.unwrap_or_else(|| panic!("no list {end}"))).unwrap()
    }
}

fn file_fields(name: &str) -> String {
    format!("Filename: {name}.deb\nSize: 1\nSHA256: {:064x}\n", name.len())
}

fn request(packages: &[&str]) -> Request {
    Request {
        architecture: "amd64".to_owned(),
        packages: packages.iter().map(|name| (*name).to_owned()).collect(),
        boot: BTreeSet::new(),
        absent: BTreeMap::new(),
        choices: Choices::default(),
        kernel: None,
        repositories: Vec::new(),
        versions: Default::default(),
    }
}

fn names(closure: &Closure) -> BTreeSet<String> {
    closure.packages.iter().map(|(name, selected)| format!("{name}={}", selected.package.version)).collect()
}

/// A repository of records as `name version; Field: value; ...` per line.
fn packages_text(world: &str) -> String {
    let records = world.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let mut parts = line.split(';').map(str::trim);
        let (name, version) = parts.next().and_then(|head| head.split_once(' ')).unwrap();
        let fields: Vec<_> = parts.map(|field| format!("{field}\n")).collect();
        format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\n{}{}", fields.concat(), file_fields(name))
    });
    records.collect::<Vec<_>>().join("\n")
}

fn resolve(text: &str, request: &Request) -> Result<Closure, ResolveError> {
    let packages = packages::parse(text).unwrap();
    closure(&[RepositoryPackages { repository: "test", packages }], request, &Held::new())
}

fn flat_repository(directory: &Path, text: &str) -> String {
    fs::write(directory.join("Packages"), text).unwrap();
    format!("deb [trusted=yes] file:{} ./", directory.display())
}

/// What is wanted; the world; the virtual packages chosen; the alternatives chosen (where apt would take the first).
type Case = (&'static [&'static str], &'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

#[test]
fn tools_closure_of_generated_repositories_equals_apt() {
    let cases: &[Case] = &[
        (&["a"], "a 1; Depends: b\nb 1; Pre-Depends: c\nc 1\nd 1", &[], &[]),
        (&["a"], "a 1; Depends: b (>= 2)\nb 1\nb 2\nb 10~rc1", &[], &[]),
        (&["a"], "a 1; Depends: virtual\nb 1; Provides: virtual", &[], &[]),
        (&["a"], "a 1; Depends: virtual (>= 2)\nb 1; Provides: virtual\nc 1; Provides: virtual (= 3)", &[], &[]),
        (&["a"], "a 1; Depends: b | c, c\nb 1\nc 1", &[], &["b"]),
        (&["a", "c"], "a 1; Depends: b | c\nb 1\nc 1", &[], &[]),
        (&["a"], "a 1; Depends: missing | c\nc 1", &[], &[]),
        (&["a"], "a 1; Depends: b (>= 2) | c\nb 1\nc 1", &[], &[]),
        (&["a"], "a 1; Depends: b:any\nb 1; Multi-Arch: allowed", &[], &[]),
        (&["a"], "a 1; Depends: real\nreal 1\nother 1; Provides: real", &[], &[]),
        (&["a", "other"], "a 1; Depends: real\nreal 1\nother 1; Provides: real", &[], &[]),
        (&["a", "m"], "a 1; Depends: awk\nm 1; Provides: awk\ng 1; Provides: awk", &[], &[]),
        (&["a"], "a 1; Depends: b\nb 1; Depends: c, a\nc 1; Depends: b; Recommends: d\nd 1", &[], &[]),
        (&["a"], "a 1; Depends: b | virtual\nb 1; Provides: virtual\nc 1; Provides: virtual", &[], &["b"]),
        (&["a"], "a 1; Depends: b\nb 1; Breaks: c (<< 1)\nc 2", &[], &[]),
        (&["a"], "a 1; Depends: b, c\nb 1; Breaks: c (<< 1)\nc 2", &[], &[]),
        (&["a"], "a 1; Depends: b; Essential: yes\nb 1\ne 1; Essential: yes", &[], &[]),
        (&["a"], "a 1; Depends: b:amd64\nb 1", &[], &[]),
    ];
    for (wanted, world, providers, alternatives) in cases {
        let directory = tempfile::tempdir().unwrap();
        let text = packages_text(world);
        let apt = Apt::new(&flat_repository(directory.path(), &text));
        apt.update();
        let mut request = request(wanted);
        request.choices.providers = providers.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        request.choices.alternatives = alternatives.iter().map(|name| (*name).to_owned()).collect();
        let ours = resolve(&text, &request).unwrap_or_else(|error| panic!("{world}: {error}"));
        assert_eq!(Ok(names(&ours)), apt.install(wanted), "{world}");
    }
}

#[test]
fn tools_what_apt_refuses_is_refused() {
    for (wanted, world) in [
        (&["a"][..], "a 1; Depends: missing"),
        (&["a"], "a 1; Depends: b (>= 2)\nb 1"),
        (&["a"], "a 1; Depends: b (= 1)\nb 1\nb 2"),
        (&["a"], "a 1; Depends: virtual (>= 2)\nb 3; Provides: virtual"),
        (&["a", "b"], "a 1; Conflicts: b\nb 1"),
        (&["a", "b"], "a 1; Breaks: b (<< 2)\nb 1"),
        (&["a", "b"], "a 1; Conflicts: virtual; Provides: virtual\nb 1; Provides: virtual"),
        (&["a"], "a 1; Depends: b:any\nb 1"),
        (&["a"], "a 1; Depends: b:i386\nb 1"),
        (&["missing"], "a 1"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let text = packages_text(world);
        let apt = Apt::new(&flat_repository(directory.path(), &text));
        apt.update();
        let theirs = apt.install(wanted);
        assert!(theirs.is_err(), "apt accepts {world}: {theirs:?}");
        let ours = resolve(&text, &request(wanted));
        assert!(ours.is_err(), "we accept {world}: {ours:?}");
    }
}

/// The base profile's packages on Debian stable as it is today, over the network.
#[test]
fn tools_closure_of_debian_equals_apt() {
    // The mirror that the host's own apt uses, as kmimage takes it.
    let (sources, _) = kmimage::fetch::apt_conf::read(std::path::Path::new("/"));
    let at = |ending: &str, alias: &str| {
        let found = sources.iter().find(|source| source.uri.ends_with(ending));
        found.map_or_else(|| alias.to_owned(), |source| source.uri.clone())
    };
    let debian = at("/debian", "http://ftp.debian.org/debian");
    let security = at("/debian-security", "http://security.debian.org/debian-security");
    let sources = format!(
        "deb [trusted=yes] {debian} trixie main\n\
        deb [trusted=yes] {debian} trixie-updates main\n\
        deb [trusted=yes] {security} trixie-security main\n"
    );
    let apt = Apt::new(&sources);
    apt.update();
    let lists = ["_trixie_main", "_trixie-updates_main", "_trixie-security_main"];
    let texts: Vec<_> = lists.iter().map(|name| apt.list(&format!("{name}_binary-amd64_Packages"))).collect();
    let packages: Vec<_> = texts.iter().flat_map(|text| packages::parse(text).unwrap()).collect();
    let debian = [RepositoryPackages { repository: "debian", packages }];

    let wanted = ["linux-image-amd64", "base-files", "base-passwd", "ca-certificates", "e2fsprogs", "netbase"];
    let mut request = request(&wanted);
    // What apt takes by itself: the first alternative, and mawk by its priority.
    request.choices.alternatives = ["debconf", "initramfs-tools", "systemd"].map(str::to_owned).into();
    request.choices.providers = [("awk", "mawk")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    let whole = closure(&debian, &request, &Held::new()).unwrap_or_else(|error| panic!("{error}"));
    let theirs = apt.install(&wanted).unwrap();
    assert!(theirs.len() > 40, "{theirs:?}");
    assert_eq!(names(&whole), theirs);
    assert!(whole.kernel.as_ref().is_some_and(|name| name.starts_with("linux-image-6.")), "{:?}", whole.kernel);

    request.choices = Choices::default();
    let absent = ["kmod", "initramfs-tools", "debconf", "awk", "openssl", "libdebconfclient0", "logsave"];
    request.absent = absent.map(|name| (name.to_owned(), "not needed".to_owned())).into();
    let small = closure(&debian, &request, &Held::new()).unwrap_or_else(|error| panic!("{error}"));
    let empty: Vec<_> = absent
        .iter()
        .map(|name| {
            let highest = debian[0].packages.iter().filter(|package| package.name == *name).max_by_key(|package| package.version);
            let version = highest.map_or("1", |package| package.version.as_str());
            let provides = highest.map_or("", |package| package.relations.provides);
            ((*name).to_owned(), version.to_owned(), provides.to_owned())
        })
        .collect();
    apt.add_empty(&empty);
    apt.update();
    let mut theirs = apt.install(&[&wanted[..], &absent[..]].concat()).unwrap();
    theirs.retain(|package| !package.ends_with("+empty"));
    assert_eq!(names(&small), theirs);
    eprintln!("closures: {} packages whole, {} with absences", whole.packages.len(), small.packages.len());
}
