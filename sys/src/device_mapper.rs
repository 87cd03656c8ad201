//! device-mapper's ioctls (linux/dm-ioctl.h, version 4): create a device, load a table, resume it, ask what it does.
//!
//! Requests and answers are put together and taken apart in safe code; only the call itself is not. Names are checked here, as the
//! kernel would cut them.

use rustix::fs::{major, makedev, minor};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;

/// Where the kernel listens; devtmpfs has it as soon as dm-mod is loaded.
const CONTROL: &str = "/dev/mapper/control";

/// The size of `struct dm_ioctl`, in bytes.
const HEADER: usize = 312;
/// The size of `struct dm_target_spec`, in bytes.
const TARGET: usize = 40;
/// Room for an answer: far more than a verity table takes.
const ANSWER: usize = 16 * 1024;

const READ_ONLY: u32 = 1 << 0;
const STATUS_TABLE: u32 = 1 << 4;
const BUFFER_FULL: u32 = 1 << 8;

/// A device number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl DeviceNumber {
    /// From the form that stat(2) has.
    pub fn from_stat(device: u64) -> Self {
        Self { major: major(device), minor: minor(device) }
    }

    /// The form that stat(2) has.
    pub fn to_stat(self) -> u64 {
        makedev(self.major, self.minor)
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// One target of a device: what kind it is and what the kernel says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its first sector of 512 bytes.
    pub start: u64,
    /// Its length in sectors of 512 bytes.
    pub length: u64,
    /// Its kind, such as `verity`.
    pub kind: String,
    /// Its parameters, or its status.
    pub text: String,
}

/// Why device-mapper did not do it.
#[derive(Debug, thiserror::Error)]
pub enum DeviceMapperError {
    /// The control device is missing: dm-mod is not loaded.
    #[error("opening {CONTROL}")]
    Open(#[source] io::Error),
    /// The kernel refused; its log says more.
    #[error("device-mapper: {action} of `{device}`")]
    Refused {
        /// What was asked.
        action: &'static str,
        /// Of which device.
        device: String,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// A name, UUID or kind that has no room in the request.
    #[error("device-mapper: `{0}` is too long or has a zero byte")]
    Text(String),
    /// An answer that contradicts itself, or is longer than we have room for.
    #[error("device-mapper: the answer for `{0}` makes no sense")]
    Answer(String),
}

/// The connection to device-mapper.
#[derive(Debug)]
pub struct DeviceMapper {
    control: File,
}

#[derive(Debug, Clone, Copy)]
enum Command {
    Create = 3,
    Remove = 4,
    Suspend = 6,
    TableLoad = 9,
    TableStatus = 12,
}

impl Command {
    fn action(self) -> &'static str {
        match self {
            Command::Create => "creation",
            Command::Remove => "removal",
            Command::Suspend => "resumption",
            Command::TableLoad => "table load",
            Command::TableStatus => "table status",
        }
    }
}

impl DeviceMapper {
    /// Opens the control device.
    pub fn open() -> Result<Self, DeviceMapperError> {
        let control = OpenOptions::new().read(true).write(true).open(CONTROL).map_err(DeviceMapperError::Open)?;
        Ok(Self { control })
    }

    /// Makes a read-only device with one target, ready for use. A device that can't be made whole is removed again.
    pub fn create_read_only(
        &self,
        name: &str,
        uuid: &str,
        length: u64,
        kind: &str,
        parameters: &str,
    ) -> Result<DeviceNumber, DeviceMapperError> {
        let device = Device::Name(name);
        let answer = self.call(Command::Create, Request::new(device, READ_ONLY)?.with_uuid(uuid)?)?;
        let load = || -> Result<(), DeviceMapperError> {
            self.call(Command::TableLoad, Request::new(device, READ_ONLY)?.with_target(length, kind, parameters)?)?;
            // A suspend request without the suspend flag is a resume request.
            self.call(Command::Suspend, Request::new(device, READ_ONLY)?)?;
            Ok(())
        };
        if let Err(error) = load() {
            let _ = Request::new(device, 0).and_then(|request| self.call(Command::Remove, request));
            return Err(error);
        }
        Ok(decode_device(u64_at(&answer, 40)))
    }

    /// The table of the device with this number: what it was loaded with.
    pub fn table(&self, device: DeviceNumber) -> Result<Vec<Target>, DeviceMapperError> {
        self.targets(device, STATUS_TABLE)
    }

    /// The status of the targets of the device with this number: for verity `V` while all is well, `C` after a corrupted block.
    pub fn status(&self, device: DeviceNumber) -> Result<Vec<Target>, DeviceMapperError> {
        self.targets(device, 0)
    }

