//! Which module drives a device or stands for a name: `modules.alias` patterns, as fnmatch(3) matches them.

use kmimage_contract::modules::name;
use std::path::Path;

/// All patterns in a `modules.alias`, each with its module's name as written.
pub fn patterns(modules_alias: &str) -> impl Iterator<Item = (&str, &str)> {
    modules_alias.lines().filter_map(|line| line.strip_prefix("alias ")?.trim_end().rsplit_once(' '))
}

/// The device patterns among them. Aliases that no device has (file systems, device names) are left out.
pub fn device_patterns(modules_alias: &str) -> impl Iterator<Item = (&str, &str)> {
    patterns(modules_alias).filter(|(pattern, _)| pattern.split_once(':').is_some_and(|(bus, _)| bus != "devname"))
}

/// For each device, by its modalias, the names of the modules that drive it, in the table's order. One pass over the table: devices are
/// sorted, so those that share a pattern's beginning lie together.
pub fn drivers(modules_alias: &str, modaliases: &[String]) -> Vec<Vec<String>> {
    let mut sorted: Vec<(usize, &str)> = modaliases.iter().map(String::as_str).enumerate().collect();
    sorted.sort_by_key(|(_, modalias)| *modalias);
    let mut found = vec![Vec::new(); modaliases.len()];
    for (pattern, module) in device_patterns(modules_alias) {
        let begin = pattern.split(['*', '?', '[']).next().unwrap_or_default();
        let from = sorted.partition_point(|(_, modalias)| *modalias < begin);
        let alike = sorted.get(from..).unwrap_or_default().iter().take_while(|(_, modalias)| modalias.starts_with(begin));
        for (at, _) in alike.filter(|(_, modalias)| matches(pattern, modalias)) {
            let module = name(module);
            if let Some(list) = found.get_mut(*at).filter(|list| !list.contains(&module)) {
                list.push(module);
            }
        }
    }
    found
}

/// Whether a pattern stands for what was asked for, `-` and `_` being the same but within brackets, as modprobe has it.
pub fn stands_for(pattern: &str, wanted: &str) -> bool {
    let begin = pattern.split(['*', '?', '[']).next().unwrap_or_default();
    let same = |(a, b): (u8, u8)| a == b || matches!((a, b), (b'-' | b'_', b'-' | b'_'));
    // Most patterns are told apart here, without a copy.
    begin.len() <= wanted.len() && begin.bytes().zip(wanted.bytes()).all(same) && matches(&plain(pattern), &plain(wanted))
}

/// A pattern or name with `_` for each `-` outside of brackets.
fn plain(text: &str) -> String {
    let mut inside = false;
    let one = |c| {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            _ => {}
        }
        if c == '-' && !inside { '_' } else { c }
    };
    text.chars().map(one).collect()
}

/// The modaliases of all devices that the kernel knows now.
pub fn read_devices() -> Vec<String> {
    let folders = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let devices = folders(Path::new("/sys/bus")).flat_map(|bus| folders(&bus.join("devices")));
    let modaliases = devices.filter_map(|device| std::fs::read_to_string(device.join("modalias")).ok());
    modaliases.map(|text| text.trim_end().to_owned()).filter(|text| !text.is_empty()).collect()
}

/// The modalias of the processors: what they can do. They are all alike. None: the kernel doesn't say.
pub fn read_processor() -> Option<String> {
    let text = std::fs::read_to_string(Path::new("/sys/devices/system/cpu/modalias")).ok()?;
    Some(text.trim_end().to_owned())
}

/// The modaliases of what hangs on no bus: input devices, and the machine itself.
pub fn read_others() -> Vec<String> {
    let inputs = std::fs::read_dir(Path::new("/sys/class/input")).into_iter().flatten().flatten().map(|entry| entry.path());
    let modaliases = inputs
        .chain([Path::new("/sys/class/dmi/id").to_owned()])
        .filter_map(|device| std::fs::read_to_string(device.join("modalias")).ok());
    modaliases.map(|text| text.trim_end().to_owned()).filter(|text| !text.is_empty()).collect()
}

/// Whether a pattern with `*`, `?` and `[...]` matches the whole text. Takes at most pattern times text steps, whatever they are.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut in_text) = (0, 0);
    // Where to go on when what follows the last star doesn't fit: one byte of text more for the star.
    let mut retry: Option<(usize, usize)> = None;
    while in_text < text.len() || at < pattern.len() {
        if pattern.get(at) == Some(&b'*') {
            retry = Some((at + 1, in_text));
            at += 1;
            continue;
        }
        let step = text.get(in_text).and_then(|&byte| match_one(&pattern[at..], byte));
        match (step, retry) {
            (Some(length), _) => (at, in_text) = (at + length, in_text + 1),
            (None, Some((after_star, begin))) if begin < text.len() => {
                retry = Some((after_star, begin + 1));
                (at, in_text) = (after_star, begin + 1);
            }
            (None, _) => return false,
        }
    }
    true
}

