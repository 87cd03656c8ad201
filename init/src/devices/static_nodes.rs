//! Device nodes of modules that are loaded when somebody opens them (`modules.devname`): /dev/net/tun, /dev/loop-control, ... .

use crate::facts::read_text;
use crate::failure::chain;
use kmimage_contract::paths;
use kmimage_sys::kernel_log::{self, Level};
use kmimage_sys::{module, node};
use std::io;
use std::path::{Component, Path};

/// A node to make.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    name: String,
    block: bool,
    major: u32,
    minor: u32,
    mode: u32,
}

/// Nodes that everybody may open, as udev's rules have it: what is behind them asks for privileges itself.
const FOR_ALL: [&str; 2] = ["net/tun", "fuse"];

/// Makes the nodes that are not there.
pub(super) fn make() {
    let path = Path::new(&paths::modules(&module::kernel_release())).join("modules.devname");
    let table = match read_text(&path) {
        Ok(table) => table,
        Err(error) => return kernel_log::write(Level::Debug, &format!("kmimage-init: {}", chain(&error))),
    };
    for node in parse(&table) {
        if let Err(error) = make_one(&node) {
            kernel_log::write(Level::Warning, &format!("kmimage-init: making /dev/{}: {error}", node.name));
        }
    }
}

fn make_one(node: &Node) -> io::Result<()> {
    let path = Path::new("/dev").join(&node.name);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match node::make(&path, node.block, node.major, node.minor, node.mode) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Lines are: module, name in /dev, `c` or `b` with major and minor number.
fn parse(table: &str) -> Vec<Node> {
    let node = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (_, name, numbers) = (words.next()?, words.next()?, words.next()?);
        let block = numbers.starts_with('b');
        let (major, minor) = numbers.strip_prefix(['b', 'c'])?.split_once(':')?;
        let inside = Path::new(name).components().all(|component| matches!(component, Component::Normal(_)));
        let mode = if FOR_ALL.contains(&name) { 0o666 } else { 0o600 };
        inside.then_some(Node { name: name.to_owned(), block, major: major.parse().ok()?, minor: minor.parse().ok()?, mode })
    };
    table.lines().filter(|line| !line.starts_with('#')).filter_map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_read_from_the_table() {
        let nodes = parse(
            "# Device nodes\ntun net/tun c10:200\nloop loop-control c10:237\nevil ../etc/x c1:1\nodd x d1:1\nx y b1:z\nb disk b8:1\n",
        );
        let texts: Vec<String> = nodes
            .iter()
            .map(|node| format!("{} {} {}:{} {:o}", node.name, node.block, node.major, node.minor, node.mode))
            .collect();
        assert_eq!(texts, ["net/tun false 10:200 666", "loop-control false 10:237 600", "disk true 8:1 600"]);
    }
}