    fn targets(&self, device: DeviceNumber, flags: u32) -> Result<Vec<Target>, DeviceMapperError> {
        let request = Request::new(Device::Number(device), flags)?;
        let label = request.label.clone();
        let answer = self.call(Command::TableStatus, request)?;
        parse_targets(&answer).ok_or(DeviceMapperError::Answer(label))
    }

    #[expect(unsafe_code, reason = "rustix has no device-mapper ioctls")]
    fn call(&self, command: Command, request: Request) -> Result<Vec<u8>, DeviceMapperError> {
        let Request { label, mut bytes } = request;
        bytes.resize(bytes.len().max(ANSWER), 0);
        let length = bytes.len();
        bytes[12..16].copy_from_slice(&(length as u32).to_ne_bytes());
        // The kernel asks for no alignment, but a struct with u64 in it deserves one.
        let mut words: Vec<u64> = bytes.chunks(8).map(to_word).collect();
        let call = Call { command, buffer: words.as_mut_ptr().cast() };
        // SAFETY: `buffer` points to `length` bytes that live until the call returns, `data_size` (set above) tells the kernel so, and
        // the kernel writes no more than `data_size` bytes (linux/dm-ioctl.h).
        unsafe { rustix::ioctl::ioctl(&self.control, call) }.map_err(|error| DeviceMapperError::Refused {
            action: command.action(),
            device: label.clone(),
            source: error.into(),
        })?;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        if u32_at(&bytes, 28) & BUFFER_FULL != 0 {
            return Err(DeviceMapperError::Answer(label));
        }
        Ok(bytes)
    }
}

/// One ioctl on the control device.
struct Call {
    command: Command,
    buffer: *mut libc::c_void,
}

#[expect(unsafe_code, reason = "rustix's trait for ioctls is unsafe to implement")]
// SAFETY: the opcode is `_IOWR(0xfd, command, struct dm_ioctl)` as linux/dm-ioctl.h has it; the pointer is the caller's buffer.
unsafe impl rustix::ioctl::Ioctl for Call {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> rustix::ioctl::Opcode {
        rustix::ioctl::opcode::read_write::<[u8; HEADER]>(0xfd, self.command as u8)
    }

    fn as_ptr(&mut self) -> *mut libc::c_void {
        self.buffer
    }

