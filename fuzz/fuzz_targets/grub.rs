//! Any bytes as GRUB's kernel, or as the list of what its modules need.
#![no_main]

use kmimage::assemble::grub::{Core, GrubFiles, Target, core_image};
use std::collections::BTreeMap;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for (name, other) in [("kernel.img", "moddep.lst"), ("moddep.lst", "kernel.img")] {
        let files = BTreeMap::from([(name.to_owned(), data.to_vec()), (other.to_owned(), Vec::new())]);
        let core =
            Core { target: Target::Disk, prefix: "/", modules: &["linux"][..usize::from(name == "moddep.lst")], config: None };
        let _ = core_image(&GrubFiles::new(files), &core);
    }
});
