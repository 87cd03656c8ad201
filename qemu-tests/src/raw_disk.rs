//! A raw disk of a test's own, whose ESP mtools, dosfstools and grub-editenv read and change.

use crate::disk::{Partition, extract, partitions};
use crate::foreign::{program, run};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A raw disk; it goes with this value.
#[derive(Debug)]
pub struct RawDisk {
    folder: TempDir,
    path: PathBuf,
    esp: Partition,
}

impl RawDisk {
    /// A copy of an image.
    ///
    /// # Panics
    /// On any failure, as all of these.
    pub fn of(image: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk.raw");
        run(program("cp").arg("--sparse=always").arg(image).arg(&path));
        let esp = partitions(&path).into_iter().find(|partition| partition.name == "esp").expect("an ESP");
        Self { folder, path, esp }
    }

    /// The disk.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file beside the disk.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs one of mtools over the ESP.
    pub fn mtools(&self, tool: &str, arguments: &[&str]) -> String {
        let mut volume = OsString::from(&self.path);
        volume.push(format!("@@{}", self.esp.offset));
        run(program(tool).env("MTOOLS_SKIP_CHECK", "1").arg("-i").arg(volume).args(arguments))
    }

    /// Puts a file on the ESP, in the place of the one that there is.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let from = self.scratch("from");
        fs_err::write(&from, bytes).expect("a file");
        self.mtools("mcopy", &["-o", from.to_str().expect("a path"), &format!("::{path}")]);
    }

    /// What a file of the ESP holds.
    pub fn read(&self, path: &str) -> Vec<u8> {
        let to = self.scratch("to");
        self.mtools("mcopy", &["-n", "-o", &format!("::{path}"), to.to_str().expect("a path")]);
        fs_err::read(to).expect("a file")
    }

    /// Writes GRUB's records by its own tool: `["good=a", "next=b", "left=3"]`.
    pub fn put_grub_records(&self, records: &[&str]) {
        let block = self.scratch("slots.env");
        run(program("grub-editenv").arg(&block).arg("create"));
        run(program("grub-editenv").arg(&block).arg("set").args(records));
        self.put("boot/grub/slots.env", &fs_err::read(&block).expect("a block"));
    }

    /// GRUB's records as its own tool reads them, sorted.
    pub fn grub_records(&self) -> Vec<String> {
        let block = self.scratch("slots.env");
        fs_err::write(&block, self.read("boot/grub/slots.env")).expect("a file");
        let mut lines: Vec<String> = run(program("grub-editenv").arg(&block).arg("list")).lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    }

    /// The names of systemd-boot's entries, sorted, after the checker has found nothing on the ESP.
    pub fn entries(&self) -> Vec<String> {
        self.check_esp();
        let files = self.files();
        files.iter().filter_map(|path| path.strip_prefix("loader/entries/")).map(str::to_owned).collect()
    }

    /// The paths of the ESP's files, sorted.
    pub fn files(&self) -> Vec<String> {
        let listing = self.mtools("mdir", &["-b", "-/", "::"]);
        let paths = listing.lines().filter_map(|line| line.trim().strip_prefix("::/")).filter(|path| !path.ends_with('/'));
        let mut paths: Vec<String> = paths.map(str::to_owned).collect();
        paths.sort();
        paths
    }

    /// The ESP as the checker of dosfstools sees it: without a fault.
    pub fn check_esp(&self) {
        let volume = extract(&self.path, &self.esp, &self.scratch("esp"));
        run(program("fsck.fat").arg("-n").arg(&volume));
    }

    /// Whether these bytes are anywhere on the ESP, in a file or not.
    pub fn esp_holds(&self, text: &str) -> bool {
        let volume = extract(&self.path, &self.esp, &self.scratch("esp"));
        let status = program("grep").args(["--quiet", "--text", "--fixed-strings", text]).arg(&volume).status().expect("grep");
        match status.code() {
            Some(0) => true,
            Some(1) => false,
            _ => panic!("grep: {status}"),
        }
    }
}
