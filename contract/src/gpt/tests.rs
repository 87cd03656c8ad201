use super::*;
use std::io::Cursor;

const LINUX: Uuid = uuid::uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");

fn partition(number: u32, first_lba: u64, last_lba: u64) -> Partition {
    Partition {
        number,
        type_guid: LINUX,
        uuid: Uuid::from_u128(u128::from(number)),
        first_lba,
        last_lba,
        attributes: 1 << 60,
        name: format!("part-{number}"),
    }
}

fn table(sector_size: SectorSize) -> Table {
    Table::new(
        Uuid::from_u128(7),
        sector_size,
        2048,
        vec![partition(1, 100, 199), partition(3, 200, 200), partition(128, 40, 99)],
    )
}

fn disk(table: &Table) -> Vec<u8> {
    let encoded = table.encode().unwrap();
    let mut disk = vec![0; (table.disk_sectors * table.sector_size.bytes()) as usize];
    disk[..encoded.primary.len()].copy_from_slice(&encoded.primary);
    disk[encoded.backup_offset as usize..].copy_from_slice(&encoded.backup);
    disk
}

fn read_all(disk: &[u8], sector_size: SectorSize) -> Result<Found, ReadError> {
    read(&mut Cursor::new(disk), disk.len() as u64, sector_size)
}

#[test]
fn a_table_survives_the_round_trip() {
    for sector_size in [SectorSize::B512, SectorSize::B4096] {
        let table = table(sector_size);
        assert_eq!(
            read_all(&disk(&table), sector_size).unwrap(),
            Found { table, copy: Copy::Primary, array: 2..2 + sector_size.array_sectors() }
        );
    }
}

#[test]
fn the_sizes_are_the_specifications() {
    let encoded = table(SectorSize::B512).encode().unwrap();
    assert_eq!((encoded.primary.len(), encoded.backup.len(), encoded.backup_offset), (34 * 512, 33 * 512, (2048 - 33) * 512));
    assert_eq!(&encoded.primary[510..520], b"\x55\xaaEFI PART");
    assert_eq!(encoded.primary[450], 0xee);
    let encoded = table(SectorSize::B4096).encode().unwrap();
    assert_eq!((encoded.primary.len(), encoded.backup.len()), (6 * 4096, 5 * 4096));
}

#[test]
fn a_damaged_primary_falls_back_to_the_backup() {
    let table = table(SectorSize::B512);
    let check = |at: usize, expect: &str| {
        let mut disk = disk(&table);
        disk[at] ^= 0xff;
        let found = read_all(&disk, SectorSize::B512).unwrap();
        assert_eq!(found.table, table);
        let Copy::Backup(fault) = found.copy else { panic!("read from the primary") };
        assert_eq!(fault.to_string(), expect);
    };
    check(512, "there is no GPT header (the signature is missing)");
    check(512 + 8, "GPT revision 0x000100ff is not supported (only 0x00010000)");
    check(512 + 13, "the GPT header's size of 65372 bytes is out of range");
    check(512 + 56, "the GPT header's checksum is wrong");
    check(1024 + 300, "the GPT entry array's checksum is wrong");
}

#[test]
fn a_disk_without_a_valid_copy_is_refused() {
    let mut disk = disk(&table(SectorSize::B512));
    disk[512] = 0;
    let last = disk.len() - 512;
    disk[last + 40] ^= 1;
    assert_eq!(
        read_all(&disk, SectorSize::B512).unwrap_err().to_string(),
        "no valid partition table: there is no GPT header (the signature is missing); the backup: the GPT header's checksum is wrong"
    );
    assert_eq!(
        read_all(&disk[..600], SectorSize::B512).unwrap_err().to_string(),
        "a disk of 600 bytes can't hold a partition table"
    );
}

#[test]
fn an_image_on_a_larger_disk_is_still_read() {
    let table = table(SectorSize::B512);
    let mut disk = disk(&table);
    disk.resize(disk.len() * 3, 0);
    assert_eq!(read_all(&disk, SectorSize::B512).unwrap(), Found { table, copy: Copy::Primary, array: 2..34 });
}

