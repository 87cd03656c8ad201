//! The closure on small worlds: what comes in, in which words it refuses, and that the order of an index changes nothing.
//! (apt's own answers to such worlds are in `tests/tools_closure.rs`.)

use super::*;
use crate::failure::Classified;
use crate::profile::{Choices, Layout, Location, Repository, Source, Trust, Versions};
use crate::resolve::packages;

/// A world is a line per package, `name version; Field: value; ...`; a line `@name` begins the next repository.
fn texts(world: &str) -> Vec<(String, String)> {
    let mut texts = vec![("debian".to_owned(), String::new())];
    for line in world.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix('@') {
            texts.push((name.to_owned(), String::new()));
            continue;
        }
        let mut parts = line.split(';').map(str::trim);
        let (name, version) = parts.next().and_then(|head| head.split_once(' ')).unwrap();
        let fields: String = parts.map(|field| format!("{field}\n")).collect();
        let architecture = if fields.contains("Architecture:") { "" } else { "Architecture: amd64\n" };
        let (repository, text) = texts.last_mut().unwrap();
        let digest = crate::hash::Sha256Digest::of(format!("{repository} {line}").as_bytes());
        let digest = if fields.contains("SHA256:") { String::new() } else { format!("SHA256: {digest}\n") };
        *text += &format!(
            "Package: {name}\nVersion: {version}\n{architecture}{fields}Filename: p/{name}_{version}.deb\nSize: 1\n{digest}\n"
        );
    }
    texts
}

/// `a b` wanted; then per line `absent x`, `provider v p`, `alternative x`, `repository p r`, `kernel k`, `boot b`.
fn request(wish: &str) -> Request {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut lines = wish.lines().map(words);
    let mut request = Request {
        architecture: "amd64".to_owned(),
        packages: lines.next().unwrap_or_default().into_iter().collect(),
        boot: BTreeSet::new(),
        absent: BTreeMap::new(),
        choices: Choices::default(),
        kernel: None,
        repositories: Vec::new(),
        versions: Versions::default(),
    };
    for line in lines {
        match line.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["absent", name] => drop(request.absent.insert(name.to_owned(), "not needed".to_owned())),
            ["provider", name, provider] => drop(request.choices.providers.insert(name.to_owned(), provider.to_owned())),
            ["alternative", name] => drop(request.choices.alternatives.insert(name.to_owned())),
            ["repository", name, repository] => drop(request.choices.repositories.insert(name.to_owned(), repository.to_owned())),
            ["kernel", name] => request.kernel = Some(name.to_owned()),
            ["boot", name] => drop(request.boot.insert(name.to_owned())),
            ref other => panic!("{other:?}"),
        }
    }
    request
}

fn run(wish: &str, world: &str) -> Result<Closure, ResolveError> {
    run_held(wish, world, "")
}

/// `held` is a world, too: its packages keep their version.
fn run_held(wish: &str, world: &str, held: &str) -> Result<Closure, ResolveError> {
    let texts = texts(world);
    let mut repositories = Vec::new();
    for (name, text) in &texts {
        repositories.push(RepositoryPackages { repository: name, packages: packages::parse(text).unwrap() });
    }
    let held_texts = self::texts(held);
    let held = packages::parse(&held_texts[0].1).unwrap();
    let held = held.into_iter().map(|package| (package.name.to_owned(), ("debian".to_owned(), package))).collect();
    let forward = closure(&repositories, &request(wish), &held);
    for repository in &mut repositories {
        repository.packages.reverse();
    }
    assert_eq!(closure(&repositories, &request(wish), &held), forward, "the order of the index matters in {world}");
    forward
}

fn listed(closure: &Closure) -> String {
    closure.packages.iter().map(|(name, selected)| format!("{name}={}", selected.package.version)).collect::<Vec<_>>().join(" ")
}

