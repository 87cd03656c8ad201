//! Which files of /etc a config may write: all but those that kmimage makes, or that have keys of their own.

use super::values;

/// The folder that `[[file]]` may write below. What is written elsewhere is data, and belongs to the programs that write it.
pub const FILE_FOLDER: &str = "/etc";

/// Paths below [`FILE_FOLDER`] that are not a config's to write (whole folders, too), and what to do instead.
pub const RESERVED_FILES: [(&str, &str); 23] = [
    ("/etc/cni/net.d", "CNI plugins write it while the machine runs"),
    ("/etc/containers/registries.conf.d/50-machine.conf", "use `[registry]`"),
    ("/etc/crio/auth.json", "use `[[registry.credentials]]`"),
    ("/etc/fstab", "use `[[volume]]`"),
    ("/etc/group", "it is the image's"),
    ("/etc/gshadow", "it is the image's"),
    ("/etc/hostname", "use `[machine] hostname`"),
    ("/etc/hosts", "use `[network] hosts`"),
    ("/etc/kubernetes", "it is written when the machine joins a cluster"),
    ("/etc/ld.so.cache", "it is the image's"),
    ("/etc/ld.so.preload", "it would change every program of the verified root"),
    ("/etc/localtime", "a node's clock is UTC"),
    ("/etc/machine-id", "the machine makes it once"),
    ("/etc/modules-load.d", "use `[kernel] modules`"),
    ("/etc/mtab", "it is the image's"),
    ("/etc/nsswitch.conf", "it is the image's"),
    ("/etc/os-release", "it is the image's"),
    ("/etc/passwd", "it is the image's"),
    ("/etc/resolv.conf", "use `[network] nameservers` and `search`"),
    ("/etc/shadow", "it is the image's"),
    ("/etc/ssl", "use `[trust] ca`"),
    ("/etc/sysctl.conf", "use `[sysctl]`"),
    ("/etc/sysctl.d", "use `[sysctl]`"),
];

/// Judges a file's path.
pub(super) fn path(text: &str) -> Result<String, String> {
    let path = values::path(text)?;
    let below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !below(FILE_FOLDER) || path == FILE_FOLDER {
        return Err(format!("`{path}` is not below {FILE_FOLDER}: a config writes files only there"));
    }
    match RESERVED_FILES.iter().find(|(reserved, _)| below(reserved)) {
        Some((reserved, instead)) => Err(format!("`{reserved}` is not a config's to write: {instead}")),
        None => Ok(path.to_owned()),
    }
}
