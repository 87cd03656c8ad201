//! What the machine's screen shows: the boot told in plain lines, then a page of what the machine is and how it does. Pure: state lines
//! come in, text comes out.
//!
//! A screen takes no input and shows no secrets: what it says, everybody who stands before the machine may know.

use kmimage_contract::release::Release;
use kmimage_contract::state_line::StateLine;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is known of the machine, by what has been said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Role and version of the image.
    image: String,
    slot: String,
    hostname: String,
    /// What the machine does, in a few words.
    standing: String,
    config: String,
    /// How it does in its cluster.
    cluster: String,
    /// Addresses by interface.
    addresses: BTreeMap<String, String>,
    /// The states of services by name.
    services: BTreeMap<String, String>,
    /// Parts of the boot: name, seconds since the start, result.
    phases: Vec<(String, String, String)>,
    last_error: String,
}

/// How many parts of the boot the page has room for.
const PHASES: usize = 12;

impl Status {
    /// Of an image, before anything is known.
    pub fn new(release: Option<&Release>) -> Self {
        let image = release.map_or_else(String::new, |release| format!("{} {}", release.role, release.version));
        Self { image, standing: "booting".to_owned(), ..Self::default() }
    }

    /// Takes in what is said.
    pub fn hear(&mut self, line: &StateLine) {
        let text = |key: &str| line.get(key).unwrap_or_default().to_owned();
        match line.state() {
            "ready" => {
                self.standing = "ready".to_owned();
                self.image = format!("{} {}", text("role"), text("version"));
                (self.slot, self.config) = (text("slot"), text("config"));
            }
            "waiting" => {
                let reason = line.get("reason").map_or_else(String::new, |reason| format!(" ({reason})"));
                self.standing = format!("waiting for {}{reason}", text("for"));
            }
            "maintenance" => {
                self.standing = "maintenance: waits for a good configuration".to_owned();
                self.last_error = text("reason");
            }
            "failed" => {
                self.standing = "failed".to_owned();
                self.last_error = format!("{}: {}", text("step"), text("message"));
            }
            "powering-off" | "restarting" => {
                let reason = line.get("reason").map_or_else(String::new, |reason| format!(" ({reason})"));
                self.standing = format!("{}{reason}", line.state().replace('-', " "));
            }
            "phase" => {
                let name = text("name");
                self.phases.retain(|(known, ..)| *known != name);
                self.phases.push((name, text("at"), text("result")));
                if self.phases.len() > PHASES {
                    self.phases.remove(0);
                }
            }
            "network" => self.hear_network(line),
            "config" => match line.get("result") {
                Some("taken") => self.config = text("source"),
                Some("none") => self.config = "none".to_owned(),
                Some("refused") => self.last_error = format!("config from {}: {}", text("source"), text("error")),
                _ => {}
            },
            "service" => match line.get("state") {
                Some("removed") => drop(self.services.remove(&text("name"))),
                _ => drop(self.services.insert(text("name"), text("state"))),
            },
            "cluster" => self.hear_cluster(line),
            "boot" if line.get("last-failure").is_some() => self.last_error = format!("last boot: {}", text("last-failure")),
            state if state.ends_with("-failed") => self.last_error = format!("{}: {}", text("what"), text("cause")),
            _ => {}
        }
    }

    fn hear_cluster(&mut self, line: &StateLine) {
        if let Some(text) = in_cluster(line) {
            self.cluster = text;
        }
        if line.get("state") == Some("refused") {
            let text = |key: &str| line.get(key).unwrap_or_default();
            self.last_error = format!("join: {}; {}", text("message"), text("remedy"));
        }
    }

    fn hear_network(&mut self, line: &StateLine) {
        if let Some(hostname) = line.get("hostname") {
            hostname.clone_into(&mut self.hostname);
        }
        if let Some(interface) = line.get("interface") {
            match line.get("addresses") {
                Some(addresses) if !addresses.is_empty() => {
                    self.addresses.insert(interface.to_owned(), addresses.replace(',', " "));
                }
                _ => drop(self.addresses.remove(interface)),
            }
        }
    }

    /// Whether the boot has come so far that the page says more than the boot's lines.
    pub fn has_come_far(&self) -> bool {
        self.standing != "booting"
    }

