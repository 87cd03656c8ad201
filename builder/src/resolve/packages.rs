//! `Packages` indexes and packages' own `control`: text in, records out. What a relation field says is read later, and only of the
//! packages that matter.

use crate::deb822::{self, Comments, Paragraph, SyntaxError};
use crate::hash::Sha256Digest;
use crate::version::{Version, VersionError};

/// What an index says of one package. Borrows the index's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package<'a> {
    /// `Package`
    pub name: &'a str,
    /// `Version`
    pub version: Version<'a>,
    /// `Architecture`: `all`, or a machine's.
    pub architecture: &'a str,
    /// `Multi-Arch`
    pub multi_arch: MultiArch,
    /// `Essential: yes`
    pub essential: bool,
    /// `Source`: name, and version where it differs from the package's.
    pub source: (&'a str, Option<&'a str>),
    /// `Section`, empty if there is none.
    pub section: &'a str,
    /// The first line of `Description`, empty if there is none.
    pub description: &'a str,
    /// `Homepage`, empty if there is none.
    pub homepage: &'a str,
    /// The relation fields as written, empty where there are none.
    pub relations: Relations<'a>,
    /// Where the .deb is.
    pub file: PackageFile<'a>,
}

/// Relation fields as written (see `dependency`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Relations<'a> {
    /// `Depends`
    pub depends: &'a str,
    /// `Pre-Depends`
    pub pre_depends: &'a str,
    /// `Provides`
    pub provides: &'a str,
    /// `Conflicts`
    pub conflicts: &'a str,
    /// `Breaks`
    pub breaks: &'a str,
    /// `Replaces`
    pub replaces: &'a str,
}

/// The .deb of an index's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackageFile<'a> {
    /// `Filename`: the path relative to the repository, without a leading `./`.
    pub path: &'a str,
    /// `Size` in bytes.
    pub size: u64,
    /// `SHA256`
    pub sha256: Sha256Digest,
}

/// The `Multi-Arch` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MultiArch {
    /// Not there, or `no`.
    #[default]
    No,
    /// Co-installable for several architectures.
    Same,
    /// Meets relations of any architecture.
    Foreign,
    /// Meets `name:any`.
    Allowed,
}

/// Why an index or a control file cannot be read, with the line (counted from 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackagesError {
    /// The text is not made of paragraphs.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// A control file with no paragraph, or with several.
    #[error("a control file is one paragraph, neither none nor several")]
    NotOne,
    /// A field that every record has.
    #[error("line {line}: the package{} has no field `{field}`", name_of(.package))]
    Missing {
        /// Where the record starts.
        line: usize,
        /// The package, if it got that far.
        package: String,
        /// The field.
        field: &'static str,
    },
    /// A field whose value makes no sense.
    #[error("line {line}: `{field}: {value}` of the package{} is not {expected}", name_of(.package))]
    Bad {
        /// Where the field is.
        line: usize,
        /// The package.
        package: String,
        /// The field.
        field: &'static str,
        /// Its value, cut off after 80 characters.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The version.
    #[error("line {line}: package `{package}`: {fault}")]
    Version {
        /// Where the field is.
        line: usize,
        /// The package.
        package: String,
        /// What is wrong.
        fault: VersionError,
    },
}

fn name_of(package: &str) -> String {
    if package.is_empty() { String::new() } else { format!(" `{package}`") }
}

/// The records of a `Packages` index, in its order.
pub fn parse(text: &str) -> Result<Vec<Package<'_>>, PackagesError> {
    deb822::paragraphs(text, Comments::Refused)
        .map(|paragraph| {
            let paragraph = paragraph?;
            let file = file(&paragraph, paragraph.get("Package").unwrap_or_default())?;
            record(&paragraph, file)
        })
        .collect()
}

/// The record of a package's own `control` file, which does not know where the .deb is.
pub fn parse_control<'a>(text: &'a str, file: PackageFile<'a>) -> Result<Package<'a>, PackagesError> {
    record(&deb822::single(text, Comments::Refused)?.ok_or(PackagesError::NotOne)?, file)
}

