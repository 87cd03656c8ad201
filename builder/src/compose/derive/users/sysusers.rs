//! Lines of sysusers.d(5).

/// What a line declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Declaration {
    /// `u`: a system user, with a group of its own unless `group` names one.
    User { name: String, id: Id, group: Option<GroupRef>, gecos: String, home: String },
    /// `g`: a system group.
    Group { name: String, id: Id },
    /// `m`: a user is in a group.
    Member { user: String, group: String },
    /// `r`: a range of numbers, which only the running system needs.
    Range,
}

impl Declaration {
    /// The order in which systemd-sysusers works.
    pub(super) fn phase(&self) -> u8 {
        match self {
            Declaration::Range => 0,
            Declaration::Group { .. } => 1,
            Declaration::User { .. } => 2,
            Declaration::Member { .. } => 3,
        }
    }
}

/// A number, or `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Id {
    Any,
    Number(u32),
}

/// The group of `UID:GROUP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupRef {
    Number(u32),
    Name(String),
}

/// One line; none if it is empty or a comment. The error says what is wrong with it.
pub(super) fn parse(line: &str) -> Result<Option<Declaration>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', ';']) {
        return Ok(None);
    }
    let fields = fields(line)?;
    let field = |at: usize| fields.get(at).map(String::as_str).filter(|text| !text.is_empty() && *text != "-");
    let name = |at: usize, what: &str| {
        let name = field(at).ok_or_else(|| format!("names no {what}"))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
        if name.contains('%') {
            return Err(format!("{name}: specifiers are not supported"));
        }
        if name.len() > 31 || !name.chars().all(plain) || !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Err(format!("{name}: no name of a {what}"));
        }
        Ok(name.to_owned())
    };
    let declaration = match fields.first().map(String::as_str) {
        Some("u" | "u!") => {
            let (id, group) = user_id(field(2))?;
            let gecos = field(3).unwrap_or_default().to_owned();
            let home = field(4).unwrap_or("/").to_owned();
            if [&gecos, &home].iter().any(|text| text.contains([':', '\n', '%'])) {
                return Err("a description or home with `:` or a specifier is not supported".to_owned());
            }
            Declaration::User { name: name(1, "user")?, id, group, gecos, home }
        }
        Some("g") => Declaration::Group { name: name(1, "group")?, id: field(2).map_or(Ok(Id::Any), number)? },
        Some("m") => Declaration::Member { user: name(1, "user")?, group: name(2, "group")? },
        Some("r") => Declaration::Range,
        kind => return Err(format!("{}: no type of sysusers.d (u, g, m, r)", kind.unwrap_or_default())),
    };
    Ok(Some(declaration))
}

fn user_id(text: Option<&str>) -> Result<(Id, Option<GroupRef>), String> {
    let Some(text) = text else { return Ok((Id::Any, None)) };
    let Some((uid, group)) = text.split_once(':') else { return Ok((number(text)?, None)) };
    let id = if uid == "-" { Id::Any } else { number(uid)? };
    let group = group.parse().map_or_else(|_| GroupRef::Name(group.to_owned()), GroupRef::Number);
    Ok((id, Some(group)))
}

fn number(text: &str) -> Result<Id, String> {
    if text.starts_with('/') {
        return Err(format!("{text}: a number taken from the owner of a file is not supported"));
    }
    // 65535 and 2^32 - 1 mean "none" to system calls.
    let valid = |number: &u32| *number != 65535 && *number != u32::MAX;
    text.parse().ok().filter(valid).map(Id::Number).ok_or_else(|| format!("{text}: no number of a user or group"))
}

/// White space apart, `"..."` and `'...'` together.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (field, after) = match first {
            '"' | '\'' => rest[1..].split_once(first).ok_or_else(|| format!("a {first} has no end"))?,
            _ => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        fields.push(field.to_owned());
        rest = after.trim_start();
    }
    Ok(fields)
}