    unsafe fn output_from_ptr(_: rustix::ioctl::IoctlOutput, _: *mut libc::c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// How a request names its device.
#[derive(Clone, Copy)]
enum Device<'a> {
    Name(&'a str),
    Number(DeviceNumber),
}

/// A request's bytes: `struct dm_ioctl` and what follows it.
struct Request {
    label: String,
    bytes: Vec<u8>,
}

impl Request {
    fn new(device: Device<'_>, flags: u32) -> Result<Self, DeviceMapperError> {
        let mut bytes = vec![0; HEADER];
        for (at, value) in [(0, 4), (16, HEADER as u32), (28, flags)] {
            bytes[at..at + 4].copy_from_slice(&u32::to_ne_bytes(value));
        }
        let label = match device {
            Device::Name(name) => {
                put_text(&mut bytes[48..176], name)?;
                name.to_owned()
            }
            Device::Number(number) => {
                bytes[40..48].copy_from_slice(&encode_device(number).to_ne_bytes());
                number.to_string()
            }
        };
        Ok(Self { label, bytes })
    }

    fn with_uuid(mut self, uuid: &str) -> Result<Self, DeviceMapperError> {
        put_text(&mut self.bytes[176..305], uuid)?;
        Ok(self)
    }

    fn with_target(mut self, length: u64, kind: &str, parameters: &str) -> Result<Self, DeviceMapperError> {
        self.bytes[20..24].copy_from_slice(&1u32.to_ne_bytes());
        let mut spec = [0; TARGET];
        spec[8..16].copy_from_slice(&length.to_ne_bytes());
        put_text(&mut spec[24..40], kind)?;
        let mut text = vec![0; (parameters.len() + 1).next_multiple_of(8)];
        put_text(&mut text, parameters)?;
        self.bytes.extend_from_slice(&spec);
        self.bytes.extend_from_slice(&text);
        Ok(self)
    }
}

/// Puts a text and its terminating zero into a zeroed field.
fn put_text(field: &mut [u8], text: &str) -> Result<(), DeviceMapperError> {
    if text.len() >= field.len() || text.contains('\0') {
        return Err(DeviceMapperError::Text(text.to_owned()));
    }
    field[..text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}

/// Reads the targets behind the header. `None`: the answer contradicts itself.
fn parse_targets(answer: &[u8]) -> Option<Vec<Target>> {
    let data = answer.get(u32_at(answer, 16) as usize..u32_at(answer, 12) as usize)?;
    let mut targets = Vec::new();
    let mut at = 0usize;
    for _ in 0..u32_at(answer, 20) {
        let spec = data.get(at..at.checked_add(TARGET)?)?;
        let text = data.get(at + TARGET..)?;
        targets.push(Target {
            start: u64_at(spec, 0),
            length: u64_at(spec, 8),
            kind: text_of(&spec[24..40]),
            text: text_of(text),
        });
        // In answers `next` counts from the first target's beginning.
        let next = u32_at(spec, 20) as usize;
        if next <= at {
            return None;
        }
        at = next;
    }
    Some(targets)
}

fn text_of(field: &[u8]) -> String {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn to_word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).map_or(0, to_word)
}

/// The kernel's `huge_encode_dev`.
fn encode_device(device: DeviceNumber) -> u64 {
    let (major, minor) = (u64::from(device.major), u64::from(device.minor));
    minor & 0xff | (major & 0xfff) << 8 | (minor & !0xff) << 12
}

/// The kernel's `huge_decode_dev`.
fn decode_device(device: u64) -> DeviceNumber {
    DeviceNumber { major: (device >> 8 & 0xfff) as u32, minor: (device & 0xff | device >> 12 & 0xfff00) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_survive_the_round_trip() {
        for (major, minor) in [(8, 3), (254, 0), (259, 300), (4095, 1_048_575)] {
            let device = DeviceNumber { major, minor };
            assert_eq!(decode_device(encode_device(device)), device);
            assert_eq!(DeviceNumber::from_stat(device.to_stat()), device);
        }
    }

    #[test]
    fn a_table_request_has_the_kernels_shape() {
        let request = Request::new(Device::Name("root"), READ_ONLY).unwrap().with_target(2048, "verity", "1 8:3 8:4").unwrap();
        assert_eq!(request.bytes.len(), HEADER + TARGET + 16);
        assert_eq!((u32_at(&request.bytes, 0), u32_at(&request.bytes, 16), u32_at(&request.bytes, 20)), (4, 312, 1));
        assert_eq!(&request.bytes[48..53], b"root\0");
        assert_eq!(u64_at(&request.bytes, HEADER + 8), 2048);
        assert_eq!(&request.bytes[HEADER + 24..HEADER + 31], b"verity\0");
        assert_eq!(&request.bytes[HEADER + TARGET..HEADER + TARGET + 10], b"1 8:3 8:4\0");
    }

    #[test]
    fn texts_that_would_be_cut_are_refused() {
        let error = Request::new(Device::Name(&"x".repeat(128)), 0).err().unwrap();
        assert!(error.to_string().ends_with("is too long or has a zero byte"));
        assert!(Request::new(Device::Name("a\0b"), 0).is_err());
        assert!(Request::new(Device::Name("a"), 0).unwrap().with_target(1, "sixteen-letters-", "").is_err());
    }

    /// An answer as the kernel lays it out: header, then targets whose `next` counts from the first one.
    fn answer(targets: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Request::new(Device::Name("x"), 0).unwrap().bytes;
        bytes[20..24].copy_from_slice(&(targets.len() as u32).to_ne_bytes());
        for (kind, text) in targets {
            let mut spec = [0; TARGET];
            put_text(&mut spec[24..40], kind).unwrap();
            let mut padded = vec![0; (text.len() + 1).next_multiple_of(8)];
            put_text(&mut padded, text).unwrap();
            let next = bytes.len() - HEADER + TARGET + padded.len();
            spec[20..24].copy_from_slice(&(next as u32).to_ne_bytes());
            bytes.extend_from_slice(&spec);
            bytes.extend_from_slice(&padded);
        }
        let length = bytes.len() as u32;
        bytes[12..16].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    #[test]
    fn answers_are_taken_apart() {
        let targets = parse_targets(&answer(&[("verity", "V"), ("linear", "8:3 2048")])).unwrap();
        let texts: Vec<(&str, &str)> = targets.iter().map(|t| (t.kind.as_str(), t.text.as_str())).collect();
        assert_eq!(texts, [("verity", "V"), ("linear", "8:3 2048")]);
        assert_eq!(parse_targets(&answer(&[])), Some(vec![]));
    }

    #[test]
    fn answers_that_contradict_themselves_are_refused() {
        let good = answer(&[("verity", "V")]);
        for (at, value) in [(12, 0u32), (12, u32::MAX), (16, u32::MAX), (20, 9), (HEADER + 20, 0)] {
            let mut bad = good.clone();
            bad[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            assert_eq!(parse_targets(&bad), None, "{at} {value}");
        }
    }
}
