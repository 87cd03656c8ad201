//! What may be asked, and the form of answers (QEMU's docs/interop/qemu-ga-ref).

use super::frame::Frame;
use serde_json::{Value, json};

/// A command.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    /// Begin anew: answered by the same number.
    Sync(Value),
    /// The same, the answer behind a byte 0xFF.
    SyncDelimited(Value),
    /// Is somebody there?
    Ping,
    /// Which commands are there?
    Info,
    /// Which system?
    OsInfo,
    /// Which name?
    HostName,
    /// Which addresses?
    Interfaces,
    /// What time is it?
    Time,
    /// In which zone?
    TimeZone,
    /// Who is logged in?
    Users,
    /// Turn off or restart. No answer: the machine goes.
    Shutdown(Shutdown),
}

/// How to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shutdown {
    /// Off. A halt is taken for it: nobody could wake the machine.
    PowerOff,
    /// And on again.
    Reboot,
}

/// Why there is no answer but an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No JSON object, or one without `execute`.
    Malformed(&'static str),
    /// A command that is not served.
    Unknown(String),
    /// An argument that is missing or of the wrong kind.
    Argument(&'static str),
}

/// Commands by name: whether a success is answered.
pub(super) const NAMES: [(&str, bool); 11] = [
    ("guest-sync-delimited", true),
    ("guest-sync", true),
    ("guest-ping", true),
    ("guest-info", true),
    ("guest-get-osinfo", true),
    ("guest-get-host-name", true),
    ("guest-network-get-interfaces", true),
    ("guest-get-time", true),
    ("guest-get-timezone", true),
    ("guest-get-users", true),
    ("guest-shutdown", false),
];

/// Reads a command.
pub(super) fn parse(frame: &Frame) -> Result<Command, Refusal> {
    let Frame::Object(bytes) = frame else { return Err(Refusal::Malformed("a JSON object is expected")) };
    let value: Value = serde_json::from_slice(bytes).map_err(|_| Refusal::Malformed("this is no JSON"))?;
    let Some(name) = value.get("execute").and_then(Value::as_str) else {
        return Err(Refusal::Malformed("an object with `execute` is expected"));
    };
    let argument = |key: &str| value.get("arguments").and_then(|arguments| arguments.get(key));
    let number = || argument("id").filter(|id| id.is_i64() || id.is_u64()).cloned().ok_or(Refusal::Argument("id"));
    match name {
        "guest-sync" => Ok(Command::Sync(number()?)),
        "guest-sync-delimited" => Ok(Command::SyncDelimited(number()?)),
        "guest-ping" => Ok(Command::Ping),
        "guest-info" => Ok(Command::Info),
        "guest-get-osinfo" => Ok(Command::OsInfo),
        "guest-get-host-name" => Ok(Command::HostName),
        "guest-network-get-interfaces" => Ok(Command::Interfaces),
        "guest-get-time" => Ok(Command::Time),
        "guest-get-timezone" => Ok(Command::TimeZone),
        "guest-get-users" => Ok(Command::Users),
        "guest-shutdown" => match argument("mode").map(|mode| mode.as_str().unwrap_or_default()) {
            None | Some("powerdown" | "halt") => Ok(Command::Shutdown(Shutdown::PowerOff)),
            Some("reboot") => Ok(Command::Shutdown(Shutdown::Reboot)),
            Some(_) => Err(Refusal::Argument("mode")),
        },
        name => Err(Refusal::Unknown(name.chars().take(80).collect())),
    }
}

/// A success, as a line.
pub(super) fn success(value: &Value) -> String {
    format!("{}\n", json!({ "return": value }))
}

impl Refusal {
    /// The refusal, as a line.
    pub(super) fn render(&self) -> String {
        let (class, text) = match self {
            Self::Malformed(text) => ("GenericError", (*text).to_owned()),
            Self::Unknown(name) => ("CommandNotFound", format!("The command {name} has not been found")),
            Self::Argument(name) => ("GenericError", format!("Parameter '{name}' is missing or malformed")),
        };
        format!("{}\n", json!({ "error": { "class": class, "desc": text } }))
    }
}

/// The answer to `guest-info`.
pub(super) fn info() -> Value {
    let commands = NAMES.map(|(name, answered)| json!({ "name": name, "enabled": true, "success-response": answered }));
    json!({ "version": env!("CARGO_PKG_VERSION"), "supported_commands": commands })
}
