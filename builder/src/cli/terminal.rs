//! What a person sees while kmimage works: bars on a terminal, plain lines elsewhere, errors with their causes and remedies.
//!
//! Everything goes to standard error; standard output belongs to results that a script reads.

use crate::failure::Failure;
use crate::report::{Event, Unit};
use anstream::eprintln;
use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const STAGE: Style = AnsiColor::Green.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();

/// Standard error as a place to report to.
pub struct Terminal {
    quiet: bool,
    bars: Option<MultiProgress>,
    running: Mutex<BTreeMap<String, Bar>>,
}

enum Bar {
    Drawn(ProgressBar),
    /// Not a terminal: a line at the start and at the end, and one per tenth between for work that is long.
    Plain {
        tenth: u64,
    },
}

impl Terminal {
    /// Bars only where standard error is a terminal and nobody asked for quiet.
    pub fn new(quiet: bool) -> Self {
        let bars = (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { quiet, bars, running: Mutex::default() }
    }

    /// Shows one event.
    pub fn event(&self, event: Event) {
        match event {
            Event::Warning(text) => self.line(WARNING, "warning", &text),
            _ if self.quiet => {}
            Event::Stage(text) => self.line(STAGE, "==>", &text),
            Event::Note(text) => self.line(Style::new(), "   ", &text),
            Event::Progress { label, done, total, unit } => self.progress(label, done, total, unit),
        }
    }

    /// Takes every bar away.
    pub fn finish(&self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if let Some(bars) = &self.bars {
            // A terminal that is gone is no reason to fail.
            let _ = bars.clear();
        }
    }

    /// Prints an error, its causes and its remedies.
    pub fn failure(&self, failure: &Failure) {
        let mut chain = failure.chain().into_iter();
        if let Some(first) = chain.next() {
            eprintln!("{ERROR}error{ERROR:#}: {first}");
        }
        for cause in chain {
            eprintln!("  caused by: {cause}");
        }
        for hint in failure.hints() {
            eprintln!("{HINT}  help{HINT:#}: {hint}");
        }
    }

    fn line(&self, style: Style, tag: &str, text: &str) {
        let separator = if tag == "warning" { ":" } else { "" };
        let print = || eprintln!("{style}{tag}{style:#}{separator} {text}");
        match &self.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }

    fn progress(&self, label: String, done: u64, total: u64, unit: Unit) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let finished = total != 0 && done >= total;
        let bar = running.entry(label.clone()).or_insert_with(|| match &self.bars {
            Some(bars) => Bar::Drawn(bars.add(ProgressBar::new(total).with_message(label.clone()).with_style(style(unit)))),
            None => Bar::Plain { tenth: 0 },
        });
        match bar {
            Bar::Drawn(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                if finished {
                    bar.finish_and_clear();
                }
            }
            Bar::Plain { tenth } => {
                let now = done.saturating_mul(10).checked_div(total).unwrap_or(0);
                // Small work is over before a reader could use a line about it.
                let long = unit == Unit::Bytes && total >= 8 << 20;
                if long && now > *tenth {
                    *tenth = now;
                    eprintln!("    {label}: {}% of {}", now * 10, size(total));
                }
            }
        }
        if finished {
            running.remove(&label);
        }
    }
}

#[expect(clippy::literal_string_with_formatting_args, reason = "indicatif's templates look like format strings")]
fn style(unit: Unit) -> ProgressStyle {
    let template = match unit {
        Unit::Bytes => "    {msg:<40!} {bar:30} {bytes:>10} / {total_bytes:<10} {bytes_per_sec}",
        Unit::Items => "    {msg:<40!} {bar:30} {pos:>7} / {len}",
    };
    // The template is a constant; should it ever be wrong, a plain bar still tells what is going on.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A size for people: powers of 1024 with one decimal.
pub fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
