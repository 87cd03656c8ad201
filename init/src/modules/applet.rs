//! The applet `modprobe`: what the kernel (`/sbin/modprobe -q -- ALIAS`), iptables and network plugins call.
//!
//! Exit codes are kmod's: 0 done (also when it was there already, or is built in), 1 not. Options that a node's programs don't use are
//! refused by name.

use super::{Loader, ModuleError, Outcome};
use crate::failure::chain;
use kmimage_sys::kernel_log::{self, Level};
use std::io::Write as _;
use std::process::ExitCode;

/// What a command line asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Request {
    /// Names and aliases to load.
    wanted: Vec<String>,
    /// Parameters for the (one) module.
    parameters: String,
    /// Say nothing when there is no such module.
    quiet: bool,
    /// Say what would be loaded, and load nothing.
    dry_run: bool,
    /// The kernel's log instead of standard error.
    log: bool,
}

/// Reads the words behind the applet's name, options in any place before `--`.
fn parse(words: &[String]) -> Result<Request, String> {
    let mut request = Request::default();
    let (mut names, mut all, mut only_names) = (Vec::new(), false, false);
    for word in words {
        let option = |request: &mut Request, all: &mut bool, option: &str| {
            match option {
                "q" | "quiet" => request.quiet = true,
                "a" | "all" => *all = true,
                "s" | "syslog" => request.log = true,
                "n" | "dry-run" | "show" => request.dry_run = true,
                // There is nothing to say but errors, and aliases always honour the blacklist.
                "v" | "verbose" | "b" | "use-blacklist" => {}
                other => {
                    return Err(format!("option `{other}` is not supported: this modprobe loads modules and does nothing else"));
                }
            }
            Ok(())
        };
        if only_names || word == "-" || !word.starts_with('-') {
            names.push(word.clone());
        } else if word == "--" {
            only_names = true;
        } else if let Some(long) = word.strip_prefix("--") {
            option(&mut request, &mut all, long)?;
        } else {
            word.chars().skip(1).try_for_each(|short| option(&mut request, &mut all, short.encode_utf8(&mut [0; 4])))?;
        }
    }
    if names.is_empty() {
        return Err("no module is named".to_owned());
    }
    if !all {
        request.parameters = names.split_off(1).join(" ");
    }
    request.wanted = names;
    Ok(request)
}

/// Runs the applet.
pub fn run(words: &[String]) -> ExitCode {
    let request = match parse(words) {
        Ok(request) => request,
        Err(message) => {
            complain(false, &message);
            return ExitCode::FAILURE;
        }
    };
    let mut loader = Loader::open();
    let mut good = true;
    for wanted in &request.wanted {
        if request.dry_run {
            good &= show(&loader, wanted, request.quiet);
            continue;
        }
        match loader.load_with(wanted, &request.parameters) {
            Ok(Outcome::Loaded(_) | Outcome::BuiltIn | Outcome::Blacklisted) => {}
            Err(error) => {
                good = false;
                if !(request.quiet && matches!(error, ModuleError::Unknown { .. })) {
                    complain(request.log, &chain(&error));
                }
            }
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(loader: &Loader, wanted: &str, quiet: bool) -> bool {
    let modules = match loader.tables().find(wanted) {
        super::Found::Modules(modules) => modules,
        super::Found::BuiltIn | super::Found::Blacklisted => return true,
        super::Found::Unknown => {
            if !quiet {
                complain(false, &format!("there is no module `{wanted}`"));
            }
            return false;
        }
    };
    let mut out = std::io::stdout();
    modules.iter().flat_map(|module| loader.tables().plan(module)).all(|step| {
        let line = format!("insmod {} {}", step.path, step.parameters);
        writeln!(out, "{}", line.trim_end()).is_ok()
    })
}

/// The kernel gives its helper no standard error, so the log is told as well.
fn complain(log_only: bool, message: &str) {
    if !log_only {
        let _ = writeln!(std::io::stderr(), "modprobe: {message}");
    }
    kernel_log::write(Level::Debug, &format!("modprobe: {message}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_read_as_kmod_reads_them() {
        let check = |line: &str, expect: Result<&str, &str>| {
            let words: Vec<String> = line.split_ascii_whitespace().map(str::to_owned).collect();
            let show = |request: Request| {
                let flags = [(request.quiet, "q"), (request.dry_run, "n"), (request.log, "s")].into_iter().filter(|(is, _)| *is);
                let flags: String = flags.map(|(_, flag)| flag).collect();
                format!("{} [{}] {flags}", request.wanted.join(","), request.parameters)
            };
            assert_eq!(parse(&words).map(show), expect.map(str::to_owned).map_err(str::to_owned), "{line}");
        };
        check("-q -- net-pf-10", Ok("net-pf-10 [] q"));
        check("ip_tables -q", Ok("ip_tables [] q"));
        check("br_netfilter", Ok("br_netfilter [] "));
        check("-va a b", Ok("a,b [] "));
        check("-qns x", Ok("x [] qns"));
        check("--dry-run --quiet x", Ok("x [] qn"));
        check("x heartbeat=30 nowayout=1", Ok("x [heartbeat=30 nowayout=1] "));
        check("-- -q", Ok("-q [] "));
        check("-", Ok("- [] "));
        check("", Err("no module is named"));
        check("-q", Err("no module is named"));
        check("-r x", Err("option `r` is not supported: this modprobe loads modules and does nothing else"));
        check(
            "--set-version=6 x",
            Err("option `set-version=6` is not supported: this modprobe loads modules and does nothing else"),
        );
    }
}
