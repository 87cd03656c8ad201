//! Network interfaces, as far as naming them goes.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::ffi::{c_char, c_void};
use std::io;

/// Gives an interface another name. Refused where another interface has it, or where it is no name (longer than 15 bytes, a `/`).
#[expect(unsafe_code, reason = "rustix has no ioctls for network interfaces")]
pub fn rename(current: &str, wanted: &str) -> io::Result<()> {
    // SAFETY: an all-zero `ifreq` is one: names of length 0 and a union of plain numbers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    fill(&mut request.ifr_name, current)?;
    let mut name = [0; libc::IFNAMSIZ];
    fill(&mut name, wanted)?;
    request.ifr_ifru.ifru_newname = name;
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: `Rename` points to an `ifreq` with both names, as netdevice(7) wants it for SIOCSIFNAME.
    Ok(unsafe { rustix::ioctl::ioctl(&socket, Rename(&mut request)) }?)
}

/// Writes a name with its terminating zero.
fn fill(field: &mut [c_char; libc::IFNAMSIZ], name: &str) -> io::Result<()> {
    if name.is_empty() || name.len() >= field.len() || name.contains('\0') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (place, byte) in field.iter_mut().zip(name.bytes()) {
        *place = byte as c_char;
    }
    Ok(())
}

struct Rename<'a>(&'a mut libc::ifreq);

#[expect(unsafe_code, reason = "rustix's trait for ioctls is unsafe to implement")]
// SAFETY: SIOCSIFNAME reads an `ifreq` and writes nothing.
unsafe impl rustix::ioctl::Ioctl for Rename<'_> {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> rustix::ioctl::Opcode {
        libc::SIOCSIFNAME as rustix::ioctl::Opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(_: rustix::ioctl::IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_refused_before_the_kernel_is_asked() {
        for bad in ["", "sixteen-letters-", "a\0b"] {
            assert_eq!(rename("lo", bad).unwrap_err().kind(), io::ErrorKind::InvalidInput);
            assert_eq!(rename(bad, "lo").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert!(rename("no-such-link", "other").is_err());
    }
}