/// Everything but the file, in one pass over the fields.
fn record<'a>(paragraph: &Paragraph<'a>, file: PackageFile<'a>) -> Result<Package<'a>, PackagesError> {
    let mut relations = Relations::default();
    let (mut name, mut version, mut architecture, mut source) = (None, None, None, None);
    let (mut section, mut description, mut homepage, mut multi_arch, mut essential) = ("", "", "", None, false);
    for field in paragraph.fields() {
        let is = |wanted: &str| field.name.eq_ignore_ascii_case(wanted);
        match field.name.len() {
            6 if is("Breaks") => relations.breaks = field.value,
            6 if is("Source") => source = Some(field),
            7 if is("Package") => name = Some(field),
            7 if is("Version") => version = Some(field),
            7 if is("Depends") => relations.depends = field.value,
            7 if is("Section") => section = field.value,
            8 if is("Provides") => relations.provides = field.value,
            8 if is("Replaces") => relations.replaces = field.value,
            8 if is("Homepage") => homepage = field.value,
            9 if is("Conflicts") => relations.conflicts = field.value,
            9 if is("Essential") => essential = field.value == "yes",
            10 if is("Multi-Arch") => multi_arch = Some(field),
            11 if is("Pre-Depends") => relations.pre_depends = field.value,
            11 if is("Description") => description = field.lines().next().unwrap_or_default(),
            12 if is("Architecture") => architecture = Some(field),
            _ => {}
        }
    }
    let missing = |field, package: &str| PackagesError::Missing { line: paragraph.line(), package: package.to_owned(), field };
    let name_field = name.ok_or_else(|| missing("Package", ""))?;
    let name = name_field.value;
    let bad = |field: &deb822::Field<'_>, named, expected| PackagesError::Bad {
        line: field.line,
        package: if named == "Package" { String::new() } else { name.to_owned() },
        field: named,
        value: field.value.chars().take(80).collect(),
        expected,
    };
    if !is_package_name(name) {
        return Err(bad(name_field, "Package", "a package name (letters, digits, `+ - . _`)"));
    }
    let version = version.ok_or_else(|| missing("Version", name))?;
    let version = Version::parse(version.value).map_err(|fault| PackagesError::Version {
        line: version.line,
        package: name.to_owned(),
        fault,
    })?;
    let architecture = architecture.ok_or_else(|| missing("Architecture", name))?;
    if !is_package_name(architecture.value) {
        return Err(bad(architecture, "Architecture", "an architecture's name"));
    }
    let multi_arch = match multi_arch.map(|field| (field.value, field)) {
        None | Some(("no", _)) => MultiArch::No,
        Some(("same", _)) => MultiArch::Same,
        Some(("foreign", _)) => MultiArch::Foreign,
        Some(("allowed", _)) => MultiArch::Allowed,
        Some((_, field)) => return Err(bad(field, "Multi-Arch", "one of no, same, foreign, allowed")),
    };
    let source = match source {
        None => (name, None),
        Some(field) => source_field(field.value).ok_or_else(|| bad(field, "Source", "`name` or `name (version)`"))?,
    };
    Ok(Package {
        name,
        version,
        architecture: architecture.value,
        multi_arch,
        essential,
        source,
        section,
        description,
        homepage,
        relations,
        file,
    })
}

/// `name` or `name (version)`.
fn source_field(value: &str) -> Option<(&str, Option<&str>)> {
    let (name, version) = match value.split_once(' ') {
        None => (value, None),
        Some((name, rest)) => (name, Some(rest.trim().strip_prefix('(')?.strip_suffix(')')?.trim())),
    };
    is_package_name(name).then_some((name, version))
}

fn file<'a>(paragraph: &Paragraph<'a>, package: &str) -> Result<PackageFile<'a>, PackagesError> {
    let field = |name: &'static str| {
        let missing = || PackagesError::Missing { line: paragraph.line(), package: package.to_owned(), field: name };
        paragraph.field(name).ok_or_else(missing)
    };
    let bad = |named, field: &deb822::Field<'_>, expected| PackagesError::Bad {
        line: field.line,
        package: package.to_owned(),
        field: named,
        value: field.value.chars().take(80).collect(),
        expected,
    };
    let path = field("Filename")?;
    let relative = path.value.trim_start_matches("./");
    if !is_repository_path(relative) {
        return Err(bad("Filename", path, "a path inside the repository"));
    }
    let size = field("Size")?;
    let sha256 = field("SHA256")?;
    Ok(PackageFile {
        path: relative,
        // More than an i64 holds could not be written into the lock.
        size: size
            .value
            .parse::<i64>()
            .ok()
            .and_then(|n| n.try_into().ok())
            .ok_or_else(|| bad("Size", size, "a number of bytes"))?,
        sha256: sha256.value.parse().map_err(|_| bad("SHA256", sha256, "64 hexadecimal digits"))?,
    })
}

/// A relative path that stays where it is: no empty, `.` or `..` part, nothing but printable ASCII.
pub fn is_repository_path(path: &str) -> bool {
    !path.is_empty()
        && path.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'\\')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Letters, digits and `+ - . _`, beginning with a letter or digit: what can stand in a path and in a message.