#[test]
fn closures() {
    for (wish, world, expect) in [
        ("a", "a 1; Depends: b\nb 1; Pre-Depends: c\nc 1; Recommends: d\nd 1", "a=1 b=1 c=1"),
        // The highest version; other machines' packages are not seen.
        ("a", "a 1\na 2; Architecture: all\na 3; Architecture: arm64", "a=2"),
        // Cycles end.
        ("a", "a 1; Depends: b\nb 1; Depends: a", "a=1 b=1"),
        // An alternative: what is there anyway, wherever it comes from.
        ("a", "a 1; Depends: b | c, d\nb 1\nc 1\nd 1; Depends: c", "a=1 c=1 d=1"),
        ("a c", "a 1; Depends: b | c\nb 1\nc 1", "a=1 c=1"),
        // The only one that fits.
        ("a", "a 1; Depends: b (>= 2) | c\nb 1\nc 1", "a=1 c=1"),
        ("a", "a 1; Depends: b | nobody\nb 1\nother 1; Provides: b", "a=1 b=1"),
        // What the profile chose, even beside one that is there.
        ("a c\nalternative b", "a 1; Depends: c | b\nb 1\nc 1", "a=1 b=1 c=1"),
        ("a\nprovider v c", "a 1; Depends: v\nb 1; Provides: v\nc 1; Provides: v", "a=1 c=1"),
        ("a\nprovider v c", "a 1; Depends: x | v\nx 1\nb 1; Provides: v\nc 1; Provides: v", "a=1 c=1"),
        // A virtual name with one provider is no choice; with a version only versioned Provides count.
        ("a", "a 1; Depends: v\nb 1; Provides: v", "a=1 b=1"),
        ("a", "a 1; Depends: v (>= 2)\nb 3; Provides: v\nc 1; Provides: v (= 2)\nd 1; Provides: v (= 1)", "a=1 c=1"),
        // A real package is what a plain name means, unless a provider is there.
        ("a", "a 1; Depends: r\nr 1\no 1; Provides: r", "a=1 r=1"),
        ("a", "a 1; Depends: r, b\nr 1\nb 1; Depends: o\no 1; Provides: r; Conflicts: r", "a=1 b=1 o=1"),
        // Absent names, real or virtual, and what an absent package provides.
        ("a\nabsent b", "a 1; Depends: b (>= 9)\nb 1; Depends: c\nc 1", "a=1"),
        ("a\nabsent nowhere", "a 1; Depends: nowhere", "a=1"),
        ("a\nabsent b", "a 1; Depends: v | c\nb 1; Provides: v\nc 1", "a=1"),
        ("a\nabsent b", "a 1; Depends: v\nb 1; Provides: v\nc 1; Provides: v", "a=1"),
        ("a\nabsent b", "a 1; Conflicts: b\nb 1", "a=1"),
        // Architecture qualifiers.
        ("a", "a 1; Depends: b:any, c:amd64\nb 1; Multi-Arch: allowed\nc 1", "a=1 b=1 c=1"),
        // A package does not exclude itself, and a bound that does not hold excludes nobody.
        ("a b", "a 1; Conflicts: v; Provides: v\nb 1; Provides: w (= 1)\nc 1; Breaks: w (>> 1)", "a=1 b=1"),
        ("a", "a 1; Depends:\n b 1", "a=1"),
    ] {
        let closure = run(wish, world).unwrap_or_else(|error| panic!("{world}: {error}"));
        assert_eq!(listed(&closure), expect, "{wish}: {world}");
    }
}