    /// The page: at most so many lines, none longer than `width`; plain ASCII.
    pub fn page(&self, width: usize, height: usize) -> Vec<String> {
        let mut lines = vec![format!("kmimage {}", self.image), String::new()];
        let rows = [
            ("host", &self.hostname),
            ("state", &self.standing),
            ("slot", &self.slot),
            ("config", &self.config),
            ("cluster", &self.cluster),
        ];
        lines.extend(rows.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| row(name, value)));
        lines.extend(listed("addresses", self.addresses.iter().map(|(name, value)| format!("{name}  {value}"))));
        lines.extend(listed("services", self.services.iter().map(|(name, value)| format!("{name}  {value}"))));
        if !self.last_error.is_empty() {
            lines.extend(wrapped("last error", &self.last_error, width));
        }
        let phases: Vec<String> = self.phases.iter().map(|(name, at, result)| told(name, at, result)).collect();
        // What the boot did is the first to go where there is no room.
        if lines.len() + phases.len() < height {
            lines.extend(listed("boot", phases.into_iter()));
        }
        if lines.len() > height {
            lines.truncate(height.saturating_sub(1));
            lines.push("...".to_owned());
        }
        lines.iter().take(height).map(|line| fitted(line, width)).collect()
    }
}

/// A state line as a person reads it while the machine boots. `None`: it is nothing for a person.
pub fn plain(line: &StateLine) -> Option<String> {
    let text = |key: &str| line.get(key).unwrap_or_default();
    match line.state() {
        "phase" => Some(told(text("name"), text("at"), text("result"))),
        "waiting" => Some(format!("waiting for {} {}", text("for"), text("reason")).trim_end().to_owned()),
        "failed" => Some(format!("failed: {}: {}", text("step"), text("message"))),
        "cluster" => in_cluster(line).map(|text| format!("cluster: {text}")),
        "ignored" => Some(format!("ignored: {}: {}", text("parameter"), text("reason"))),
        state if state.ends_with("-failed") => Some(format!("failed: {}: {}", text("what"), text("cause"))),
        _ => None,
    }
}

/// What a line of the child `cluster` says, for people. `None`: nothing.
fn in_cluster(line: &StateLine) -> Option<String> {
    let text = |key: &str| line.get(key).unwrap_or_default();
    match (line.get("node"), line.get("state")) {
        (Some("ready"), _) => Some("ready".to_owned()),
        (Some(_), _) if line.get("waiting") == Some("cni") => Some("joined, waits for a network plugin".to_owned()),
        (Some(state), _) => Some(format!("{}: {}", state.replace('-', " "), text("reason"))),
        (None, Some("joining")) => Some(format!("joining ({})", text("step"))),
        (None, Some("refused")) => Some(format!("refused: {}", text("message"))),
        (None, Some("joined")) => Some("joined".to_owned()),
        _ => line.get("changed").map(|_| text("message").to_owned()),
    }
}

/// `   3.214  var  done`
fn told(name: &str, at: &str, result: &str) -> String {
    format!("{at:>8}  {name}  {result}")
}

const MARGIN: usize = 12;

fn row(name: &str, value: &str) -> String {
    format!("{name:MARGIN$}{value}")
}

/// Several values, the name before the first.
fn listed<'a>(name: &'a str, values: impl Iterator<Item = String> + 'a) -> impl Iterator<Item = String> + 'a {
    values.enumerate().map(move |(number, value)| row(if number == 0 { name } else { "" }, &value))
}

/// A long value in up to four lines.
fn wrapped(name: &str, value: &str, width: usize) -> Vec<String> {
    let room = width.saturating_sub(MARGIN).max(8);
    let characters: Vec<char> = value.chars().collect();
    characters
        .chunks(room)
        .take(4)
        .enumerate()
        .map(|(number, part)| row(if number == 0 { name } else { "" }, &part.iter().collect::<String>()))
        .collect()
}

/// A line that a screen of any age shows as it is, cut to its width.
fn fitted(line: &str, width: usize) -> String {
    line.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).take(width).collect()
}

