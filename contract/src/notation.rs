//! How profiles and machine configs write sizes and permission bits. What is wrong with one that is not understood is the document's to say.

/// Permission bits: three or four octal digits (`0644`), so at most octal 7777.
pub fn mode(text: &str) -> Option<u16> {
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    u16::from_str_radix(text, 8).ok().filter(|_| octal)
}

/// Bytes, written as a whole number with KiB, MiB or GiB (`512 MiB`): from one byte to 1 PiB.
pub fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit.trim_start() {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(1 << shift).filter(|size| (1..=1 << 50).contains(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!((size("512 MiB"), size("4KiB"), size("1 GiB")), (Some(512 << 20), Some(4096), Some(1 << 30)));
        for bad in ["", "MiB", "0 MiB", "512", "1.5 GiB", "-1 KiB", "1 MB", "99999999999999999999 KiB", "1048577 GiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!((mode("0755"), mode("4755"), mode("644")), (Some(0o755), Some(0o4755), Some(0o644)));
        for bad in ["", "75", "0888", "+755", "07555", "rwx"] {
            assert_eq!(mode(bad), None, "{bad}");
        }
    }
}