pub fn is_package_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "Package: e2fsprogs\nSource: e2fsprogs (1.47.2-3)\nVersion: 1.47.2-3+b12\nInstalled-Size: 1537\n\
        Architecture: amd64\nDepends: logsave\nPre-Depends: libblkid1 (>= 2.36), libc6 (>= 2.38)\nMulti-Arch: foreign\n\
        Description: ext2/ext3/ext4 file system utilities\n More of it.\nHomepage: http://e2fsprogs.sourceforge.net\nSection: admin\n\
        Essential: yes\nFilename: ./pool/main/e/e2fsprogs/e2fsprogs_1.47.2-3+b12_amd64.deb\nSize: 591288\n\
        SHA256: e9e638eb3e22b5f14d01ce0b28aa512a5a22fcc0e70d1c733444579b67ea236b\n";

    #[test]
    fn a_record_is_read() {
        let packages = parse(RECORD).unwrap();
        let [package] = packages.as_slice() else { panic!("{packages:?}") };
        assert_eq!(package.name, "e2fsprogs");
        assert_eq!(package.version.as_str(), "1.47.2-3+b12");
        assert_eq!((package.architecture, package.multi_arch, package.essential), ("amd64", MultiArch::Foreign, true));
        assert_eq!(package.source, ("e2fsprogs", Some("1.47.2-3")));
        assert_eq!(package.description, "ext2/ext3/ext4 file system utilities");
        assert_eq!((package.section, package.homepage), ("admin", "http://e2fsprogs.sourceforge.net"));
        assert_eq!(package.relations.depends, "logsave");
        assert_eq!(package.relations.pre_depends, "libblkid1 (>= 2.36), libc6 (>= 2.38)");
        let file = package.file;
        assert_eq!((file.path, file.size), ("pool/main/e/e2fsprogs/e2fsprogs_1.47.2-3+b12_amd64.deb", 591_288));
        assert_eq!(&parse_control(RECORD, file).unwrap(), package);
    }

    #[test]
    fn errors_name_line_and_package() {
        let changed = |from: &str, to: &str| parse(&RECORD.replacen(from, to, 1)).unwrap_err().to_string();
        for (from, to, expect) in [
            ("Package: e2fsprogs\n", "", "line 1: the package has no field `Package`"),
            (
                "Package: e2fsprogs",
                "Package: ../x",
                "line 1: `Package: ../x` of the package is not a package name (letters, digits, `+ - . _`)",
            ),
            ("Version: 1.47.2-3+b12\n", "", "line 1: the package `e2fsprogs` has no field `Version`"),
            (
                "Version: 1",
                "Version: 1 ",
                "line 3: package `e2fsprogs`: version `1 .47.2-3+b12`: ` ` is not allowed in an upstream version (letters, digits, `. + - ~`)",
            ),
            (
                "foreign",
                "alien",
                "line 8: `Multi-Arch: alien` of the package `e2fsprogs` is not one of no, same, foreign, allowed",
            ),
            ("(1.47.2-3)", "(", "line 2: `Source: e2fsprogs (` of the package `e2fsprogs` is not `name` or `name (version)`"),
            (
                "./pool/",
                "../pool/",
                "line 14: `Filename: ../pool/main/e/e2fsprogs/e2fsprogs_1.47.2-3+b12_amd64.deb` of the package `e2fsprogs` is not a path inside the repository",
            ),
            (
                "./pool/",
                "/pool/",
                "line 14: `Filename: /pool/main/e/e2fsprogs/e2fsprogs_1.47.2-3+b12_amd64.deb` of the package `e2fsprogs` is not a path inside the repository",
            ),
            ("\nSize: 591288", "\nSize: 1e3", "line 15: `Size: 1e3` of the package `e2fsprogs` is not a number of bytes"),
            (
                "SHA256: e9e6",
                "SHA256: ",
                "line 16: `SHA256: 38eb3e22b5f14d01ce0b28aa512a5a22fcc0e70d1c733444579b67ea236b` of the package `e2fsprogs` is not 64 hexadecimal digits",
            ),
            ("Section: admin", "Package: x", "line 12: the field `Package` is here twice (first in line 1)"),
        ] {
            assert_eq!(changed(from, to), expect);
        }
        let file = parse(RECORD).unwrap()[0].file;
        assert_eq!(parse_control("", file).unwrap_err().to_string(), "a control file is one paragraph, neither none nor several");
    }
}