/// The escape sequences that put a page on a terminal: no cursor, from the upper left corner, each line to its end, then nothing.
pub fn drawn(page: &[String]) -> String {
    let mut text = "\x1b[?25l\x1b[?7l\x1b[H".to_owned();
    for (number, line) in page.iter().enumerate() {
        let _ = write!(text, "{}{line}\x1b[K", if number == 0 { "" } else { "\r\n" });
    }
    text.push_str("\x1b[J");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(lines: &[&str]) -> Status {
        let release = Release {
            image_id: "kmimage-base".to_owned(),
            version: "0.1.0".to_owned(),
            role: "base".to_owned(),
            slot_size: 256 << 20,
        };
        let mut status = Status::new(Some(&release));
        for line in lines {
            status.hear(&StateLine::parse(&format!("kmimage: {line}")).unwrap());
        }
        status
    }

    const LINES: [&str; 12] = [
        "phase name=state result=done at=2.104",
        "phase name=var result=done at=3.250",
        "devices coldplug=done modules=40 ms=900",
        "network hostname=node-1",
        "network interface=ens3 addresses=10.0.0.2/24,fe80::1/64 state=up",
        "network interface=ens4 state=down",
        "config result=taken source=iso sha256=00",
        "service name=crio state=starting",
        "service name=crio state=ready",
        "service name=old state=ready",
        "service name=old state=removed",
        "ready role=base version=0.1.0 slot=a roothash=00 config=iso",
    ];

    #[test]
    fn the_page_says_what_the_machine_is() {
        let expect = "kmimage base 0.1.0\n\nhost        node-1\nstate       ready\nslot        a\nconfig      iso\n\
                      addresses   ens3  10.0.0.2/24 fe80::1/64\nservices    crio  ready\n\
                      boot           2.104  state  done\n               3.250  var  done";
        assert_eq!(status(&LINES).page(80, 25).join("\n"), expect);
    }

    #[test]
    fn what_is_wrong_is_on_it() {
        let check = |lines: &[&str], expect: &[&str]| {
            let page = status(lines).page(60, 25).join("\n");
            for part in expect {
                assert!(page.contains(part), "{part}\n{page}");
            }
        };
        check(&[], &["state       booting"]);
        check(&["waiting for=network reason=carrier"], &["state       waiting for network (carrier)"]);
        check(
            &["maintenance reason=\"the config from iso is refused\""],
            &["state       maintenance", "last error  the config from iso is refused"],
        );
        check(&["config result=refused source=url error=bad"], &["last error  config from url: bad"]);
        check(&["storage-failed what=var cause=damaged"], &["last error  var: damaged"]);
        check(&["failed step=panic message=oh"], &["state       failed", "last error  panic: oh"]);
        check(&["cluster state=refused message=bad remedy=mend"], &["cluster     refused: bad", "last error  join: bad; mend"]);
        check(&["cluster state=refused message=a", "cluster node=ready crio=up"], &["cluster     ready"]);
        check(&["boot failed-before=1 last-failure=\"it hung\""], &["last error  last boot: it hung"]);
        check(&["powering-off reason=power-button"], &["state       powering off (power-button)"]);
        check(&["network interface=ens3 addresses=1.2.3.4/8", "network interface=ens3 state=down"], &["state       booting"]);
    }

    #[test]
    fn it_fits_every_screen() {
        let long = format!("failed step=x message=\"{}\"", "long \\u{e4} ".repeat(200));
        let mut lines: Vec<&str> = LINES.to_vec();
        lines.push(&long);
        let status = status(&lines);
        for (width, height) in [(0, 0), (1, 1), (7, 3), (20, 5), (80, 25), (80, 11), (240, 67)] {
            let page = status.page(width, height);
            assert!(page.len() <= height, "{width}x{height}");
            for line in &page {
                assert!(
                    line.len() <= width && line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                    "{width}x{height}: {line}"
                );
            }
        }
        assert_eq!(status.page(80, 5).last().map(String::as_str), Some("..."));
    }

    #[test]
    fn the_boot_is_told_in_plain_lines() {
        let check = |line: &str, expect: Option<&str>| {
            assert_eq!(plain(&StateLine::parse(&format!("kmimage: {line}")).unwrap()).as_deref(), expect);
        };
        check("phase name=var result=done at=3.250", Some("   3.250  var  done"));
        check("waiting for=network", Some("waiting for network"));
        check("storage-failed what=var cause=damaged", Some("failed: var: damaged"));
        check("cluster state=joining step=discovery", Some("cluster: joining (discovery)"));
        check("cluster state=refused cause=clock message=\"it is off\" remedy=x", Some("cluster: refused: it is off"));
        check("cluster node=not-ready waiting=cni", Some("cluster: joined, waits for a network plugin"));
        check("cluster kubelet=configured", None);
        check("devices added=ens3 kind=interface", None);
        assert_eq!(drawn(&["a".to_owned(), "b".to_owned()]), "\x1b[?25l\x1b[?7l\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J");
    }
}