/// How much of the pattern one byte of text uses up. `None`: it doesn't match.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let Some(length) = pattern.iter().skip(2).position(|&c| c == b']').map(|at| at + 3) else {
                return (byte == b'[').then_some(1);
            };
            let class = &pattern[1..length - 1];
            let (class, negated) = match class {
                [b'!' | b'^', rest @ ..] if !rest.is_empty() => (rest, true),
                class => (class, false),
            };
            (in_class(class, byte) != negated).then_some(length)
        }
        literal => (literal == byte).then_some(1),
    }
}

fn in_class(class: &[u8], byte: u8) -> bool {
    let mut rest = class;
    loop {
        rest = match rest {
            [] => return false,
            [first, b'-', last, ..] if (*first..=*last).contains(&byte) => return true,
            [_, b'-', _, rest @ ..] => rest,
            [single, ..] if *single == byte => return true,
            [_, rest @ ..] => rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        let check = |pattern: &str, text: &str, expect: bool| assert_eq!(matches(pattern, text), expect, "{pattern} {text}");
        check("pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", true);
        check("pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc08i02", false);
        check("virtio:d00000002v*", "virtio:d00000002v00001AF4", true);
        check("virtio:d00000002v*", "virtio:d00000008v00001AF4", false);
        check("usb:v04E6p0006d0[0-1]*", "usb:v04E6p0006d0100dc00", true);
        check("usb:v04E6p0006d0[0-1]*", "usb:v04E6p0006d0200dc00", false);
        check("a[!b-d]e", "aee", true);
        check("a[!b-d]e", "ace", false);
        check("a[bd-f]", "ab", true);
        check("a[bd-f]", "ac", false);
        check("a[bd-f]", "ae", true);
        check("a?c", "abc", true);
        check("a?c", "ac", false);
        check("[", "[", true);
        check("[a", "[a", true);
        check("", "", true);
        check("*", "", true);
        check("", "x", false);
        check("a*b*c", "aXbYbZc", true);
        check("a*b*c", "aXbYbZ", false);
        check("*a", "aab", false);
        // Without a bound on going back this would take for ever.
        check(&"a*".repeat(40), &"a".repeat(39), false);
        check(&"*a".repeat(30), &"b".repeat(3000), false);
    }

    #[test]
    fn devices_find_their_drivers_in_one_pass() {
        let table = "alias pci:v00001AF4d00001000sv*sd*bc*sc*i* virtio_pci\nalias pci:v*d*sv*sd*bc01sc06i01* ahci\nalias fs-x x\n\
                     alias acpi*:PNP0C0C:* button\nalias pci:v00001AF4d*sv*sd*bc*sc*i* virtio-any\nalias pci:v00001AF4d*bc* virtio_any\n";
        let devices =
            ["pci:v00001AF4d00001000sv1sd1bc02sc00i00", "none:x", "acpi:PNP0C0C:", "pci:v00008086d00002922sv1sd1bc01sc06i01", ""];
        let found = drivers(table, &devices.map(str::to_owned));
        let expect: [&[&str]; 5] = [&["virtio_pci", "virtio_any"], &[], &["button"], &["ahci"], &[]];
        assert_eq!(found, expect);
    }

    #[test]
    fn dashes_and_underscores_are_the_same_outside_of_brackets() {
        let check =
            |pattern: &str, wanted: &str, expect: bool| assert_eq!(stands_for(pattern, wanted), expect, "{pattern} {wanted}");
        check("fs-ext4", "fs_ext4", true);
        check("nf_log-*", "nf-log_2", true);
        check("x[a-c]", "xb", true);
        check("x[a_c]", "xb", false);
        check("fs-ext4", "fs-ext", false);
        check("fs-ext", "fs-ext4", false);
        check("", "", true);
    }

    #[test]
    fn only_devices_have_device_patterns() {
        let text = "# Aliases\nalias fs-squashfs squashfs\nalias devname:loop-control loop\nalias virtio:d00000002v* virtio_blk\n\
                    alias acpi*:LNRO0005:* virtio_mmio\nsymbol:x y\n";
        let found: Vec<_> = device_patterns(text).collect();
        assert_eq!(found, [("virtio:d00000002v*", "virtio_blk"), ("acpi*:LNRO0005:*", "virtio_mmio")]);
    }
}
