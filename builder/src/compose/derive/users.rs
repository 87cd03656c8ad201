//! passwd and group: what base-passwd and systemd-sysusers would make of the packages' and overlays' declarations.
//!
//! base-passwd's master files where they are (Debian's fixed numbers), else the table below; then the sysusers.d(5) files of
//! /usr/lib/sysusers.d and /etc/sysusers.d, by name, a file in /etc taking the place of the one of its name. Numbers that a declaration
//! leaves open are given from 999 downwards in that order, as systemd-sysusers does it: the same files give the same numbers.
//!
//! Nobody logs in to an image: every password field is `*`, every shell /usr/sbin/nologin (which need not be there), and there is no
//! shadow file. Not supported, and refused by name: specifiers (%), numbers taken from the owner of a file.

use super::{DeriveError, path, put_unless_overlaid, text_at};
use crate::compose::content::Content;
use crate::compose::tree::{Entry, Origin, Tree, TreePath};
use std::collections::{BTreeMap, BTreeSet};

mod sysusers;
#[cfg(test)]
mod tests;

use sysusers::{Declaration, Id};

const STEP: Origin = Origin::Derive("users");
const NOLOGIN: &str = "/usr/sbin/nologin";

/// The accounts of an image without base-passwd, with Debian's numbers: name, number, home.
const MINIMAL_USERS: [(&str, u32, u32, &str); 2] = [("root", 0, 0, "/root"), ("nobody", 65534, 65534, "/nonexistent")];
/// Groups: those of the users, and those that own device nodes.
const MINIMAL_GROUPS: [(&str, u32); 13] = [
    ("root", 0),
    ("adm", 4),
    ("tty", 5),
    ("disk", 6),
    ("kmem", 15),
    ("dialout", 20),
    ("cdrom", 24),
    ("tape", 26),
    ("audio", 29),
    ("shadow", 42),
    ("utmp", 43),
    ("video", 44),
    ("nogroup", 65534),
];

/// A line of passwd.
struct User {
    name: String,
    uid: u32,
    gid: u32,
    gecos: String,
    home: String,
}

/// A line of group.
struct Group {
    name: String,
    gid: u32,
    members: BTreeSet<String>,
}

#[derive(Default)]
struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
}

/// Writes /etc/passwd and /etc/group.
pub fn derive(tree: &mut Tree) -> Result<(), DeriveError> {
    let mut accounts = base(tree)?;
    for (file, line, declaration) in declarations(tree)? {
        let wrong = |problem: String| DeriveError::Accounts { path: file.clone(), line, problem };
        accounts.add(&declaration).map_err(wrong)?;
    }
    let put = |tree: &mut Tree, at: &str, text: String| -> Result<(), DeriveError> {
        put_unless_overlaid(tree, path(at)?, Entry::file(Content::from_bytes(text.into_bytes()), 0o644, STEP));
        Ok(())
    };
    put(tree, "/etc/passwd", accounts.passwd())?;
    put(tree, "/etc/group", accounts.group())
}

fn base(tree: &Tree) -> Result<Accounts, DeriveError> {
    let passwd = path("/usr/share/base-passwd/passwd.master")?;
    let group = path("/usr/share/base-passwd/group.master")?;
    let mut accounts = Accounts::default();
    match (text_at(tree, &passwd)?, text_at(tree, &group)?) {
        (Some(users), Some(groups)) => {
            for (line, fields) in lines(&users) {
                let user = master_user(&fields).ok_or_else(|| malformed(&passwd, line))?;
                accounts.users.push(user);
            }
            for (line, fields) in lines(&groups) {
                let group = master_group(&fields).ok_or_else(|| malformed(&group, line))?;
                accounts.groups.push(group);
            }
        }
        _ => {
            accounts.users.extend(MINIMAL_USERS.map(|(name, uid, gid, home)| User {
                name: name.to_owned(),
                uid,
                gid,
                gecos: name.to_owned(),
                home: home.to_owned(),
            }));
            accounts.groups.extend(MINIMAL_GROUPS.map(|(name, gid)| Group {
                name: name.to_owned(),
                gid,
                members: BTreeSet::new(),
            }));
        }
    }
    Ok(accounts)
}

fn lines(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    text.lines().enumerate().filter(|(_, line)| !line.is_empty()).map(|(at, line)| (at + 1, line.split(':').collect()))
}

fn malformed(path: &TreePath, line: usize) -> DeriveError {
    DeriveError::Accounts { path: path.clone(), line, problem: "not a line of passwd(5) or group(5)".into() }
}

fn master_user(fields: &[&str]) -> Option<User> {
    let [name, _, uid, gid, gecos, home, _] = fields else { return None };
    Some(User {
        name: (*name).to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        gecos: (*gecos).to_owned(),
        home: (*home).to_owned(),
    })
}

fn master_group(fields: &[&str]) -> Option<Group> {
    let [name, _, gid, members] = fields else { return None };
    let members = members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
    Some(Group { name: (*name).to_owned(), gid: gid.parse().ok()?, members })
}

