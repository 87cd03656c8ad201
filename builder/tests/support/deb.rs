//! Makes .deb files, sound ones and odd ones.

use std::collections::BTreeMap;
use std::io::Write;
use tar::EntryType;

/// How the members of a .deb are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

impl Compression {
    pub fn extension(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Xz => ".xz",
            Compression::Zstd => ".zst",
        }
    }

    pub fn compress(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Compression::None => bytes.to_vec(),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Zstd => zstd::encode_all(bytes, 3).unwrap(),
        }
    }
}

/// One member of a data.tar, exactly as it is to be written: nothing is normalised, so that a test can say `../etc/passwd`.
#[derive(Debug, Clone)]
pub struct Member {
    pub path: Vec<u8>,
    pub kind: EntryType,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: u64,
    /// Target of a symbolic or hard link.
    pub link: Vec<u8>,
    pub data: Vec<u8>,
    pub xattrs: BTreeMap<String, Vec<u8>>,
    pub device: (u32, u32),
}

impl Member {
    pub fn new(path: impl AsRef<[u8]>, kind: EntryType, mode: u32) -> Self {
        Self {
            path: path.as_ref().to_vec(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: 1_700_000_000,
            link: Vec::new(),
            data: Vec::new(),
            xattrs: BTreeMap::new(),
            device: (0, 0),
        }
    }
}

/// A .deb to be.
#[derive(Debug, Clone)]
pub struct Deb {
    pub fields: Vec<(String, String)>,
    pub scripts: BTreeMap<String, Vec<u8>>,
    pub members: Vec<Member>,
    pub compression: Compression,
}

impl Deb {
    /// An empty package for amd64, packed with xz.
    pub fn new(name: &str, version: &str) -> Self {
        let fields = [
            ("Package", name),
            ("Version", version),
            ("Architecture", "amd64"),
            ("Maintainer", "Test <test@example.org>"),
            ("Description", "made by a test"),
        ];
        Self {
            fields: fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            scripts: BTreeMap::new(),
            members: Vec::new(),
            compression: Compression::Xz,
        }
    }

    /// Sets a control field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value.to_string(),
            None => self.fields.push((name.to_string(), value.to_string())),
        }
        self
    }

    pub fn get(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Adds a member of control.tar: `postinst`, `triggers`, `conffiles`, ...
    pub fn script(mut self, name: &str, text: &str) -> Self {
        self.scripts.insert(name.to_string(), text.into());
        self
    }

    /// Adds any member, as it is.
    pub fn member(mut self, member: Member) -> Self {
        self.members.push(member);
        self
    }

    /// Adds a regular file; `path` is absolute, its parent directories are added when they are missing.
    pub fn file(self, path: &str, mode: u32, data: impl AsRef<[u8]>) -> Self {
        let mut member = Member::new(format!(".{path}"), EntryType::Regular, mode);
        member.data = data.as_ref().to_vec();
        self.parents(path).member(member)
    }

    /// Adds a directory and its parents.
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.parents(path).member(Member::new(format!(".{path}/"), EntryType::Directory, mode))
    }

    /// Adds a symbolic link.
    pub fn symlink(self, path: &str, target: &str) -> Self {
        let mut member = Member::new(format!(".{path}"), EntryType::Symlink, 0o777);
        member.link = target.into();
        self.parents(path).member(member)
    }

    /// Adds a hard link to an absolute path.
    pub fn hard_link(self, path: &str, target: &str) -> Self {
        let mut member = Member::new(format!(".{path}"), EntryType::Link, 0o644);
        member.link = format!(".{target}").into();
        self.parents(path).member(member)
    }

    fn parents(mut self, path: &str) -> Self {
        for (at, _) in path.match_indices('/') {
            let directory = format!(".{}/", &path[..at]);
            if !self.members.iter().any(|member| member.path == directory.as_bytes()) {
                self.members.push(Member::new(directory, EntryType::Directory, 0o755));
            }
        }
        self
    }

    /// `name_version_arch.deb`, the epoch written as archives do.
    pub fn file_name(&self) -> String {
        let version = self.get("Version").replace(':', "%3a");
        format!("{}_{version}_{}.deb", self.get("Package"), self.get("Architecture"))
    }

    /// The paragraph of `control`.
    pub fn control(&self) -> String {
        self.fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        let mut control = vec![Member::new("./", EntryType::Directory, 0o755)];
        let mut text = Member::new("./control", EntryType::Regular, 0o644);
        text.data = self.control().into();
        control.push(text);
        for (name, data) in &self.scripts {
            let mut script = Member::new(format!("./{name}"), EntryType::Regular, 0o755);
            script.data.clone_from(data);
            control.push(script);
        }
        let extension = self.compression.extension();
        archive(&[
            ("debian-binary".to_string(), b"2.0\n".to_vec()),
            (format!("control.tar{extension}"), self.compression.compress(&tarball(&control))),
            (format!("data.tar{extension}"), self.compression.compress(&tarball(&self.members))),
        ])
    }
}

/// An ar archive, as a .deb is one.
pub fn archive(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, data) in members {
        bytes.extend_from_slice(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", data.len()).as_bytes());
        bytes.extend_from_slice(data);
        if data.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// A tar archive in GNU format, with long names and, for attributes, pax headers.
pub fn tarball(members: &[Member]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for member in members {
        if !member.xattrs.is_empty() {
            let names: Vec<String> = member.xattrs.keys().map(|name| format!("SCHILY.xattr.{name}")).collect();
            let records = names.iter().map(String::as_str).zip(member.xattrs.values().map(Vec::as_slice));
            builder.append_pax_extensions(records).unwrap();
        }
        for (kind, text) in [(b'L', &member.path), (b'K', &member.link)] {
            if text.len() > 100 {
                let mut long = tar::Header::new_gnu();
                put(&mut long.as_gnu_mut().unwrap().name, b"././@LongLink");
                long.set_entry_type(EntryType::new(kind));
                long.set_size(text.len() as u64 + 1);
                long.set_cksum();
                builder.append(&long, [text.as_slice(), b"\0"].concat().as_slice()).unwrap();
            }
        }
        let mut header = tar::Header::new_gnu();
        let fields = header.as_gnu_mut().unwrap();
        put(&mut fields.name, &member.path);
        put(&mut fields.linkname, &member.link);
        header.set_entry_type(member.kind);
        header.set_mode(member.mode);
        header.set_uid(member.uid);
        header.set_gid(member.gid);
        header.set_mtime(member.mtime);
        header.set_size(member.data.len() as u64);
        if member.device != (0, 0) {
            header.set_device_major(member.device.0).unwrap();
            header.set_device_minor(member.device.1).unwrap();
        }
        header.set_cksum();
        builder.append(&header, member.data.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn put(field: &mut [u8], text: &[u8]) {
    let n = field.len().min(text.len());
    field[..n].copy_from_slice(&text[..n]);
}
