//! The kernel's random number generator: asking it, and giving it what an earlier boot has kept.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// How many bytes of an earlier boot are kept: twice what the generator's state takes.
pub const SEED: usize = 64;

/// Random bytes; waits until the generator has enough to work with.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    read(Path::new("/dev/random"))
}

/// Random bytes from what the generator has, be it little: for what is no secret by itself, such as the next boot's seed.
pub fn bytes_at_once<const N: usize>() -> io::Result<[u8; N]> {
    read(Path::new("/dev/urandom"))
}

fn read<const N: usize>(device: &Path) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open(device)?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Mixes bytes in without counting them as random: for what another machine may know, too.
pub fn mix(seed: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).open("/dev/urandom")?.write_all(seed)
}

/// `struct rand_pool_info` with room for a seed.
#[repr(C)]
struct Pool {
    entropy_bits: i32,
    length: i32,
    bytes: [u8; SEED],
}

/// Mixes bytes in and counts all their bits as random: only for a seed that was used never before and nowhere else.
#[expect(unsafe_code, reason = "rustix has no ioctls of /dev/random")]
pub fn credit(seed: &[u8; SEED]) -> io::Result<()> {
    /// `_IOW('R', 0x03, int [2])`.
    const ADD: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<[i32; 2]>(b'R', 3);
    let device = OpenOptions::new().write(true).open("/dev/random")?;
    let pool = Pool { entropy_bits: (SEED * 8) as i32, length: SEED as i32, bytes: *seed };
    // SAFETY: RNDADDENTROPY takes a pointer to a `struct rand_pool_info` followed by `buf_size` bytes, and only reads them
    // (linux/random.h, random(4)).
    unsafe { rustix::ioctl::ioctl(&device, rustix::ioctl::Setter::<ADD, Pool>::new(pool)) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_differ() {
        assert_ne!(bytes::<16>().unwrap(), bytes::<16>().unwrap());
        assert_ne!(bytes_at_once::<16>().unwrap(), bytes_at_once::<16>().unwrap());
        mix(&[1; 8]).unwrap();
    }
}
