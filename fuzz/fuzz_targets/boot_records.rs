//! Any bytes as GRUB's environment block, and as an entry's name and file: what is read and written again reads the same.
#![no_main]

use kmimage_contract::boot_records::grub::EnvironmentBlock;
use kmimage_contract::boot_records::uefi::{self, BootEntry, EntryName, Listed};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(mut block) = EnvironmentBlock::parse(data) {
        assert_eq!(EnvironmentBlock::parse(&block.render()).as_ref(), Ok(&block));
        let records = block.records();
        block.set_records(&records);
        assert_eq!(block.records(), records);
        let _ = block.render_in(data.len());
    }
    let Ok(text) = str::from_utf8(data) else { return };
    let (name, text) = text.split_once('\n').unwrap_or((text, ""));
    if let (Some(name), Ok(entry)) = (EntryName::parse(name), BootEntry::parse(text)) {
        assert_eq!(EntryName::parse(&name.render()), Some(name));
        let slot = name.slot;
        let entries = [Listed { name, entry }];
        assert_eq!(uefi::next_boot(&entries).map(|(next, _)| next), Some(slot));
        let _ = uefi::bless(&entries, slot);
        assert!(uefi::records(&entries).stand_for(slot));
    }
});
