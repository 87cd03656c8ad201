//! The unified kernel image: systemd-stub with the kernel, the initramfs and the command line as PE sections.
//!
//! Section order and flags are those of systemd's `ukify`: `.osrel .cmdline .uname .initrd .linux`, behind the stub's own
//! (its `.sbat` stays as it is). Specification: UAPI group, "Unified Kernel Image". Signing is another room's.

use super::pe::{self, NewSection, PeError};
use crate::failure::{Classified, Kind};

/// Why there is no UKI.
#[derive(Debug, thiserror::Error)]
pub enum UkiError {
    /// The stub is not what systemd-boot-efi ships.
    #[error("can't add sections to the EFI stub")]
    Stub(#[source] PeError),
    /// The kernel is not an EFI-stub bzImage.
    #[error("the kernel can't be started by EFI")]
    Kernel(#[source] PeError),
    /// The kernel's own release string is another than its modules'.
    #[error("the kernel says it is {kernel}, but its modules are for {modules}")]
    Release {
        /// Release in the kernel's setup header.
        kernel: String,
        /// Release of the modules' directory.
        modules: String,
    },
}

impl Classified for UkiError {
    fn kind(&self) -> Kind {
        Kind::Policy
    }

    fn hints(&self) -> Vec<String> {
        match self {
            UkiError::Stub(_) => {
                vec![
                    "The stub is linuxx64.efi.stub of the package systemd-boot-efi, named in the profile's [boot] packages."
                        .into(),
                ]
            }
            UkiError::Kernel(_) => vec!["The kernel must be an x86-64 one built with CONFIG_EFI_STUB, as Debian's are.".into()],
            UkiError::Release { .. } => vec!["Let the profile name exactly one linux-image package.".into()],
        }
    }
}

/// What a UKI is made of.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// `linuxx64.efi.stub`.
    pub stub: &'a [u8],
    /// The image's os-release file.
    pub os_release: &'a [u8],
    /// Kernel command line, with the root hash.
    pub cmdline: &'a str,
    /// Kernel release (`uname -r`), as the modules' directory is called.
    pub release: &'a str,
    /// The compressed initramfs.
    pub initramfs: &'a [u8],
    /// The kernel (bzImage).
    pub kernel: &'a [u8],
    /// What it can start beside what its own command line says; the first is the one that it starts unless told otherwise.
    pub profiles: &'a [Profile],
}

/// A profile: what is different from the image's own sections (systemd-stub(7), "Multi-profile UKIs").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub id: &'static str,
    /// What a menu shows.
    pub title: &'static str,
    /// Its command line, if it is another one.
    pub cmdline: Option<String>,
}

/// The UKI's bytes; the same inputs give the same bytes.
pub fn build(inputs: &Inputs<'_>) -> Result<Vec<u8>, UkiError> {
    let kernel = pe::Headers::parse(inputs.kernel).map_err(UkiError::Kernel)?;
    if let Some(release) = kernel_release(inputs.kernel)
        && release != inputs.release
    {
        return Err(UkiError::Release { kernel: release, modules: inputs.release.to_owned() });
    }
    fn data<'a>(name: &'a str, data: &'a [u8]) -> NewSection<'a> {
        NewSection { name, data, virtual_size: 0, characteristics: pe::READ_DATA }
    }
    let headers: Vec<String> =
        inputs.profiles.iter().map(|profile| format!("ID={}\nTITLE={}\n", profile.id, profile.title)).collect();
    let mut sections = vec![
        data(".osrel", inputs.os_release),
        data(".cmdline", inputs.cmdline.as_bytes()),
        data(".uname", inputs.release.as_bytes()),
        data(".initrd", inputs.initramfs),
        // With the memory that the kernel wants once started, so that the stub may run it where it was loaded.
        NewSection { name: ".linux", data: inputs.kernel, virtual_size: kernel.size_of_image, characteristics: pe::READ_CODE },
    ];
    // What comes behind a header is that profile's; what comes before the first one is everybody's.
    for (profile, header) in inputs.profiles.iter().zip(&headers) {
        sections.push(data(".profile", header.as_bytes()));
        sections.extend(profile.cmdline.as_deref().map(|cmdline| data(".cmdline", cmdline.as_bytes())));
    }
    pe::append(inputs.stub, &sections).map_err(UkiError::Stub)
}

/// The release in a bzImage's setup header ("The Linux/x86 Boot Protocol", `kernel_version`); none if there is no such header.
pub fn kernel_release(kernel: &[u8]) -> Option<String> {
    if kernel.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let pointer = u16::from_le_bytes(kernel.get(0x20e..0x210)?.try_into().ok()?);
    if pointer == 0 {
        return None;
    }
    let text = kernel.get(usize::from(pointer) + 0x200..)?;
    let text: Vec<u8> = text.iter().copied().take(256).take_while(|byte| !matches!(byte, 0 | b' ')).collect();
    String::from_utf8(text).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::boot::{efi_program as synthetic, kernel};
    use std::process::Command;

    fn sample() -> Vec<u8> {
        build(&Inputs {
            stub: &synthetic(0x600),
            os_release: b"ID=kmimage\nIMAGE_ID=kmimage-base\n",
            cmdline: "roothash=00 console=ttyS0",
            release: "6.12.107+deb13-amd64",
            initramfs: &[0x28; 5000],
            kernel: &kernel("6.12.107+deb13-amd64"),
            profiles: &[
                Profile { id: "main", title: "Start", cmdline: None },
                Profile { id: "live", title: "Live", cmdline: Some("roothash=00 kmimage.live".to_owned()) },
            ],
        })
        .unwrap()
    }

    #[test]
    fn sections_are_ukifys_in_its_order() {
        let uki = sample();
        let headers = pe::Headers::parse(&uki).unwrap();
        let rows: Vec<_> = headers.sections.iter().map(|s| (s.name.as_str(), s.virtual_size, s.characteristics)).collect();
        assert_eq!(
            rows,
            [
                (".text", 0x20, 0x6000_0020),
                (".sbat", 0x20, 0x4000_0040),
                (".osrel", 33, 0x4000_0040),
                (".cmdline", 25, 0x4000_0040),
                (".uname", 20, 0x4000_0040),
                (".initrd", 5000, 0x4000_0040),
                (".linux", 0x4000, 0x4000_0020),
                (".profile", 20, 0x4000_0040),
                (".profile", 19, 0x4000_0040),
                (".cmdline", 24, 0x4000_0040),
            ]
        );
        assert_eq!(sample(), uki);
    }

    #[test]
    fn a_kernel_of_another_release_is_refused() {
        let error = build(&Inputs {
            stub: &synthetic(0x600),
            os_release: b"",
            cmdline: "",
            release: "6.12.107+deb13-amd64",
            initramfs: b"",
            kernel: &kernel("6.1.0-40-amd64"),
            profiles: &[],
        })
        .unwrap_err();
        assert_eq!(error.to_string(), "the kernel says it is 6.1.0-40-amd64, but its modules are for 6.12.107+deb13-amd64");
    }

    #[test]
    fn tools_objdump_reads_the_sections() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sample.efi");
        fs_err::write(&path, sample()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a foreign tool judges our bytes")]
        let output = Command::new("objdump").arg("-h").arg(&path).output().expect("objdump is installed (binutils)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                words.next()?.parse::<u32>().ok()?;
                words.next()
            })
            .collect();
        let expect = [".text", ".sbat", ".osrel", ".cmdline", ".uname", ".initrd", ".linux", ".profile", ".profile", ".cmdline"];
        assert_eq!(names, expect);
    }
}
