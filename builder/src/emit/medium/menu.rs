//! What a medium offers to start. Each choice is a profile of the unified kernel image (systemd-stub's `.profile`), so that its command line
//! is under the image's signature, and an entry of the boot menu that picks the profile by its number (`options @1`).
//!
//! Every profile names the medium's ESP: firmware that starts from a CD tells no loader which partition that was, and a disk that was
//! installed from this medium carries the same root.

use crate::assemble::uki::Profile;
use kmimage_contract::boot_records::grub;
use kmimage_contract::cmdline::{Cmdline, CmdlineError, Parameter};
use kmimage_contract::disk_layout::{Slot, medium};
use kmimage_contract::verity::RootHash;

/// Seconds until the first choice is taken.
const PAUSE: u32 = 5;

/// A choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// What a machine does that is left alone: the system of the medium, or, where its config asks for it, an installation.
    Start,
    /// The system of the medium, whatever the config says of installing.
    Live,
    /// Write it to a disk.
    Install,
    /// Make an installed disk as if it were new.
    Reset,
}

impl Choice {
    /// In the menu's order.
    pub const MENU: [Choice; 4] = [Choice::Start, Choice::Live, Choice::Install, Choice::Reset];

    /// In the order of the image's profiles, behind profile 0, which is what a disk boots.
    const PROFILES: [Choice; 4] = [Choice::Install, Choice::Reset, Choice::Live, Choice::Start];

    /// Its name in file names and in the image.
    pub fn id(self) -> &'static str {
        match self {
            Choice::Start => "start",
            Choice::Live => "live",
            Choice::Install => "install",
            Choice::Reset => "reset",
        }
    }

    /// What the menu says.
    pub fn title(self) -> &'static str {
        match self {
            Choice::Start => "Start",
            Choice::Live => "Live (nothing is kept)",
            Choice::Install => "Install to a disk",
            Choice::Reset => "Reset an installed disk",
        }
    }

    /// The word on the kernel command line that tells it to init.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Choice::Start => None,
            Choice::Live => Some("kmimage.live"),
            Choice::Install => Some("kmimage.install"),
            Choice::Reset => Some("kmimage.reset"),
        }
    }

    fn profile(self) -> usize {
        1 + Self::PROFILES.iter().position(|choice| *choice == self).unwrap_or_default()
    }
}

/// The profiles of a unified kernel image whose own command line is `base`: 0, which changes nothing, and one for each choice.
pub fn profiles(base: &Cmdline, root_hash: &RootHash) -> Result<Vec<Profile>, CmdlineError> {
    let main = Profile { id: "main", title: "Start", cmdline: None };
    let choices = Choice::PROFILES.into_iter().map(|choice| {
        let mut cmdline = base.clone();
        cmdline.parameters.push(Parameter::value("kmimage.esp", &medium::esp_uuid(root_hash).to_string())?);
        if let Some(word) = choice.word() {
            cmdline.parameters.push(Parameter::flag(word)?);
        }
        Ok(Profile { id: choice.id(), title: choice.title(), cmdline: Some(cmdline.render()?) })
    });
    std::iter::once(Ok(main)).chain(choices).collect()
}

/// systemd-boot's settings on a medium: as on a disk, but with a menu.
pub fn loader_conf() -> String {
    let default = entry_name(Choice::MENU[0]);
    format!(
        "timeout {PAUSE}\ndefault {default}\neditor no\nauto-entries no\nauto-firmware no\nsecure-boot-enroll off\nconsole-mode keep\n"
    )
}

/// GRUB's menu: the same. Whoever wants an editor or a shell is asked for a superuser, and there is none.
pub fn grub_menu(role: &str, image_version: &str) -> String {
    let slot = Slot::A;
    let (kernel, initramfs) = (grub::kernel_path(slot), grub::initramfs_path(slot));
    let mut text = format!(
        "# kmimage's medium on a BIOS: what systemd-boot's menu offers under UEFI.\n\n\
         if serial --unit=0 --speed=115200; then\n  terminal_input console serial\n  terminal_output console serial\nfi\n\n\
         set superusers=nobody\nexport superusers\nset default=0\nset timeout={PAUSE}\nprobe --set=esp --part-uuid $root\n\n\
         function start {{\n  load_env --file {cmdline} {variable}\n  linux {kernel} ${variable} kmimage.esp=$esp $1\n  \
         initrd {initramfs}\n}}\n\n",
        cmdline = grub::command_line_path(slot),
        variable = grub::COMMAND_LINE,
    );
    for choice in Choice::MENU {
        let title: String = title(choice, role, image_version).chars().filter(|c| *c != '\'').collect();
        let start = choice.word().map_or_else(|| "start".to_owned(), |word| format!("start {word}"));
        text.push_str(&format!("menuentry '{title}' --id {} --unrestricted {{\n  {start}\n}}\n", choice.id()));
    }
    text
}

/// What a menu shows, in one line.
fn title(choice: Choice, role: &str, image_version: &str) -> String {
    let title = format!("kmimage {role} {image_version}: {}", choice.title());
    title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The name of a choice's entry in `loader/entries`.
pub fn entry_name(choice: Choice) -> String {
    format!("kmimage-{}.conf", choice.id())
}

/// A choice's entry (Boot Loader Specification, type #1); `efi` is the image's path.
pub fn entry(choice: Choice, role: &str, image_version: &str, efi: &str) -> String {
    let place = Choice::MENU.iter().position(|other| *other == choice).unwrap_or_default();
    let title = title(choice, role, image_version);
    format!("title {title}\nsort-key kmimage-{place}\nefi {efi}\noptions @{}\n", choice.profile())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_and_entries_agree() {
        let hash = RootHash([7; 32]);
        let base = Cmdline::parse("roothash=07 console=ttyS0");
        let profiles = profiles(&base, &hash).unwrap();
        assert_eq!(profiles.iter().map(|profile| profile.id).collect::<Vec<_>>(), ["main", "install", "reset", "live", "start"]);
        for choice in Choice::MENU {
            let entry = entry(choice, "base", "1", "/EFI/kmimage/a.efi");
            let number: usize = entry.lines().find_map(|line| line.strip_prefix("options @")).unwrap().parse().unwrap();
            assert_eq!(profiles[number].id, choice.id());
            let cmdline = profiles[number].cmdline.as_deref().unwrap();
            assert!(cmdline.starts_with("roothash=07 console=ttyS0 kmimage.esp="), "{cmdline}");
            assert!(choice.word().is_none_or(|word| cmdline.ends_with(&format!(" {word}"))), "{cmdline}");
        }
        let expect = "title kmimage base 1: Install to a disk\nsort-key kmimage-2\nefi /EFI/kmimage/a.efi\noptions @1\n";
        assert_eq!(entry(Choice::Install, "base", "1", "/EFI/kmimage/a.efi"), expect);
        assert!(loader_conf().starts_with("timeout 5\ndefault kmimage-start.conf\n"));
        let grub = grub_menu("base", "1");
        assert!(grub.contains("set superusers=nobody\n") && !grub.contains("--users"), "{grub}");
        assert_eq!(grub.matches(" --unrestricted {\n").count(), Choice::MENU.len(), "{grub}");
        assert!(grub.contains(
            "menuentry 'kmimage base 1: Install to a disk' --id install --unrestricted {\n  start kmimage.install\n}\n"
        ));
    }
}
