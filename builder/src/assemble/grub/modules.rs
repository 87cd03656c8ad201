//! The modules of a core image: those asked for and what they need, by moddep.lst, in the order in which GRUB links them.

use super::{GrubError, GrubFiles};
use std::collections::{BTreeMap, BTreeSet};

const MODDEP: &str = "moddep.lst";

/// The names of `wanted` and of everything that they need, each after what it needs; the order is `grub-mkimage`'s.
pub(super) fn closure(files: &GrubFiles, wanted: &[&str]) -> Result<Vec<String>, GrubError> {
    let text =
        std::str::from_utf8(files.get(MODDEP)?).map_err(|_| GrubError::Damaged { name: MODDEP, fault: "it is not text" })?;
    let needs = parse(text)?;
    let (mut order, mut met) = (Vec::new(), BTreeSet::new());
    for name in wanted {
        visit(name, &needs, &mut met, &mut order);
    }
    Ok(order)
}

/// Lines of `module: needed needed...`.
fn parse(text: &str) -> Result<BTreeMap<&str, Vec<&str>>, GrubError> {
    let mut needs = BTreeMap::new();
    for line in text.lines() {
        let Some((name, list)) = line.split_once(':') else {
            return Err(GrubError::Damaged { name: MODDEP, fault: "a line has no colon" });
        };
        needs.insert(name.trim(), list.split_whitespace().collect());
    }
    Ok(needs)
}

/// Depth first without recursion, as the list may be anybody's; a module that needs itself in the end is simply met.
fn visit<'a>(name: &'a str, needs: &BTreeMap<&'a str, Vec<&'a str>>, met: &mut BTreeSet<&'a str>, order: &mut Vec<String>) {
    if !met.insert(name) {
        return;
    }
    // What is left of a module's needs. `grub-mkimage` goes through them from the last to the first, and so does `pop`.
    let left = |name: &str| needs.get(name).cloned().unwrap_or_default();
    let mut path = vec![(name, left(name))];
    while let Some((name, rest)) = path.last_mut() {
        match rest.pop() {
            Some(next) if met.insert(next) => {
                let rest = left(next);
                path.push((next, rest));
            }
            Some(_) => {}
            None => {
                order.push((*name).to_owned());
                path.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(moddep: &str, wanted: &[&str]) -> Result<Vec<String>, String> {
        let files = GrubFiles::new(BTreeMap::from([(MODDEP.to_owned(), moddep.as_bytes().to_vec())]));
        closure(&files, wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn needs_come_first_and_once() {
        let moddep = "linux: boot mmap normal\nboot:\nmmap: boot\nnormal: boot terminal\nterminal:\n";
        assert_eq!(order(moddep, &["linux", "boot"]).unwrap(), ["terminal", "boot", "normal", "mmap", "linux"]);
        assert_eq!(order(moddep, &["unlisted", "boot", "mmap"]).unwrap(), ["unlisted", "boot", "mmap"]);
    }

    #[test]
    fn odd_lists_end() {
        assert_eq!(order("a: b\nb: c\nc: a\n", &["a"]).unwrap(), ["c", "b", "a"]);
        assert_eq!(order("a: a\n", &["a"]).unwrap(), ["a"]);
        assert_eq!(order("a b\n", &["a"]).unwrap_err(), "GRUB's moddep.lst is not usable: a line has no colon");
        // Deeper than any stack.
        let chain: String = (0..100_000).map(|n| format!("m{n}: m{}\n", n + 1)).collect();
        assert_eq!(order(&chain, &["m0"]).unwrap().len(), 100_001);
    }

    #[test]
    fn a_missing_list_is_named() {
        assert_eq!(
            closure(&GrubFiles::default(), &["boot"]).unwrap_err().to_string(),
            "there is no moddep.lst among GRUB's files"
        );
    }
}
