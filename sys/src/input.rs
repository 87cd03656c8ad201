//! Input devices (evdev): which keys a device has, and which are pressed. Only what a power button needs.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// The event type of keys.
const EV_KEY: u16 = 1;
/// The size of `struct input_event` on a 64-bit machine, in bytes.
const EVENT: usize = 24;
/// Room for all keys' bits (KEY_CNT is 0x300), in bytes.
const KEY_BYTES: usize = 96;

/// The power button's key code.
pub const KEY_POWER: u16 = 116;

/// An open input device.
#[derive(Debug)]
pub struct InputDevice {
    file: File,
}

impl InputDevice {
    /// Opens a device; reading from it will not block.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Self { file: rustix::fs::open(path, flags, Mode::empty())?.into() })
    }

    /// Whether the device has this key.
    #[expect(unsafe_code, reason = "rustix has no evdev ioctls")]
    pub fn has_key(&self, key: u16) -> io::Result<bool> {
        let mut bits = [0; KEY_BYTES];
        // SAFETY: `KeyBits` says the length of the buffer that it points to in its opcode, and the kernel writes no more than that
        // (linux/input.h, EVIOCGBIT).
        unsafe { rustix::ioctl::ioctl(&self.file, KeyBits(&mut bits)) }?;
        Ok(bits.get(usize::from(key / 8)).is_some_and(|byte| byte >> (key % 8) & 1 == 1))
    }

    /// Whether this key was pressed since the last call. An error means that the device is gone.
    pub fn was_pressed(&mut self, key: u16) -> io::Result<bool> {
        let mut pressed = false;
        let mut events = [0; 32 * EVENT];
        loop {
            match self.file.read(&mut events) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => pressed |= events[..length].chunks_exact(EVENT).any(|event| is_press(event, key)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(pressed),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for InputDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Whether an event (time, type, code, value) is this key going down.
fn is_press(event: &[u8], key: u16) -> bool {
    let u16_at = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
    u16_at(16) == EV_KEY && u16_at(18) == key && i32::from_ne_bytes([event[20], event[21], event[22], event[23]]) == 1
}

struct KeyBits<'a>(&'a mut [u8; KEY_BYTES]);

#[expect(unsafe_code, reason = "rustix's trait for ioctls is unsafe to implement")]
// SAFETY: the opcode is `EVIOCGBIT(EV_KEY, KEY_BYTES)`, `_IOR('E', 0x20 + EV_KEY, length)`; the pointer is to that many bytes.
unsafe impl rustix::ioctl::Ioctl for KeyBits<'_> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> rustix::ioctl::Opcode {
        rustix::ioctl::opcode::read::<[u8; KEY_BYTES]>(b'E', 0x20 + EV_KEY as u8)
    }

    fn as_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: rustix::ioctl::IoctlOutput, _: *mut libc::c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut event = vec![0; 16];
        event.extend(kind.to_ne_bytes());
        event.extend(code.to_ne_bytes());
        event.extend(value.to_ne_bytes());
        event
    }

    #[test]
    fn only_the_key_going_down_counts() {
        assert!(is_press(&event(EV_KEY, KEY_POWER, 1), KEY_POWER));
        for other in [event(EV_KEY, KEY_POWER, 0), event(EV_KEY, KEY_POWER, 2), event(EV_KEY, 30, 1), event(0, KEY_POWER, 1)] {
            assert!(!is_press(&other, KEY_POWER));
        }
    }
}
