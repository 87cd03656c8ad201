//! All processes, from /proc. One that ends while we look is left out.

use kmimage_probe::Process;
use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::io;
use std::path::Path;

/// All processes by id.
pub(crate) fn all() -> io::Result<Vec<Process>> {
    let entries = std::fs::read_dir("/proc")?;
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut processes: Vec<Process> = ids.filter_map(one).collect();
    processes.sort_by_key(|process| process.pid);
    Ok(processes)
}

fn one(pid: u32) -> Option<Process> {
    let folder = Path::new("/proc").join(pid.to_string());
    let status = table(&read_to_string(folder.join("status")).ok()?);
    // Of a kernel thread or a zombie there is none.
    let smaps = table(&read_to_string(folder.join("smaps_rollup")).unwrap_or_default());
    let kib = |table: &BTreeMap<String, String>, key: &str| {
        table.get(key).and_then(|value| value.split(' ').next()?.parse().ok()).unwrap_or(0)
    };
    let command = std::fs::read(folder.join("cmdline")).unwrap_or_default();
    let words = command.strip_suffix(&[0]).unwrap_or(&command).split(|&byte| byte == 0);
    let command = words.map(|word| String::from_utf8_lossy(word).into_owned()).filter(|_| !command.is_empty()).collect();
    let cgroup = read_to_string(folder.join("cgroup")).unwrap_or_default();
    Some(Process {
        pid,
        parent: status.get("PPid")?.parse().ok()?,
        name: status.get("Name")?.clone(),
        state: status.get("State")?.chars().next()?,
        command,
        pss_kib: kib(&smaps, "Pss"),
        rss_kib: kib(&status, "VmRSS"),
        cgroup: cgroup.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned(),
        oom_score: read_to_string(folder.join("oom_score_adj")).ok()?.trim_end().parse().ok()?,
        status,
    })
}

fn table(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect()
}
