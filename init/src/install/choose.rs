//! Which disk it is, or why none is: pure. A refusal names every disk and says what keeps it from being the one.

use super::Wish;
use super::content::Content;
use super::disks::Disk;
use std::fmt;
use uuid::Uuid;

/// What a target has to meet whatever is wished.
#[derive(Debug, Clone, Copy)]
pub struct Needs<'a> {
    /// The least size in bytes.
    pub least_size: u64,
    /// The medium's own name in /dev.
    pub medium: &'a str,
    /// The PARTUUID of the medium's ESP.
    pub esp: Uuid,
}

/// Why there is no target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In a few words.
    pub cause: &'static str,
    /// Every disk by name, and what is to be said of it.
    pub disks: Vec<(String, String)>,
    /// What a person can do.
    pub remedy: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cause)?;
        for (at, (name, why)) in self.disks.iter().enumerate() {
            write!(f, "{}{name}: {why}", if at == 0 { " (" } else { "; " })?;
        }
        write!(f, "{}; {}", if self.disks.is_empty() { "" } else { ")" }, self.remedy)
    }
}

/// The target of an installation.
pub fn choose<'a>(disks: &'a [Disk], wish: &Wish, needs: &Needs<'_>) -> Result<&'a Disk, Refusal> {
    let misses = |disk: &Disk| {
        if disk.name == needs.medium {
            Some("it is the medium".to_owned())
        } else if wish.disk.is_empty() && disk.removable {
            Some("it is removable, and nothing names it".to_owned())
        } else if wish.disk.is_empty() && disk.identity.size < needs.least_size {
            // A config that is attached as a disk, for one.
            Some("it is too small, and nothing names it".to_owned())
        } else {
            wish.disk.misses(&disk.identity).map(|key| format!("another {key}"))
        }
    };
    let matching: Vec<&Disk> = disks.iter().filter(|disk| misses(disk).is_none()).collect();
    match matching[..] {
        [] => Err(Refusal {
            cause: if wish.disk.is_empty() { "there is no disk to install on" } else { "no disk is the one that is named" },
            disks: disks
                .iter()
                .map(|disk| (disk.name.clone(), format!("{}, {}", misses(disk).unwrap_or_default(), card(disk))))
                .collect(),
            remedy: "attach the disk, or correct `disk` in the machine config's [install]",
        }),
        [disk] => match obstacle(disk, wish, needs) {
            Some((why, remedy)) => {
                Err(Refusal { cause: "the disk can't be taken", disks: vec![(disk.name.clone(), why)], remedy })
            }
            None => Ok(disk),
        },
        _ => Err(Refusal {
            cause: "several disks match",
            disks: matching.iter().map(|disk| (disk.name.clone(), card(disk))).collect(),
            remedy: "say in the machine config's [install] which one it is: disk = { serial = \"...\" }",
        }),
    }
}

/// The one installation on this machine's disks, to be wiped.
pub(super) fn installed<'a>(disks: &'a [Disk], needs: &Needs<'_>) -> Result<&'a Disk, Refusal> {
    let is_ours = |content: &Content| matches!(content, Content::Kmimage { .. } | Content::Damaged(_) | Content::Unfinished);
    let ours = disks.iter().filter(|disk| disk.name != needs.medium && is_ours(&disk.content));
    let ours: Vec<&Disk> = ours.collect();
    let all = |disks: &[&Disk]| disks.iter().map(|disk| (disk.name.clone(), card(disk))).collect();
    match ours[..] {
        [] => {
            Err(Refusal { cause: "no disk has an installation", disks: Vec::new(), remedy: "restart, and choose something else" })
        }
        [disk] => match &disk.held {
            Some(held) => {
                Err(Refusal { cause: "the disk is in use", disks: vec![(disk.name.clone(), held.clone())], remedy: "restart" })
            }
            None if disk.read_only => {
                Err(Refusal { cause: "the disk takes no writes", disks: all(&ours), remedy: "look at its write protection" })
            }
            None => Ok(disk),
        },
        _ => Err(Refusal {
            cause: "several disks have an installation",
            disks: all(&ours),
            remedy: "detach those that are to stay",
        }),
    }
}

/// What keeps the chosen disk from being written to, and what helps.
fn obstacle(disk: &Disk, wish: &Wish, needs: &Needs<'_>) -> Option<(String, &'static str)> {
    if disk.read_only {
        return Some(("it takes no writes".to_owned(), "look at its write protection"));
    }
    if let Some(held) = &disk.held {
        return Some((format!("it is in use: {held}"), "choose another disk"));
    }
    if disk.sector_size != 512 {
        let why = format!("its sectors have {} bytes, and only disks with 512 are served", disk.sector_size);
        return Some((why, "choose another disk, or format it with sectors of 512 bytes"));
    }
    if disk.identity.size < needs.least_size {
        return Some((
            format!("it has {}, {} are needed", mib(disk.identity.size), mib(needs.least_size)),
            "choose a larger disk",
        ));
    }
    let wiped = wish.wipe.as_ref().is_some_and(|wipe| wipe == disk.identity.serial.trim() || disk.identity.ids.contains(wipe));
    match &disk.content {
        Content::Empty | Content::Unfinished => None,
        // Else a machine that can't start its disk would install again and again.
        Content::Kmimage { installed_from: Some(esp) } if *esp == needs.esp => Some((
            "it has the finished installation of this medium".to_owned(),
            "start the disk, or choose Reset in the medium's menu first",
        )),
        Content::Damaged(_) => Some((
            format!("it holds {}", held_content(&disk.content)),
            "choose Reset in the medium's menu first, or another disk",
        )),
        // Not even by name: what nobody can see, nobody can have meant.
        Content::Unreadable(why) => {
            Some((format!("it can't be read ({why})"), "look at the disk: cabling, the host's storage, its health"))
        }
        _ if wiped => None,
        content => Some((
            format!("it holds {}", held_content(content)),
            "to lose that, name the disk by serial number or by-id name as `wipe` in the machine config's [install]",
        )),
    }
}

/// What a disk is, for people who have to choose.
fn card(disk: &Disk) -> String {
    let identity = &disk.identity;
    let named = |key: &str, text: &str| if text.is_empty() { String::new() } else { format!(", {key} {text}") };
    let (model, serial) = (named("model", identity.model.trim()), named("serial", identity.serial.trim()));
    format!("{}{model}{serial}, holds {}", mib(identity.size), held_content(&disk.content))
}

fn held_content(content: &Content) -> String {
    match content {
        Content::Empty => "nothing".to_owned(),
        Content::Unfinished => "an unfinished installation".to_owned(),
        Content::Kmimage { .. } => "an installation of kmimage".to_owned(),
        Content::Damaged(why) => format!("an installation of kmimage, but {why}"),
        Content::Foreign(what) => what.clone(),
        Content::Unreadable(why) => format!("what can't be read ({why})"),
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
