//! The ledger: which file systems kmimage has made on which partition, kept outside of every file system.
//!
//! A file system once made is never made again. So that this holds whatever becomes of a file system, its mark is not in it: the last
//! MiB of the partition `state` belongs to no file system and holds two copies of a small text, written in turn. A write that a power
//! cut tears leaves the other copy, which is one step older.
//!
//! ```text
//! copy    = "kmledger" version(u32 = 1) length(u32) generation(u64) crc32(u32) text, zeros up to 4096 bytes; little endian
//! text    = *( name " " phase " " uuid "\n" )
//! phase   = "making" | "made"
//! ```
//! The checksum covers the whole copy with its own field as zero. `making` is on the medium before the first byte of a file system
//! is written, `made` after its last one.

use std::fmt::Write as _;
use uuid::Uuid;

/// The room for the ledger at the end of the partition `state`, in bytes; its file system ends before it.
pub const ROOM: u64 = 1 << 20;

/// The size of a copy in bytes.
pub const COPY: usize = 4096;

/// Where the copies begin, in bytes from the begin of the [`ROOM`].
pub const PLACES: [u64; 2] = [0, 64 << 10];

const MAGIC: &[u8; 8] = b"kmledger";
const HEADER: usize = 28;
const VERSION: u32 = 1;

/// How far a file system has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It was begun: what is there now holds nobody's data.
    Making,
    /// It is there, and never made again.
    Made,
}

/// One file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is: `state`, `var`, or a disk's name. Printable ASCII without spaces.
    pub name: String,
    /// How far it has come.
    pub phase: Phase,
    /// Its UUID.
    pub uuid: Uuid,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Counts the writes; decides which copy is the newer one.
    pub generation: u64,
    /// The file systems in the order in which they were begun.
    pub entries: Vec<Entry>,
}

/// Why a ledger can't be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// A name with characters that the text can't have.
    #[error("`{0}` can't be the name of a file system in the ledger")]
    Name(String),
    /// More than a copy holds.
    #[error("the ledger is full: its text would have {0} bytes")]
    Full(usize),
}

impl Ledger {
    /// The newest valid ledger among the copies. `None`: there is none, or none that is whole.
    pub fn newest(copies: &[Vec<u8>]) -> Option<Self> {
        copies.iter().filter_map(|copy| Self::parse(copy)).max_by_key(|ledger| ledger.generation)
    }

    /// Reads a copy. `None`: it is not whole.
    pub fn parse(copy: &[u8]) -> Option<Self> {
        let copy = copy.get(..COPY)?;
        let u32_at = |at: usize| copy.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        if !copy.starts_with(MAGIC) || u32_at(8)? != VERSION || u32_at(24)? != checksum(copy) {
            return None;
        }
        let generation = u64::from_le_bytes(copy.get(16..24)?.try_into().ok()?);
        let text = copy.get(HEADER..)?.get(..u32_at(12)? as usize)?;
        let entries = std::str::from_utf8(text).ok()?.lines().map(parse_line).collect::<Option<_>>()?;
        Some(Self { generation, entries })
    }

    /// The bytes of a copy.
    pub fn encode(&self) -> Result<Vec<u8>, LedgerError> {
        let mut text = String::new();
        for entry in &self.entries {
            if entry.name.is_empty() || !entry.name.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(LedgerError::Name(entry.name.clone()));
            }
            let _ = writeln!(text, "{} {} {}", entry.name, word(entry.phase), entry.uuid);
        }
        let mut copy = Vec::with_capacity(COPY);
        copy.extend_from_slice(MAGIC);
        copy.extend_from_slice(&VERSION.to_le_bytes());
        copy.extend_from_slice(&(text.len() as u32).to_le_bytes());
        copy.extend_from_slice(&self.generation.to_le_bytes());
        copy.extend_from_slice(&[0; 4]);
        copy.extend_from_slice(text.as_bytes());
        if copy.len() > COPY {
            return Err(LedgerError::Full(text.len()));
        }
        copy.resize(COPY, 0);
        let sum = checksum(&copy).to_le_bytes();
        copy.splice(24..HEADER, sum);
        Ok(copy)
    }

    /// Where the copy of this generation goes, in bytes from the begin of the [`ROOM`]: not over the one before.
    pub fn place(&self) -> u64 {
        if self.generation.is_multiple_of(2) { PLACES[0] } else { PLACES[1] }
    }

    /// What it says of a file system.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The next ledger, in which this file system has come so far.
    pub fn with(mut self, name: &str, phase: Phase, uuid: Uuid) -> Self {
        let entry = Entry { name: name.to_owned(), phase, uuid };
        match self.entries.iter_mut().find(|known| known.name == name) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
        self.generation = self.generation.wrapping_add(1);
        self
    }
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Making => "making",
        Phase::Made => "made",
    }
}

