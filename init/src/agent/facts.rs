//! What a hypervisor may know of the machine, read when it asks.

use kmimage_contract::{paths, release};
use kmimage_sys::clock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Where the facts are read: `/`, but in tests.
pub(super) struct Facts<'a> {
    pub(super) root: &'a Path,
}

impl Facts<'_> {
    /// A file as text without its last line's end; empty where there is none.
    fn text(&self, path: &str) -> String {
        let path = self.root.join(path.trim_start_matches('/'));
        std::fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
    }

    /// `guest-get-osinfo`.
    pub(super) fn os_info(&self) -> Value {
        let release = release::assignments(&self.text(paths::OS_RELEASE)).unwrap_or_default();
        let mut info = BTreeMap::from([
            ("kernel-release", self.text("/proc/sys/kernel/osrelease")),
            ("kernel-version", self.text("/proc/sys/kernel/version")),
            ("machine", std::env::consts::ARCH.to_owned()),
        ]);
        let keys = [
            ("ID", "id"),
            ("NAME", "name"),
            ("PRETTY_NAME", "pretty-name"),
            ("VERSION", "version"),
            ("VERSION_ID", "version-id"),
            ("VARIANT", "variant"),
        ];
        info.extend(keys.iter().filter_map(|(from, to)| Some((*to, release.get(*from)?.clone()))));
        json!(info)
    }

    /// `guest-get-host-name`.
    pub(super) fn host_name(&self) -> Value {
        json!({ "host-name": self.text("/proc/sys/kernel/hostname") })
    }

    /// `guest-get-time`: nanoseconds since 1970.
    pub(super) fn time() -> Value {
        json!(u64::try_from(clock::wall().as_nanos()).unwrap_or(u64::MAX))
    }
}
