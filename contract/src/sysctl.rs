//! The kernel parameters that every image sets when it starts: hardening, what kubelet asks for, what a node full of pods needs. A machine
//! config may set others, and these anew, but for [kubelet's](crate::machine_config::KUBELET_SYSCTLS).
//!
//! Deliberately not here: `user.max_user_namespaces = 0`, which breaks pods with user namespaces and rootless builds; reverse path filters,
//! which network plugins set as they need them; forwarding, which is a role's.

/// A kernel parameter with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Default {
    /// Its path below /proc/sys.
    pub path: &'static str,
    /// The value as the kernel shows it.
    pub value: &'static str,
    /// Why.
    pub reason: &'static str,
}

const fn row(path: &'static str, value: &'static str, reason: &'static str) -> Default {
    Default { path, value, reason }
}

/// Every parameter, in the order to set.
pub const DEFAULTS: [Default; 36] = [
    // What kubelet asks for when it runs with protectKernelDefaults.
    row("kernel/keys/root_maxbytes", "25000000", "kubelet: keyrings of many containers"),
    row("kernel/keys/root_maxkeys", "1000000", "kubelet: keyrings of many containers"),
    row("kernel/panic", "10", "kubelet; and a machine whose kernel died comes back, maybe from its other slot"),
    row("kernel/panic_on_oops", "1", "kubelet; a kernel that tripped holds locks that nobody will give back"),
    row("vm/overcommit_memory", "1", "kubelet: pods' limits are what bounds memory"),
    row("vm/panic_on_oom", "0", "kubelet: one pod's hunger ends a process, not the machine"),
    // Hardening.
    row("dev/tty/ldisc_autoload", "0", "line disciplines have been a way to run old, unguarded code"),
    row("dev/tty/legacy_tiocsti", "0", "no process types for another"),
    row("fs/protected_fifos", "2", "no one is led to write into another's pipe in a shared folder"),
    row("fs/protected_hardlinks", "1", "no one links to what isn't theirs"),
    row("fs/protected_regular", "2", "no one is led to write into another's file in a shared folder"),
    row("fs/protected_symlinks", "1", "no one is led through another's link in a shared folder"),
    row("fs/suid_dumpable", "0", "memory of programs with privileges is not written to disk"),
    row("kernel/dmesg_restrict", "1", "the kernel's log names addresses and devices"),
    row("kernel/kexec_load_disabled", "1", "the kernel that was verified stays; until the next boot nobody can take this back"),
    row("kernel/kptr_restrict", "2", "the kernel's addresses are nobody's business"),
    row("kernel/perf_event_paranoid", "3", "measuring takes a privilege (Debian's kernel knows 3)"),
    row("kernel/randomize_va_space", "2", "addresses differ in every run"),
    row("kernel/sysrq", "0", "nobody sits at a node; its keyboard and serial line command nothing"),
    row("kernel/unprivileged_bpf_disabled", "2", "BPF takes a privilege; 2, unlike 1, a config can take back"),
    row(
        "kernel/yama/ptrace_scope",
        "1",
        "a process is traced by its parents only; 2 would break debuggers and crash reporters in pods",
    ),
    row(
        "net/core/bpf_jit_harden",
        "1",
        "constants of unprivileged filters are blinded; 2 would slow network plugins down, which are privileged",
    ),
    row("net/ipv4/conf/all/accept_redirects", "0", "routes come from the configuration"),
    row("net/ipv4/conf/all/accept_source_route", "0", "no sender chooses its way"),
    row("net/ipv4/conf/all/send_redirects", "0", "a node is no router for its neighbours"),
    row("net/ipv4/conf/default/accept_redirects", "0", "as `all`, for interfaces to come"),
    row("net/ipv4/conf/default/accept_source_route", "0", "as `all`, for interfaces to come"),
    row("net/ipv4/conf/default/send_redirects", "0", "as `all`, for interfaces to come"),
    row("net/ipv6/conf/all/accept_redirects", "0", "routes come from the configuration and from routers"),
    row("net/ipv6/conf/default/accept_redirects", "0", "as `all`, for interfaces to come"),
    row("vm/unprivileged_userfaultfd", "0", "page faults that a program handles have made races in the kernel winnable"),
    // Room for many pods.
    row("fs/inotify/max_user_instances", "8192", "kubelet, runtimes and many pods watch files as one user"),
    row("fs/inotify/max_user_watches", "1048576", "kubelet, runtimes and many pods watch files as one user"),
    row("kernel/pid_max", "4194304", "the kernel's 32768 are few for hundreds of pods, and are used again soon"),
    row("vm/max_map_count", "262144", "what databases in pods ask for at least"),
    // The consoles are for state lines.
    row("kernel/printk", "4\t4\t1\t7", "consoles show errors of the kernel; the whole log is in /var/log/kernel.log"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn rows_are_unique_and_each_has_a_reason() {
        let paths: BTreeSet<&str> = DEFAULTS.iter().map(|row| row.path).collect();
        assert_eq!(paths.len(), DEFAULTS.len());
        for row in DEFAULTS {
            assert!(!row.reason.is_empty() && !row.value.is_empty() && !row.path.contains('.'), "{}", row.path);
        }
    }

    #[test]
    fn kubelet_finds_what_it_asks_for() {
        for (path, value) in crate::machine_config::KUBELET_SYSCTLS {
            assert_eq!(DEFAULTS.iter().find(|row| row.path == path).map(|row| row.value), Some(value), "{path}");
        }
    }
}