/// Every declaration with its place. As systemd-sysusers does it: groups first, then users, then memberships.
fn declarations(tree: &Tree) -> Result<Vec<(TreePath, usize, Declaration)>, DeriveError> {
    let mut files: BTreeMap<Vec<u8>, TreePath> = BTreeMap::new();
    for directory in ["/usr/lib/sysusers.d", "/etc/sysusers.d"] {
        let directory = path(directory)?;
        for (file, _) in tree.under(&directory).filter(|(file, _)| file.name().ends_with(b".conf")) {
            files.insert(file.name().to_vec(), file.clone());
        }
    }
    let mut found = Vec::new();
    for file in files.into_values() {
        for (at, line) in text_at(tree, &file)?.unwrap_or_default().lines().enumerate() {
            let wrong = |problem| DeriveError::Accounts { path: file.clone(), line: at + 1, problem };
            if let Some(declaration) = sysusers::parse(line).map_err(wrong)? {
                found.push((file.clone(), at + 1, declaration));
            }
        }
    }
    found.sort_by_key(|(_, _, declaration)| declaration.phase());
    Ok(found)
}

impl Accounts {
    fn add(&mut self, declaration: &Declaration) -> Result<(), String> {
        match declaration {
            Declaration::Range => Ok(()),
            Declaration::Group { name, id } => self.add_group(name, *id).map(|_| ()),
            Declaration::Member { user, group } => {
                if self.uid_of(user).is_none() {
                    self.add_user(user, Id::Any, None, "", "/")?;
                }
                self.add_group(group, Id::Any)?;
                if let Some(group) = self.groups.iter_mut().find(|known| known.name == *group) {
                    group.members.insert(user.clone());
                }
                Ok(())
            }
            Declaration::User { name, id, group, gecos, home } => self.add_user(name, *id, group.as_ref(), gecos, home),
        }
    }

    fn add_user(
        &mut self,
        name: &str,
        id: Id,
        group: Option<&sysusers::GroupRef>,
        gecos: &str,
        home: &str,
    ) -> Result<(), String> {
        if self.uid_of(name).is_some() {
            return Ok(());
        }
        let gid = match group {
            Some(sysusers::GroupRef::Number(gid)) => {
                let there = self.groups.iter().any(|known| known.gid == *gid);
                there.then_some(*gid).ok_or_else(|| format!("user {name} is to have the group {gid}, which does not exist"))?
            }
            Some(sysusers::GroupRef::Name(group)) => {
                self.gid_of(group).ok_or_else(|| format!("user {name} is to have the group {group}, which does not exist"))?
            }
            None => self.add_group(name, id)?,
        };
        let uid = match id {
            Id::Number(uid) if self.users.iter().any(|known| known.uid == uid) => {
                return Err(format!("user {name} is to have the number {uid}, which another user has"));
            }
            Id::Number(uid) => uid,
            // The user's own group was made with a number that no user has.
            Id::Any if group.is_none() && self.users.iter().all(|known| known.uid != gid) => gid,
            Id::Any => self.free_number()?,
        };
        self.users.push(User { name: name.to_owned(), uid, gid, gecos: gecos.to_owned(), home: home.to_owned() });
        Ok(())
    }

    fn add_group(&mut self, name: &str, id: Id) -> Result<u32, String> {
        if let Some(gid) = self.gid_of(name) {
            return Ok(gid);
        }
        let gid = match id {
            Id::Number(gid) if self.groups.iter().any(|known| known.gid == gid) => {
                return Err(format!("group {name} is to have the number {gid}, which another group has"));
            }
            Id::Number(gid) => gid,
            Id::Any => self.free_number()?,
        };
        self.groups.push(Group { name: name.to_owned(), gid, members: BTreeSet::new() });
        Ok(gid)
    }

    fn uid_of(&self, name: &str) -> Option<u32> {
        self.users.iter().find(|user| user.name == name).map(|user| user.uid)
    }

    fn gid_of(&self, name: &str) -> Option<u32> {
        self.groups.iter().find(|group| group.name == name).map(|group| group.gid)
    }

    /// The highest system number that neither a user nor a group has.
    fn free_number(&self) -> Result<u32, String> {
        let taken =
            |number: u32| self.users.iter().any(|user| user.uid == number) || self.groups.iter().any(|group| group.gid == number);
        (100..=999).rev().find(|number| !taken(*number)).ok_or_else(|| "no system number from 100 to 999 is free".to_owned())
    }

    fn passwd(&self) -> String {
        let line = |user: &User| format!("{}:*:{}:{}:{}:{}:{NOLOGIN}\n", user.name, user.uid, user.gid, user.gecos, user.home);
        self.users.iter().map(line).collect()
    }

    fn group(&self) -> String {
        let members = |group: &Group| group.members.iter().cloned().collect::<Vec<_>>().join(",");
        self.groups.iter().map(|group| format!("{}:*:{}:{}\n", group.name, group.gid, members(group))).collect()
    }
}