#[test]
fn refusals() {
    for (wish, world, expect, hints) in [
        (
            "e2fsprog",
            "e2fsprogs 1\nf2fs-tools 1",
            "no repository has the package `e2fsprog`, which the profile names in `packages`",
            &["Similar names: e2fsprogs."][..],
        ),
        (
            "awk",
            "mawk 1; Provides: awk\ngawk 1; Provides: awk",
            "no repository has the package `awk`, which the profile names in `packages`",
            &["`awk` is virtual; name one of the packages that provide it: gawk, mawk.", "Similar names: gawk, mawk."],
        ),
        (
            "a\nboot stub",
            "a 1",
            "no repository has the package `stub`, which the profile names in `packages` below `[boot]`",
            &["Add the repository that has it as a `[[repository]]` of the profile."],
        ),
        (
            "base",
            "base 1; Depends: e2fsprogs\ne2fsprogs 1; Depends: libfoo (>= 2)\nlibfoo 1",
            "nothing meets `Depends: libfoo (>= 2)` of `e2fsprogs`; there is libfoo 1 (debian) (wanted by base -> e2fsprogs)",
            &[
                "Add the repository that has it as a `[[repository]]` of the profile.",
                "Or do without: an `[[absent]]` with `package = \"libfoo\"` and a reason.",
            ],
        ),
        (
            "a",
            "a 1; Pre-Depends: libfo\nlibfoo 1",
            "nothing meets `Pre-Depends: libfo` of `a` (wanted by a)",
            &[
                "Similar names: libfoo.",
                "Add the repository that has it as a `[[repository]]` of the profile.",
                "Or do without: an `[[absent]]` with `package = \"libfo\"` and a reason.",
            ],
        ),
        (
            "a",
            "a 1; Depends: b | c\nb 1\nc 1",
            "`Depends: b | c` of `a` can be met by b, c (wanted by a)",
            &["For `Depends: b | c` (a) write \"b\" in the list `alternatives` below `[choose]`, or another of its candidates."],
        ),
        (
            "x",
            "x 1; Depends: a\na 1; Depends: v.1, b | c\nb 1; Provides: v.1\nc 1; Provides: v.1",
            "`Depends: b | c` of `a` can be met by b, c (wanted by x -> a); 1 more like this",
            &[
                "For `Depends: b | c` (x -> a) write \"b\" in the list `alternatives` below `[choose]`, or another of its candidates.",
                "For `Depends: v.1` (x -> a) write \"v.1\" = \"b\" below `[choose.provider]`, or another of its candidates.",
            ],
        ),
        (
            "a",
            "a 1\n@other\na 2",
            "the package `a` is offered more than once: a 1 (debian), a 2 (other)",
            &["Write a = \"debian\" below `[choose.repository]`, or another of them."],
        ),
        (
            "x",
            "x 1; Depends: a\na 1\n@other\na 1",
            "the package `a` is offered more than once: a 1 (debian), a 1 (other) (wanted by x -> a)",
            &["Write a = \"debian\" below `[choose.repository]`, or another of them."],
        ),
        (
            "x\nrepository a third",
            "x 1; Depends: a\na 1\n@third\nb 1",
            "the profile takes `a` from the repository `third`, which does not offer it",
            &["Correct `[choose.repository]`: a is offered as a 1 (debian)."],
        ),
        (
            "a\nalternative gone\nalternative libfo",
            "a 1; Depends: libfoo\nlibfoo 1\n@other\ngone 1",
            "no repository has the package `libfo`, which the profile names in `alternatives` below `[choose]`",
            &["Similar names: libfoo."],
        ),
        (
            "a\nprovider v x",
            "a 1; Depends: v\nx 1\nb 1; Provides: v",
            "the profile chooses `x` for `v`, but it does not meet `Depends: v` of `a`",
            &["Write one of these for v below `[choose.provider]`: b."],
        ),
        (
            "a",
            "a 1; Depends: b, c\nb 2\nc 1; Breaks: b (<< 3)",
            "`c` and `b` exclude each other: c has `Breaks: b (<< 3)`, and b is version 2 (wanted by a -> c and by a -> b)",
            &["Leave one out: of c and b, what brings it in can be chosen or declared `[[absent]]`."],
        ),
        (
            "a b",
            "a 1; Conflicts: v; Provides: v\nb 1; Provides: v",
            "`a` and `b` exclude each other: a has `Conflicts: v`, and b is version 1 (wanted by a and by b)",
            &["Leave one out: of a and b, what brings it in can be chosen or declared `[[absent]]`."],
        ),
        (
            "a\nabsent a",
            "a 1",
            "the profile names the package `a` and declares it absent as well",
            &["Take `a` out of `packages`, or remove its `[[absent]]`."],
        ),
        (
            "linux-image-1-amd64 linux-image-2-amd64",
            "linux-image-1-amd64 1\nlinux-image-2-amd64 1",
            "an image has one kernel, but these are here: linux-image-1-amd64, linux-image-2-amd64",
            &["Name the one to use: `package = \"...\"` below `[kernel]`, and no other linux-image in `packages`."],
        ),
        (
            "a",
            "a 1; Depends: b (1)\nb 1",
            "the field `Depends` of `a 1 (debian)` cannot be read",
            &["The repository `debian` publishes it so: tell those who run it."],
        ),
    ] {
        let error = run(wish, world).map(|closure| listed(&closure)).unwrap_err();
        assert_eq!(error.to_string(), expect, "{wish}: {world}");
        assert_eq!(error.hints(), hints, "{wish}: {world}");
    }
}

#[test]
fn kernels_and_boot_inputs() {
    let world = "linux-image-amd64 2; Depends: linux-image-6.2-amd64 (= 2)
        linux-image-6.2-amd64 2; Depends: linux-base
        linux-image-6.1-amd64 1; Depends: linux-base
        linux-base 1
        stub 1; Depends: shell
        shell 1
        c 1";
    let closure = run("linux-image-amd64\nboot stub", world).unwrap();
    assert_eq!(listed(&closure), "linux-base=1 linux-image-6.2-amd64=2 linux-image-amd64=2");
    assert_eq!(closure.kernel.as_deref(), Some("linux-image-6.2-amd64"));
    assert_eq!(closure.boot.keys().collect::<Vec<_>>(), ["stub"]);
    let closure = run("linux-image-amd64\nkernel linux-image-6.1-amd64", world).unwrap();
    assert_eq!(listed(&closure), "linux-base=1 linux-image-6.1-amd64=1 linux-image-amd64=2");
    assert_eq!(closure.kernel.as_deref(), Some("linux-image-6.1-amd64"));
    assert_eq!(run("c", world).unwrap().kernel, None);
}