fn parse_line(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let (name, phase, uuid) = (words.next()?, words.next()?, words.next()?);
    let phase = [Phase::Making, Phase::Made].into_iter().find(|&known| word(known) == phase)?;
    Some(Entry { name: name.to_owned(), phase, uuid: uuid.parse().ok()? }).filter(|_| words.next().is_none())
}

/// Of a whole copy, its own field taken as zero.
fn checksum(copy: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(copy.get(..24).unwrap_or_default());
    crc.update(&[0; 4]);
    crc.update(copy.get(HEADER..).unwrap_or_default());
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: Uuid = Uuid::from_u128(1);
    const VAR: Uuid = Uuid::from_u128(2);

    fn ledger() -> Ledger {
        Ledger::default().with("state", Phase::Making, STATE).with("state", Phase::Made, STATE).with("var", Phase::Making, VAR)
    }

    #[test]
    fn a_ledger_survives_the_round_trip_and_no_flipped_bit_does() {
        let ledger = ledger();
        let copy = ledger.encode().unwrap();
        assert_eq!((copy.len(), ledger.generation), (COPY, 3));
        assert_eq!(Ledger::parse(&copy), Some(ledger.clone()));
        assert_eq!(ledger.entry("var"), Some(&Entry { name: "var".to_owned(), phase: Phase::Making, uuid: VAR }));
        assert_eq!(ledger.entry("data"), None);
        for at in (0..200).chain([COPY - 1]) {
            let mut harmed = copy.clone();
            harmed[at] ^= 1;
            assert_eq!(Ledger::parse(&harmed), None, "byte {at}");
        }
        for cut in [0, 8, 27, 28, 100, COPY - 1] {
            assert_eq!(Ledger::parse(&copy[..cut]), None);
        }
    }

    #[test]
    fn a_torn_write_leaves_the_ledger_before() {
        let (mut room, mut ledger) = (vec![0; ROOM as usize], Ledger::default());
        let read = |room: &[u8]| Ledger::newest(&PLACES.map(|place| room[place as usize..][..COPY].to_vec()));
        assert_eq!(read(&room), None);
        for phase in [Phase::Making, Phase::Made, Phase::Made, Phase::Making] {
            let next = ledger.clone().with("state", phase, STATE);
            let copy = next.encode().unwrap();
            for length in [512, 1024, 4095] {
                let mut torn = room.clone();
                // Something of the old copy's tail stays.
                torn[next.place() as usize + COPY - 1] ^= 0x5a;
                torn[next.place() as usize..][..length].copy_from_slice(&copy[..length]);
                assert_eq!(read(&torn), (ledger.generation > 0).then(|| ledger.clone()));
            }
            room[next.place() as usize..][..COPY].copy_from_slice(&copy);
            assert_eq!(read(&room), Some(next.clone()));
            ledger = next;
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let named = |name: &str| Ledger::default().with(name, Phase::Made, VAR).encode();
        for name in ["", "a b", "a\n", "ä"] {
            assert_eq!(named(name), Err(LedgerError::Name(name.to_owned())));
        }
        assert!(matches!(named(&"x".repeat(COPY)), Err(LedgerError::Full(_))));
    }
}
