//! Small ELF files, written by hand so that every byte is known.

/// EM_X86_64.
const X86_64: u16 = 62;

/// A 64-bit ELF program or library: one segment over the whole file, an interpreter and a dynamic section where asked for.
#[derive(Debug, Default, Clone)]
pub struct ElfSpec<'a> {
    pub interpreter: Option<&'a str>,
    pub needed: &'a [&'a str],
    pub soname: Option<&'a str>,
    pub rpath: Option<&'a str>,
    pub runpath: Option<&'a str>,
    /// Bytes to put into the constants.
    pub constants: &'a str,
    /// Otherwise x86-64.
    pub machine: Option<u16>,
}

impl ElfSpec<'_> {
    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut strings = vec![0];
        let mut string = |text: &str| {
            let at = strings.len() as u64;
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            at
        };
        let mut dynamic: Vec<(u64, u64)> = self.needed.iter().map(|name| (1, string(name))).collect();
        dynamic.extend(self.soname.map(|text| (14, string(text))));
        dynamic.extend(self.rpath.map(|text| (15, string(text))));
        dynamic.extend(self.runpath.map(|text| (29, string(text))));
        let interpreter = self.interpreter.map(|text| (string(text), text.len() as u64 + 1));
        string(self.constants);
        let dynamic_at = 64 + 3 * 56;
        let strings_at = dynamic_at + 16 * (dynamic.len() as u64 + 2);
        dynamic.push((5, strings_at));
        dynamic.push((0, 0));
        let end = strings_at + strings.len() as u64;

        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend(3u16.to_le_bytes());
        bytes.extend(self.machine.unwrap_or(X86_64).to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        for word in [0u64, 64, 0] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(0u32.to_le_bytes());
        for half in [64u16, 56, 3, 0, 0, 0] {
            bytes.extend(half.to_le_bytes());
        }
        let (interpreter_at, interpreter_len) = interpreter.map_or((0, 0), |(at, len)| (strings_at + at, len));
        let rows = [
            (1u32, 4u32, 0, end),
            (2, 4, dynamic_at, 16 * dynamic.len() as u64),
            (if interpreter.is_some() { 3 } else { 0 }, 4, interpreter_at, interpreter_len),
        ];
        for (kind, flags, at, len) in rows {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(flags.to_le_bytes());
            for word in [at, at, at, len, len, 8] {
                bytes.extend(word.to_le_bytes());
            }
        }
        for (tag, value) in dynamic {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(strings);
        bytes
    }
}

/// A kernel module: a relocatable ELF file with a `.modinfo` section of these lines.
pub fn module(lines: &[&str]) -> Vec<u8> {
    let mut modinfo = Vec::new();
    for line in lines {
        modinfo.extend_from_slice(line.as_bytes());
        modinfo.push(0);
    }
    let names = b"\0.modinfo\0.shstrtab\0";
    let names_at = 64 + modinfo.len();
    let sections_at = (names_at + names.len()).next_multiple_of(8);
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend(1u16.to_le_bytes());
    bytes.extend(X86_64.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    for word in [0u64, 0, sections_at as u64] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(0u32.to_le_bytes());
    for half in [64u16, 0, 0, 64, 3, 2] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(&modinfo);
    bytes.extend(names);
    bytes.resize(sections_at, 0);
    for (name, kind, at, len) in [(0u32, 0u32, 0, 0), (1, 1, 64, modinfo.len()), (10, 3, names_at, names.len())] {
        bytes.extend(name.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        for word in [0u64, 0, at as u64, len as u64] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend([0; 8]);
        bytes.extend(1u64.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
    }
    bytes
}
