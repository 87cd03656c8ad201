//! The small grammars of a profile's values: names, sizes, modes, paths. Pure; an error is a sentence that begins with the value.

use super::glob::PathGlob;
use crate::compose::tree::TreePath;
use kmimage_contract::notation;

/// A profile's, overlay's, role's or repository's name: also a file name and a word of a command line.
pub(super) fn name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || text.len() > 64 || text.starts_with('-') || !text.bytes().all(fits) {
        return Err(format!("`{text}` is no name: lower-case letters, digits and `-`, 64 at most"));
    }
    Ok(text.to_owned())
}

/// A Debian package name (Debian Policy 5.6.7).
pub(super) fn package(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    if text.len() < 2 || !text.bytes().all(fits) || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(format!(
            "`{text}` is no package name: two or more of a-z, 0-9, `+`, `-` and `.`, no version, no architecture"
        ));
    }
    Ok(text.to_owned())
}

/// One line that says something: a reason, a description.
pub(super) fn sentence(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("this must say something".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("this must be one line".to_owned());
    }
    Ok(text.trim().to_owned())
}

/// An absolute, normal path of the image, other than `/`.
pub(super) fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("`{text}` is no absolute path"));
    }
    match TreePath::new(text) {
        Err(error) => Err(format!("`{text}`: {error}")),
        Ok(path) if path.is_root() => Err(format!("`{text}` is the root itself")),
        Ok(path) if path.as_bytes() != text.as_bytes() => Err(format!("`{text}` is not in its normal form, `{path}`")),
        Ok(_) => Ok(text.to_owned()),
    }
}

/// A pattern over the image's paths.
pub(super) fn path_glob(text: &str) -> Result<PathGlob, String> {
    if !text.starts_with('/') {
        return Err(format!("`{text}` is no absolute path"));
    }
    let normal = !text.ends_with('/') && text.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
    if !normal {
        return Err(format!("`{text}` can match nothing: no path ends with `/` or has an empty, `.` or `..` component"));
    }
    PathGlob::new(text).map_err(|error| error.to_string())
}

/// A pattern over module paths.
pub(super) fn module_glob(text: &str) -> Result<PathGlob, String> {
    if !text.starts_with("kernel/") {
        return Err(format!("`{text}` can match nothing: module paths begin with `kernel/`"));
    }
    PathGlob::new(text).map_err(|error| error.to_string())
}

/// A directory of modules, such as `kernel/sound`, or a module without `.ko`.
pub(super) fn module_path(text: &str) -> Result<String, String> {
    let parts_fit = text
        .split('/')
        .all(|part| !matches!(part, "" | "." | "..") && !part.contains(['*', '?', '[', '{']) && !part.contains(".ko"));
    if !text.starts_with("kernel/") || !parts_fit {
        return Err(format!(
            "`{text}` is no directory such as `kernel/sound` and no module without its `.ko`; patterns belong in `keep`"
        ));
    }
    Ok(text.to_owned())
}

/// A module's name, with `_` for `-`.
pub(super) fn module(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Err(format!("`{text}` is no module name: letters, digits, `-` and `_`, without `.ko`"));
    }
    Ok(text.replace('-', "_"))
}

/// What GRUB would write a backslash before when it hands the word to the kernel, which knows none.
const UNQUOTABLE: [char; 3] = ['"', '\'', '\\'];

/// A word of the kernel command line that is the profile's to give.
pub(super) fn cmdline_word(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(UNQUOTABLE) {
        return Err(format!(
            "`{}` is not one word of a command line: visible ASCII without quotes and backslashes",
            text.escape_default()
        ));
    }
    let key = text.split('=').next().unwrap_or_default();
    if matches!(key, "roothash" | "root" | "rdinit" | "init") || key.starts_with("systemd.verity") {
        return Err(format!("`{key}` is kmimage's to say"));
    }
    Ok(text.to_owned())
}

/// Permission bits: three or four octal digits.
pub(super) fn mode(text: &str) -> Result<u16, String> {
    notation::mode(text).ok_or_else(|| format!("`{text}` is no mode: three or four octal digits, such as \"0755\""))
}

/// A size: a number with KiB, MiB or GiB.
pub(super) fn size(text: &str) -> Result<u64, String> {
    notation::size(text).ok_or_else(|| format!("`{text}` is no size: a whole number and KiB, MiB or GiB, such as \"512 MiB\""))
}

/// An http or https address, without a trailing slash.
pub(super) fn uri(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("`{text}` is no http:// or https:// address"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// An OpenPGP fingerprint, as upper-case digits without spaces.
pub(super) fn fingerprint(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_uppercase()).collect();
    if !matches!(digits.len(), 40 | 64) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("`{text}` is no fingerprint: 40 or 64 hexadecimal digits, the whole of it"));
    }
    Ok(digits)
}

/// The file or directory of a container image; what a registry would have to be asked for is refused by name.
pub(super) fn image_file(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("this must name a file or a directory".to_owned());
    }
    if text.starts_with("docker://") || text.contains("@sha256:") {
        let reference = text.trim_start_matches("docker://");
        return Err(format!(
            "`{text}` lies in a registry, and fetching images is not built yet; \
            `skopeo copy docker://{reference} oci-archive:FILE` makes a file that can be named here"
        ));
    }
    if let Some((transport @ ("oci" | "oci-archive" | "docker-archive" | "dir"), path)) = text.split_once(':') {
        return Err(format!("`{transport}:` is a word of skopeo's; write the path alone, `{path}`"));
    }
    Ok(text.to_owned())
}

/// A suite or component: path parts below `dists/`.
pub(super) fn suite(text: &str) -> Result<String, String> {
    if text.ends_with('/') {
        return Err(format!("`{text}` means a flat repository: say `flat = true` and put the path into `uris`"));
    }
    let fits = |part: &str| {
        !matches!(part, "" | "." | "..") && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+~".contains(&byte))
    };
    if !text.split('/').all(fits) {
        return Err(format!("`{text}` is no suite or component"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        assert!(name("gpu-worker").is_ok());
        for bad in ["", "-a", "a/b", "..", "A", "a b"] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert!(package("libstdc++6").is_ok());
        for bad in ["", "a", "libc6:amd64", "libc6=2", "Libc", "-ab"] {
            assert!(package(bad).is_err(), "{bad}");
        }
        assert!(path("/usr/bin").is_ok());
        for bad in ["usr", "/", "/usr/", "/a//b", "/a/../b", "/a/./b"] {
            assert!(path(bad).is_err(), "{bad}");
        }
        assert_eq!(module("dm-verity").as_deref(), Ok("dm_verity"));
        assert!(module("a.ko").is_err());
        assert_eq!(uri("http://a/debian/").as_deref(), Ok("http://a/debian"));
        for bad in ["ftp://a", "http://", "http:///x", "http://a b"] {
            assert!(uri(bad).is_err(), "{bad}");
        }
    }
}
