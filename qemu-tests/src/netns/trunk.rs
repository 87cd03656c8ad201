//! A port of a switch that carries VLANs: for hosts whose kernel has no VLAN devices, as a test's host may be.

use super::Netns;
use super::daemon::Daemon;
use std::time::Duration;

/// Joins two bridges: a frame that comes with the VLAN's tag on the one leaves without it on the other, and back. Rust has no safe way to
/// open a tap (an ioctl), Python has; frames are few.
const SWITCH: &str = r#"
import fcntl, os, select, struct, sys
tagged_name, plain_name, vid = sys.argv[1], sys.argv[2], int(sys.argv[3])
def tap(name):
    port = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(port, 0x400454ca, struct.pack("16sH", name.encode(), 0x1002))
    return port
tagged, plain = tap(tagged_name), tap(plain_name)
print("switching", flush=True)
while True:
    for port in select.select([tagged, plain], [], [])[0]:
        frame = os.read(port, 65536)
        if port == plain:
            os.write(tagged, frame[:12] + struct.pack("!HH", 0x8100, vid) + frame[12:])
        elif frame[12:14] == b"\x81\x00" and struct.unpack("!H", frame[14:16])[0] & 0xfff == vid:
            os.write(plain, frame[:12] + frame[16:])
"#;

/// Carries VLAN `id` of the bridge `trunk` to the bridge `access`, for as long as the value lives. Both bridges must be there.
///
/// # Panics
/// When Python or a tap can't be had.
pub fn carry(netns: &Netns, trunk: &str, access: &str, id: u16) -> Daemon {
    let (tagged, plain) = (format!("trunk{id}"), format!("access{id}"));
    netns.tap(&tagged, trunk);
    netns.tap(&plain, access);
    let daemon = netns.spawn(netns.program("python3").args(["-c", SWITCH, &tagged, &plain, &id.to_string()]));
    daemon.wait_for("`switching`", Duration::from_secs(20), |line| (line == "switching").then_some(()));
    daemon
}
