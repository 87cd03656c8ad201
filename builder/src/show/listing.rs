//! The paths of a root image, as far as a listing tells them.

use crate::assemble::squashfs::read::{Image, Node, NodeKind, ReadError};
use crate::emit::files_tsv;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;

/// What is known of one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// The type's letter, as in `.files.tsv`, and `s` for a socket.
    #[serde(rename = "type")]
    pub kind: char,
    /// Permission bits.
    pub mode: u16,
    /// `uid:gid`.
    pub owner: String,
    /// Bytes of a regular file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256, link target or device number, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Extended attributes, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<String>,
    /// Who brought it, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// Lists the squashfs at `offset` of a file, by path (escaped as in `.files.tsv`).
pub fn of_squashfs(file: &File, offset: u64) -> Result<BTreeMap<String, FileFacts>, ReadError> {
    Ok(Image::from_file(file, offset)?.list()?.into_iter().map(of_node).collect())
}

fn of_node(node: Node) -> (String, FileFacts) {
    let (kind, content) = match &node.kind {
        NodeKind::Directory => ('d', None),
        NodeKind::File => ('f', None),
        NodeKind::Symlink(target) => ('l', Some(files_tsv::escape(target))),
        NodeKind::CharDevice { major, minor } => ('c', Some(format!("{major}:{minor}"))),
        NodeKind::BlockDevice { major, minor } => ('b', Some(format!("{major}:{minor}"))),
        NodeKind::Fifo => ('p', None),
        NodeKind::Socket => ('s', None),
    };
    let facts = FileFacts {
        kind,
        mode: node.mode,
        owner: format!("{}:{}", node.uid, node.gid),
        size: (kind == 'f').then_some(node.size),
        content,
        attributes: None,
        origin: None,
    };
    (files_tsv::escape(&node.path), facts)
}
