//! Paths in the image: bytes, absolute, normal.

use std::fmt;
use std::sync::Arc;

/// An absolute, normal path in the image, as bytes. Ordered so that a directory comes right before what it holds.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TreePath(Arc<[u8]>);

/// A path that cannot be in an image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadPath {
    /// It climbs above the root, or would after `..` is taken.
    #[error("path climbs above /")]
    Climbs,
    /// It holds a NUL byte.
    #[error("path holds a NUL byte")]
    Nul,
    /// A component longer than 255 bytes, or a path longer than 4095.
    #[error("path is too long")]
    TooLong,
}

impl TreePath {
    /// The root directory.
    pub fn root() -> Self {
        Self(Arc::from(&b"/"[..]))
    }

    /// Normalises `path` ("./usr//bin/" -> "/usr/bin"). A `..` component is refused, even where it would stay inside.
    pub fn new(path: impl AsRef<[u8]>) -> Result<Self, BadPath> {
        let path = path.as_ref();
        if path.contains(&0) {
            return Err(BadPath::Nul);
        }
        let mut normal = Vec::with_capacity(path.len() + 1);
        for component in path.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return Err(BadPath::Climbs),
                _ if component.len() > 255 => return Err(BadPath::TooLong),
                _ => {
                    normal.push(b'/');
                    normal.extend_from_slice(component);
                }
            }
        }
        if normal.len() > 4095 {
            return Err(BadPath::TooLong);
        }
        if normal.is_empty() {
            normal.push(b'/');
        }
        Ok(Self(normal.into()))
    }

    /// The path as bytes, beginning with `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// True for `/`.
    pub fn is_root(&self) -> bool {
        &*self.0 == b"/"
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        let cut = self.0.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        &self.0[cut..]
    }

    /// The directory that holds this path; none for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(0) | None => Some(Self::root()),
            Some(at) => Some(Self(self.0[..at].into())),
        }
    }

    /// This path with one or more components added (normalised as in [`TreePath::new`]).
    pub fn join(&self, rest: impl AsRef<[u8]>) -> Result<Self, BadPath> {
        let mut path = self.0.to_vec();
        path.push(b'/');
        path.extend_from_slice(rest.as_ref());
        Self::new(path)
    }

    /// True if `self` is `directory` or lies below it.
    pub fn is_under(&self, directory: &TreePath) -> bool {
        directory.is_root() || (self.0.starts_with(&directory.0) && matches!(self.0.get(directory.0.len()), None | Some(b'/')))
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // By component: "/a/b" sorts before "/a.b", so that a directory's content follows it at once.
        let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        let at = common_prefix(&self.0, &other.0);
        self.0.get(at).map(key).cmp(&other.0.get(at).map(key))
    }
}

/// How many bytes two strings have in common at their start. Paths share long beginnings: sixteen at a time are passed over.
fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    let (one_steps, other_steps) = (one.as_chunks::<16>().0, other.as_chunks::<16>().0);
    let passed = 16 * one_steps.iter().zip(other_steps).take_while(|(one, other)| one == other).count();
    let (one, other) = (one.get(passed..).unwrap_or_default(), other.get(passed..).unwrap_or_default());
    passed + one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    #[test]
    fn paths_are_normal() {
        assert_eq!(path("./usr//bin/").as_bytes(), b"/usr/bin");
        assert_eq!(path("").as_bytes(), b"/");
        assert_eq!(TreePath::new("usr/../etc"), Err(BadPath::Climbs));
        assert_eq!(TreePath::new("a\0b"), Err(BadPath::Nul));
        assert_eq!(path("/usr/bin").name(), b"bin");
        assert_eq!(path("/usr").parent(), Some(TreePath::root()));
        assert!(path("/usr/bin").is_under(&path("/usr")));
        assert!(!path("/usrbin").is_under(&path("/usr")));
    }

    #[test]
    fn order_is_by_component_wherever_the_difference_is() {
        let by_component =
            |one: &TreePath, other: &TreePath| one.as_bytes().split(|b| *b == b'/').cmp(other.as_bytes().split(|b| *b == b'/'));
        for shared in 0..40 {
            let directory = "x".repeat(shared);
            let texts = ["", "a", "a/b", "a/b/c", "a!", "a.b", "ab", "b", "a/bb", "a\u{ff}"]
                .map(|end| path(&format!("/{directory}{end}")));
            for (one, other) in texts.iter().flat_map(|one| texts.iter().map(move |other| (one, other))) {
                let expected =
                    if one.is_root() || other.is_root() { other.is_root().cmp(&one.is_root()) } else { by_component(one, other) };
                assert_eq!(one.cmp(other), expected, "{one} {other}");
            }
        }
    }
}
