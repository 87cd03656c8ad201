//! The child `time`: asks time servers (SNTP) and keeps the machine's clock by them.
//!
//! Servers are the machine config's, else those that DHCP names, else [`DEFAULT_SERVERS`]; the first that gives a usable answer counts.
//! A clock that is far off is set at once, a small error is left to the kernel's loop. An answer from before the image was made is no
//! answer. `rule` decides, purely; this room asks and acts.
//!
//! It says, each when it changes:
//! ```text
//! time synchronized=yes offset=+0.012345 server=<server> stratum=<n>     the clock was set, or found right
//! time synchronized=no reason=<text>                                     nobody could be asked; it goes on trying
//! ```
//! What it doesn't do: it serves no time, checks no signatures (NTS) and doesn't weigh servers against each other. Who answers first is
//! believed, within reason: from the image's date on, and later by an hour at most at a time once the clock was right.

mod ask;
mod rule;
mod servers;

use kmimage_contract::paths;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::clock;
use rule::{Clock, Next};
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};
use tokio::signal::unix::{SignalKind, signal};

/// The applet's name.
pub const APPLET: &str = "time";

/// Who is asked when nobody is named: a pool that belongs to no vendor. A network without it names its own servers by DHCP or config.
pub const DEFAULT_SERVERS: [&str; 4] = ["0.pool.ntp.org", "1.pool.ntp.org", "2.pool.ntp.org", "3.pool.ntp.org"];

/// Runs the child; it ends only by an error or a signal. SIGHUP: ask again, with the servers read anew.
pub(crate) fn run(_arguments: &[String]) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let error = match runtime.and_then(|runtime| runtime.block_on(keep(Path::new("/")))) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let _ = writeln!(io::stderr(), "time: {error}");
    ExitCode::FAILURE
}

async fn keep(root: &Path) -> io::Result<Infallible> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut state = Clock::new(image_date(root));
    let mut said = String::new();
    loop {
        let servers = servers::read(root);
        // Blocking: nothing else happens in this process, and a signal waits for seconds at most.
        let measured = ask::first_usable(&servers, &state);
        let next = state.step(measured);
        if let Some(adjustment) = next.adjustment
            && let Err(error) = clock::adjust(adjustment)
        {
            say(
                &StateLine::new("time").with("synchronized", "no").with("reason", format!("setting the clock: {error}")),
                &mut said,
            );
            // Without the right it will not work the next time either: but it costs nothing to see.
            tokio::time::sleep(rule::LONGEST).await;
            continue;
        }
        say(&line(&next), &mut said);
        tokio::select! {
            () = tokio::time::sleep(next.wait) => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Seconds since 1970 at which the image was made: the time of its own files. No clock is right before that.
fn image_date(root: &Path) -> Duration {
    let file = root.join(paths::OS_RELEASE.trim_start_matches('/'));
    let modified = std::fs::metadata(file).and_then(|facts| facts.modified());
    modified.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default()
}

fn line(next: &Next) -> StateLine {
    let line = StateLine::new("time");
    match &next.outcome {
        Ok(sample) => line
            .with("synchronized", "yes")
            .with("offset", format!("{:+.6}", sample.offset))
            .with("server", &sample.server)
            .with("stratum", sample.stratum),
        Err(reason) => line.with("synchronized", if next.was_right { "yes" } else { "no" }).with("reason", reason),
    }
}

/// To process 1, unless it was the last thing said.
fn say(line: &StateLine, said: &mut String) {
    let text = line.to_string();
    if *said != text {
        let mut output = io::stdout().lock();
        let _ = writeln!(output, "{text}").and_then(|()| output.flush());
        *said = text;
    }
}
