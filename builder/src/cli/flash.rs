//! `kmimage flash`.

mod shown;

use super::config::{name_of, read};
use super::options::source_date_epoch;
use super::{Outcome, terminal};
use crate::failure::Failure;
use crate::flash::config::{self, ConfigError};
use crate::flash::device::{self, Claimed, End};
use crate::flash::error::FlashError;
use crate::flash::facts::{Device, Machine};
use crate::flash::image::{Content, Image};
use crate::flash::judge::{self, Identity};
use crate::flash::{verify, write};
use crate::pipeline::PipelineError;
use crate::report::{Event, Reporter};
use anstream::{eprint, println};
use clap::Args;
use kmimage_contract::gpt;
use kmimage_sys::signals::{Signal, Signals};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};

/// What `kmimage flash` understands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kmimage flash --list                                    what can be written here, what can't, why
  sudo kmimage flash out/base/*.raw /dev/sdb              asks for the stick's serial number first
  sudo kmimage flash --serial 4C53 IMAGE.raw /dev/sdb     the same without a question, for scripts
  sudo kmimage flash --config node-1.toml IMAGE.raw /dev/sdb

Everything on the device is lost. Disks that this system runs from, and whatever is mounted or in
use, are refused; nothing overrides that. A device without a serial number is named by its shortest
name in /dev/disk/by-id, a loop device by the file behind it, any other by its size in bytes. The
partition table is written last: a device that was not written to its end boots nowhere.

Exit codes: 2 refused or not confirmed, 3 the machine config is refused, 4 the device holds other
bytes than were written, 7 it failed or rights are missing.")]
pub struct Arguments {
    /// The image: a raw disk or an ISO.
    #[arg(required_unless_present = "list")]
    image: Option<PathBuf>,
    /// The device: a whole disk, such as /dev/sdb or a link in /dev/disk/by-id.
    #[arg(required_unless_present = "list")]
    device: Option<PathBuf>,
    /// List the disks of this machine, and why one is refused.
    #[arg(long, conflicts_with_all = ["image", "device", "serial", "config", "no_eject"])]
    list: bool,
    /// The device's serial number (or what stands for it), instead of the question.
    #[arg(long, value_name = "SERIAL")]
    serial: Option<String>,
    /// A machine config to put onto the device's EFI system partition, as /kmimage/machine.toml; `-` reads standard input. It is judged
    /// first. It lies there readable until a machine has taken it; on an install medium it stays.
    #[arg(long, value_name = "FILE", conflicts_with = "list")]
    config: Option<PathBuf>,
    /// Leave the device in the machine when it is written.
    #[arg(long)]
    no_eject: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists devices, or writes one.
pub fn main(arguments: &Arguments, report: Reporter<'_>) -> Outcome {
    let machine = Machine::read(Path::new("/")).map_err(FlashError::Facts)?;
    let (Some(image), Some(path)) = (&arguments.image, &arguments.device) else { return list(&machine, arguments.json) };
    let image = Image::open(image)?;
    let config = arguments.config.as_deref().map(|file| machine_config(file, &image, report)).transpose()?;
    let device = device::find(&machine, path)?;
    judge::device_for(&machine, device, &image).map_err(FlashError::Refused)?;
    let mut content = Content::new(&image, device.size)?;
    content.lay_over(config.into_iter().flatten());
    confirm(arguments, &machine, device, &image)?;
    let claimed = Claimed::open(&device.path(), device, || as_root(arguments, &image, path, device))?;
    // From here on an interruption is answered between two pieces.
    let signals = RefCell::new(Signals::open().map_err(FlashError::Signals)?);
    let stopped = Cell::new(false);
    let stop = || {
        let came = signals.borrow_mut().take();
        stopped.set(stopped.get() || matches!(came, Ok(Some(Signal::Interrupt | Signal::Terminate))));
        stopped.get()
    };
    report(Event::Stage(format!("writing {} to {}", image.path().display(), device.path().display())));
    write::write(&claimed, &content, &stop, report)?;
    report(Event::Stage("reading it back".into()));
    verify::verify(&claimed, &content, &stop, report)?;
    let end = claimed.end(!arguments.no_eject);
    report(Event::Stage(match end {
        End::Ejected => "written, verified and ejected: it can be taken out".into(),
        End::Flushed => "written and verified: everything is on it, it can be taken out".into(),
    }));
    if arguments.json {
        let mut done = shown::device(&machine, device);
        done["config"] = Value::Bool(arguments.config.is_some());
        done["image"] = json!(image.path());
        done["image-bytes"] = json!(image.size());
        done["verified"] = Value::Bool(true);
        done["ejected"] = Value::Bool(end == End::Ejected);
        println!("{}", serde_json::to_string_pretty(&done).map_err(PipelineError::Json)?);
    }
    Ok(())
}

/// Reads and judges a machine config, and says where the image's ESP has room for it. Whoever gives secrets away is told so.
fn machine_config(file: &Path, image: &Image, report: Reporter<'_>) -> Result<Vec<gpt::Write>, Failure> {
    let document = read(file).map_err(|source| ConfigError::Read { path: file.to_owned(), source })?;
    let secrets = config::judge(&name_of(file), &document)?.secret_keys();
    if !secrets.is_empty() {
        let until = if config::is_kept(image) { " until a machine has taken it" } else { ": on an install medium they stay" };
        let text = format!("whoever holds the device can read the config's secrets ({}){until}", secrets.join(", "));
        report(Event::Warning(text));
    }
    let epoch = source_date_epoch()?.unwrap_or(0);
    Ok(config::placed(image, &document, i64::from(epoch))?)
}

/// Shows what would be lost; takes `--serial`, else asks for what names the device.
fn confirm(arguments: &Arguments, machine: &Machine, device: &Device, image: &Image) -> Result<(), FlashError> {
    let identity = Identity::of(device);
    let path = device.path();
    let typed = match &arguments.serial {
        Some(serial) => serial.clone(),
        None => {
            eprint!("{}", shown::text(machine, device));
            let size = terminal::size(image.size());
            eprint!("All of this is overwritten with {} ({size}). Type the {}: ", image.path().display(), identity.what());
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            if !matches!(read, Ok(1..)) {
                eprint!("\n");
                return Err(FlashError::Unanswered { path, identity });
            }
            line.trim().to_owned()
        }
    };
    if identity.is(&typed) { Ok(()) } else { Err(FlashError::WrongIdentity { path, identity, typed }) }
}

/// The command that does the same as root. sudo has a PATH of its own, so the program is named whole.
fn as_root(arguments: &Arguments, image: &Image, path: &Path, device: &Device) -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "kmimage".into());
    let mut words = vec!["sudo".to_owned(), quoted(program.as_os_str()), "flash".to_owned()];
    words.extend(arguments.no_eject.then(|| "--no-eject".to_owned()));
    words.extend(arguments.json.then(|| "--json".to_owned()));
    if let Some(config) = &arguments.config {
        words.extend(["--config".to_owned(), quoted(config.as_os_str())]);
    }
    words.push("--serial".to_owned());
    words.push(quoted(Identity::of(device).to_string().as_ref()));
    words.push(quoted(image.path().as_os_str()));
    words.push(quoted(path.as_os_str()));
    words.join(" ")
}

/// A word for a shell.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) { word.into_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn list(machine: &Machine, as_json: bool) -> Outcome {
    let disks: Vec<&Device> = machine.devices.values().filter(|device| shown::is_listed(device)).collect();
    if as_json {
        let disks: Vec<Value> = disks.iter().map(|device| shown::device(machine, device)).collect();
        println!("{}", serde_json::to_string_pretty(&disks).map_err(PipelineError::Json)?);
    } else if disks.is_empty() {
        println!("this machine has no disks that can be seen from here");
    } else {
        for device in disks {
            print_one(machine, device);
        }
    }
    Ok(())
}

fn print_one(machine: &Machine, device: &Device) {
    anstream::print!("{}", shown::text(machine, device));
    match judge::device(machine, device) {
        Ok(()) => println!("  can be written; {}: {}", Identity::of(device).what(), Identity::of(device)),
        Err(refusal) => println!("  refused: {refusal}"),
    }
}