#[test]
fn reasons_are_kept() {
    let closure = run(
        "a\nabsent x\nabsent y",
        "a 1; Depends: b (>= 1),\tc | d, x\nb 1; Source: s (7)\nc 1\nd 1; Provides: e\nf 1; Pre-Depends: d\n",
    )
    .map_err(|error| error.to_string());
    assert_eq!(closure.unwrap_err(), "`Depends: c | d` of `a` can be met by c, d (wanted by a)");
    let closure =
        run("a f\nabsent x\nabsent y", "a 1; Depends: b (>=\t1), c | d, x\nb 1; Source: s (7)\nc 1\nd 1\nf 1; Pre-Depends: d\n")
            .unwrap();
    let because = |name: &str| closure.packages[name].because.clone().map(|b| format!("{}: {}", b.package, b.relation));
    assert_eq!(because("a"), None);
    assert_eq!(because("b").as_deref(), Some("a: Depends: b (>= 1)"));
    assert_eq!(because("d").as_deref(), Some("f: Pre-Depends: d"));
    assert_eq!(closure.unused_absent, ["y"]);
    let b = &closure.packages["b"].package;
    assert_eq!((b.source.name.as_str(), b.source.version.as_str(), b.path.as_str()), ("s", "7", "p/b_1.deb"));
}

#[test]
fn the_same_bytes_from_two_repositories_are_one_package() {
    let digest = "0".repeat(64);
    let closure = run("a", &format!("a 1; SHA256: {digest}\n@export\na 1; SHA256: {digest}")).unwrap();
    assert_eq!(closure.packages["a"].package.repository, "debian");
}

#[test]
fn a_chosen_repository_wins() {
    let closure = run("a\nrepository a other", "a 9\n@other\na 2").unwrap();
    assert_eq!(listed(&closure), "a=2");
    assert_eq!(closure.packages["a"].package.repository, "other");
}

#[test]
fn held_packages_move_only_when_they_must() {
    let world = "a 2; Depends: b (>= 1)\nb 2\nc 2; Depends: d (= 2)\nd 2; Breaks: e (<< 2)\ne 2\nf 2";
    for (held, expect) in [
        ("", "a=2 b=2 c=2 d=2 e=2 f=2"),
        ("b 1\nf 1", "a=2 b=1 c=2 d=2 e=2 f=1"),
        // c is free and wants the new d, which breaks the old e: both move; f stays.
        ("d 1\ne 1\nf 1", "a=2 b=2 c=2 d=2 e=2 f=1"),
        // An old c wants the old d; both are held, so both stay.
        ("c 1; Depends: d (= 1)\nd 1", "a=2 b=2 c=1 d=1 e=2 f=2"),
        // Only c is held, and d is free: c has to move along.
        ("c 1; Depends: d (= 1)", "a=2 b=2 c=2 d=2 e=2 f=2"),
    ] {
        let closure = run_held("a c e f", world, held).unwrap_or_else(|error| panic!("{held}: {error}"));
        assert_eq!(listed(&closure), expect, "{held}");
    }
}

#[test]
fn origins_are_told_apart_by_trust() {
    let repository = |name: &str, location: Location, fingerprint: &str| Repository {
        name: name.to_owned(),
        source: Source::Signed {
            location,
            layout: Layout::Flat,
            trust: Trust::Pinned { fingerprint: fingerprint.to_owned(), key_uri: String::new() },
        },
        snapshot: None,
    };
    let uris = || Location::Uris(vec!["http://example.org".to_owned()]);
    let repositories = [
        repository("debian", Location::DebianMirror, "A"),
        repository("crio", uris(), "B"),
        repository("security", Location::DebianSecurityMirror, "C"),
        repository("kubernetes", uris(), "B"),
        Repository { name: "local".to_owned(), source: Source::Directory("x".into()), snapshot: None },
        Repository { name: "more".to_owned(), source: Source::Directory("x".into()), snapshot: None },
    ];
    assert_eq!(super::super::origins(&repositories), [0, 1, 0, 1, 4, 5]);
}
