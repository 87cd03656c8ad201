//! Packages that nobody has, and choices that nobody made.

use crate::bench::Bench;
use crate::support::mini::{Mini, package};
use crate::support::repository::Key;

fn bench(mini: Mini) -> Bench {
    let bench = Bench::with(Key::generate("Archive"), mini);
    bench.publish(&bench.repository());
    bench
}

/// A package that wants something virtual, and two that provide it.
fn virtual_package(extra: &str) -> Bench {
    let mut mini = Mini::new().with(package("mini-mail").field("Depends", "mail-transport"));
    for name in ["mini-post", "mini-send"] {
        mini.debs.push(package(name).field("Provides", "mail-transport"));
    }
    bench(mini.extra(extra))
}

/// A package that wants one of two.
fn alternatives(extra: &str) -> Bench {
    let mut mini = Mini::new().with(package("mini-mail").field("Depends", "mini-post | mini-send"));
    mini.debs.extend(["mini-post", "mini-send"].map(package));
    bench(mini.extra(extra))
}

#[test]
fn a_package_that_nobody_has() {
    let mut mini = Mini::new();
    mini.install.push("mini-progam".into());
    bench(mini).refuses(
        &[],
        5,
        "error: no repository has the package `mini-progam`, which the profile names in `packages`
  help: Similar names: mini-program.",
    );

    let mut mini = Mini::new();
    mini.install.push("something-else".into());
    bench(mini).refuses(
        &[],
        5,
        "error: no repository has the package `something-else`, which the profile names in `packages`
  help: Add the repository that has it as a `[[repository]]` of the profile.",
    );
}

#[test]
fn a_dependency_that_nobody_has() {
    let mini = Mini::new().change("mini-program", |deb| deb.field("Depends", "mini-lib (>= 1.0)"));
    bench(mini).refuses(
        &[],
        5,
        "error: nothing meets `Depends: mini-lib (>= 1.0)` of `mini-program` (wanted by mini-program)
  help: Similar names: mini-libc.
  help: Add the repository that has it as a `[[repository]]` of the profile.
  help: Or do without: an `[[absent]]` with `package = \"mini-lib\"` and a reason.",
    );
}

#[test]
fn an_ambiguous_virtual_package() {
    virtual_package("").refuses(&[], 3, "error: `Depends: mail-transport` of `mini-mail` can be met by mini-post, mini-send (wanted by mini-mail)
  help: For `Depends: mail-transport` (mini-mail) write mail-transport = \"mini-post\" below `[choose.provider]`, or another of its candidates.");
    virtual_package("[choose.provider]\nmail-transport = \"mini-post\"").builds(&[]);
}

#[test]
fn a_virtual_package_in_packages() {
    let mut bench = virtual_package("");
    bench.mini.install = vec!["linux-image-6.0-mini".into(), "mail-transport".into()];
    bench.write_profile("");
    bench.refuses(
        &[],
        5,
        "error: no repository has the package `mail-transport`, which the profile names in `packages`
  help: `mail-transport` is virtual; name one of the packages that provide it: mini-post, mini-send.",
    );
}

#[test]
fn an_unknown_provider() {
    virtual_package("[choose.provider]\nmail-transport = \"mini-pots\"").refuses(&[], 3, "error: the profile chooses `mini-pots` for `mail-transport`, but it does not meet `Depends: mail-transport` of `mini-mail`
  help: Write one of these for mail-transport below `[choose.provider]`: mini-post, mini-send.");
}

#[test]
fn ambiguous_alternatives() {
    alternatives("").refuses(&[], 3, "error: `Depends: mini-post | mini-send` of `mini-mail` can be met by mini-post, mini-send (wanted by mini-mail)
  help: For `Depends: mini-post | mini-send` (mini-mail) write \"mini-post\" in the list `alternatives` below `[choose]`, or another of its candidates.");
    alternatives("[choose]\nalternatives = [\"mini-post\"]").builds(&[]);
}

#[test]
fn an_unknown_alternative() {
    alternatives("[choose]\nalternatives = [\"mini-pots\"]").refuses(&[], 3, "error: `Depends: mini-post | mini-send` of `mini-mail` can be met by mini-post, mini-send (wanted by mini-mail)
  help: For `Depends: mini-post | mini-send` (mini-mail) write \"mini-post\" in the list `alternatives` below `[choose]`, or another of its candidates.
  help: No repository has `mini-pots`, which the profile has in `alternatives`.");
}
