//! A medium in files: a table, an ESP with the files of a real one (small), a root and its hash tree.

use super::super::medium::{Medium, open};
use super::super::verify::{BLOCK, Verifier};
use kmimage_contract::disk_layout::{Role, Slot, medium};
use kmimage_contract::fat32::layout::{Data, FileAt, Volume, lay_out};
use kmimage_contract::gpt::{Partition, SectorSize, Table};
use kmimage_contract::verity::{VerityParams, partition_uuids};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use tempfile::tempfile;
use uuid::Uuid;

const MIB: u64 = 1 << 20;
const ESP_SIZE: u64 = 64 * MIB;
const BLOCKS: usize = 300;

/// What the ESP holds.
pub(super) struct Files(Vec<(&'static str, Vec<u8>)>);

impl Files {
    pub(super) fn new() -> Self {
        let bytes = |seed: u8, len: usize| (0..len).map(|at| seed ^ (at / 3) as u8).collect::<Vec<u8>>();
        let mut boot = bytes(5, 440);
        boot[..3].copy_from_slice(&[0xeb, 0x63, 0x90]);
        Self(vec![
            ("EFI/BOOT/BOOTX64.EFI", bytes(1, 9000)),
            ("EFI/kmimage/a.efi", bytes(2, 2_500_000)),
            ("EFI/systemd/systemd-bootx64.efi", bytes(1, 9000)),
            ("boot/a/cmdline.env", bytes(3, 1024)),
            ("boot/a/initramfs", bytes(4, 70_001)),
            ("boot/a/vmlinuz", bytes(6, 4096)),
            ("boot/grub/boot.img", boot),
            ("boot/grub/core.img", bytes(7, 40_960)),
            ("boot/grub/grub.cfg", bytes(8, 10)),
            ("boot/grub/slots.env", bytes(9, 1024)),
            ("loader/entries/kmimage-start.conf", bytes(10, 100)),
            ("loader/loader.conf", b"timeout 5\n".to_vec()),
        ])
    }

    pub(super) fn without(path: &str) -> Self {
        let mut files = Self::new();
        files.0.retain(|(known, _)| *known != path);
        files
    }

    pub(super) fn medium(&self) -> Medium {
        let root: Vec<u8> = (0..BLOCKS * BLOCK).map(|at| (at / 5 + at / BLOCK) as u8).collect();
        let params = VerityParams {
            uuid: Uuid::from_u128(3),
            data_block_size: 4096,
            hash_block_size: 4096,
            data_blocks: BLOCKS as u64,
            salt: vec![0x5a; 32],
        };
        let mut verifier = Verifier::new(&params);
        verifier.add(&root);
        let (hash, tree) = verifier.finish(&params).unwrap();
        let uuids = partition_uuids(&hash);
        let root_at = MIB + ESP_SIZE;
        let tree_at = root_at + (root.len() as u64).next_multiple_of(4096);
        let size = (tree_at + tree.len() as u64).next_multiple_of(MIB) + MIB;
        let rows = [
            (2, Role::Esp, medium::esp_uuid(&hash), MIB, ESP_SIZE),
            (3, Role::Root(Slot::A), uuids.root, root_at, root.len() as u64),
            (4, Role::RootVerity(Slot::A), uuids.verity, tree_at, tree.len() as u64),
        ];
        let partitions = rows.map(|(number, role, uuid, start, len)| Partition {
            number,
            type_guid: role.type_guid(),
            uuid,
            first_lba: start / 512,
            last_lba: (start + len) / 512 - 1,
            attributes: 0,
            name: role.name().to_owned(),
        });
        let table = Table::new(Uuid::from_u128(1), SectorSize::B512, size / 512, partitions.to_vec());
        let encoded = table.encode().unwrap();
        let device = tempfile().unwrap();
        device.set_len(size).unwrap();
        device.write_all_at(&encoded.primary, 0).unwrap();
        device.write_all_at(&encoded.backup, encoded.backup_offset).unwrap();
        device.write_all_at(&root, root_at).unwrap();
        device.write_all_at(&tree, tree_at).unwrap();
        self.lay_out(&device);
        let verified = tempfile().unwrap();
        verified.write_all_at(&root, 0).unwrap();
        open("sr0".to_owned(), device, size, verified, hash).unwrap().unwrap()
    }

    fn lay_out(&self, device: &File) {
        let volume = Volume { size: ESP_SIZE, disk_offset: MIB, serial: 1, label: "KMIMAGE-ESP", epoch: 0 };
        let list: Vec<FileAt<'_>> = self.0.iter().map(|(path, bytes)| FileAt { path, len: bytes.len() as u64 }).collect();
        for extent in lay_out(&volume, &list).unwrap() {
            let bytes = match &extent.data {
                Data::Bytes(bytes) => bytes,
                Data::File(number) => &self.0[*number].1,
            };
            device.write_all_at(bytes, MIB + extent.offset).unwrap();
        }
    }
}