#[test]
fn tables_that_contradict_themselves_are_refused() {
    let check = |partitions: Vec<Partition>, expect: &str| {
        let table = Table::new(Uuid::nil(), SectorSize::B512, 2048, partitions);
        assert_eq!(table.encode().unwrap_err().to_string(), expect);
    };
    check(vec![partition(1, 50, 60), partition(2, 60, 70)], "partitions 1 and 2 overlap");
    check(vec![partition(1, 33, 60)], "partition 1 (sectors 33 to 60) is not within the usable sectors");
    check(vec![partition(1, 60, 2015)], "partition 1 (sectors 60 to 2015) is not within the usable sectors");
    check(vec![partition(1, 60, 59)], "partition 1 (sectors 60 to 59) is not within the usable sectors");
    check(vec![partition(0, 60, 60)], "partition number 0 is out of range or given twice");
    check(vec![partition(129, 60, 60)], "partition number 129 is out of range or given twice");
    check(vec![partition(1, 60, 60), partition(1, 61, 61)], "partition number 1 is out of range or given twice");
    check(vec![Partition { type_guid: Uuid::nil(), ..partition(1, 60, 60) }], "partition 1 has no type");
    let twin = Partition { uuid: Uuid::from_u128(1), ..partition(2, 61, 61) };
    check(vec![partition(1, 60, 60), twin], "partitions 1 and 2 have the same UUID");
    let named = Partition { name: "x".repeat(37), ..partition(1, 60, 60) };
    check(vec![named], "the name of partition 1 is longer than 36 UTF-16 code units");
    let tiny = Table::new(Uuid::nil(), SectorSize::B512, 60, vec![]);
    assert_eq!(tiny.encode().unwrap_err().to_string(), "the GPT's usable sectors 34 to 26 are not a range of this disk");
}

/// Headers with a sound checksum and a lie: the attacker's case.
#[test]
fn lies_with_a_sound_checksum_are_refused() {
    let check = |at: usize, lie: &[u8], expect: &str| {
        let mut disk = disk(&table(SectorSize::B512));
        disk[512 + at..512 + at + lie.len()].copy_from_slice(lie);
        disk[512 + 16..512 + 20].fill(0);
        let crc = crc32fast::hash(&disk[512..512 + 92]);
        disk[512 + 16..512 + 20].copy_from_slice(&crc.to_le_bytes());
        let Copy::Backup(fault) = read_all(&disk, SectorSize::B512).unwrap().copy else { panic!("read from the primary") };
        assert_eq!(fault.to_string(), expect);
    };
    check(24, &[2], "the GPT header of sector 1 says that it lies in sector 2");
    check(40, &[0xff; 8], "the GPT's usable sectors 18446744073709551615 to 2014 are not a range of this disk");
    check(48, &[0xff; 8], "the GPT's usable sectors 34 to 18446744073709551615 are not a range of this disk");
    check(72, &[0xff; 8], "the GPT entry array at sector 18446744073709551615 is out of place");
    check(72, &[40], "the GPT entry array at sector 40 is out of place");
    check(80, &[0xff; 4], "4294967295 GPT entries are not supported (1 to 4096)");
    check(84, &[0x81], "GPT entries of 129 bytes are not supported");
    check(84, &[0, 4], "GPT entries of 1024 bytes are not supported");
}

/// Every byte of the table, each with a few values: parsing ends, and never in a panic.
#[test]
fn no_single_byte_makes_parsing_panic() {
    let good = disk(&table(SectorSize::B512));
    let backup = good.len() - 33 * 512;
    for at in (512..512 + 92).chain(1024..1024 + 512).chain(backup..backup + 64) {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            let _ = read_all(&bad, SectorSize::B512);
            let _ = read_all(&bad, SectorSize::B4096);
        }
    }
}
