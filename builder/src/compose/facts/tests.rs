use super::testing::{ElfSpec, module};
use super::*;
use crate::compose::tree::Entry;

fn fact(name: &str, bytes: &[u8]) -> Option<Fact> {
    let mut tree = Tree::new();
    let path = TreePath::new(name).unwrap();
    let content = Content::from_bytes(bytes);
    tree.insert(path.clone(), Entry::file(content.clone(), 0o644, Origin::Kmimage));
    Facts::gather(&tree, None, 2).unwrap().of(&path, &content).cloned()
}

fn damaged(name: &str, bytes: &[u8]) -> String {
    match fact(name, bytes) {
        Some(Fact::Damaged(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_elf_file_says_what_it_needs() {
    let spec = ElfSpec {
        interpreter: Some("/lib64/ld-linux-x86-64.so.2"),
        needed: &["libz.so.1", "libc.so.6"],
        rpath: Some("$ORIGIN/../lib"),
        runpath: Some("/opt/lib"),
        soname: Some("libself.so.1"),
        ..Default::default()
    };
    let Some(Fact::Elf(elf)) = fact("/bin/a", &spec.bytes()) else { panic!() };
    assert_eq!((elf.class, elf.machine, elf.kind, elf.dynamic), (64, MACHINE_X86_64, ElfKind::Executable, true));
    assert_eq!(elf.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
    assert_eq!(elf.needed, ["libz.so.1", "libc.so.6"]);
    assert_eq!((elf.rpath.as_deref(), elf.runpath.as_deref()), (Some("$ORIGIN/../lib"), Some("/opt/lib")));
    assert_eq!(elf.soname.as_deref(), Some("libself.so.1"));
    assert!(!elf.is_static());
    let Some(Fact::Elf(library)) = fact("/lib/a.so", &ElfSpec { soname: Some("a.so"), ..Default::default() }.bytes()) else {
        panic!()
    };
    assert_eq!((library.kind, library.interpreter), (ElfKind::SharedLibrary, None));
}

#[test]
fn this_very_program_is_an_elf_program() {
    let bytes = fs_err::read(std::env::current_exe().unwrap()).unwrap();
    let Some(Fact::Elf(elf)) = fact("/a", &bytes) else { panic!() };
    assert_eq!(elf.kind, ElfKind::Executable);
    assert_eq!(elf.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
    assert!(elf.needed.iter().any(|name| name == "libc.so.6"), "{:?}", elf.needed);
}

#[test]
fn damaged_elf_files_are_named_never_a_panic() {
    let whole = ElfSpec { interpreter: Some("/ld"), needed: &["libc.so.6"], ..Default::default() }.bytes();
    assert_eq!(damaged("/a", &whole[..10]), "the ELF header lies beyond the end of the file");
    assert_eq!(damaged("/a", &whole[..80]), "its table of segments lies beyond the end of the file");
    assert_eq!(damaged("/a", &whole[..235]), "its interpreter's name lies beyond the end of the file");
    let mut bytes = whole.clone();
    bytes[4] = 9;
    assert_eq!(damaged("/a", &bytes), "it is of no known ELF class or byte order");
    let mut bytes = whole.clone();
    bytes[57] = 0xff;
    assert_eq!(damaged("/a", &bytes), "its table of segments is out of bounds");
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            fact("/a", &bytes);
        }
        fact("/a", &whole[..at]);
    }
}

#[test]
fn a_script_names_its_interpreter() {
    let cases: &[(&str, &str, Option<&str>, Option<&str>)] = &[
        ("#!/bin/sh\necho", "/bin/sh", None, None),
        ("#! /usr/bin/perl -w \n", "/usr/bin/perl", Some("-w"), None),
        ("#!/usr/bin/env python3\n", "/usr/bin/env", Some("python3"), Some("python3")),
        ("#!/usr/bin/env -S A=1 bash -e\r\n", "/usr/bin/env", Some("-S A=1 bash -e"), Some("bash")),
        ("#!x", "x", None, None),
        ("#!/bin/sh\t-e", "/bin/sh", Some("-e"), None),
    ];
    for (text, interpreter, argument, program) in cases {
        let text = format!("{text}\n\n");
        let Some(Fact::Script(script)) = fact("/a", text.as_bytes()) else { panic!("{text}") };
        assert_eq!(script.interpreter, *interpreter);
        assert_eq!(script.argument.as_deref(), *argument);
        assert_eq!(script.env_program(), *program);
    }
    assert_eq!(damaged("/a", b"#!  \n/bin/sh"), "its #! line names no interpreter");
    assert_eq!(fact("/a", b"#!"), None);
    assert_eq!(fact("/a", b"plain text"), None);
}

#[test]
fn a_kernel_module_says_what_it_is() {
    let bytes = module(&[
        "license=GPL",
        "alias=pci:v*",
        "alias=fs-a",
        "depends=snd-pcm,b",
        "softdep=pre: x post: y",
        "firmware=a/b.bin",
        "name=my-mod",
        "vermagic=6.12.1 SMP mod_unload ",
        "parm=x:y",
        "novalue",
    ]);
    let expected = KernelModule {
        name: "my_mod".into(),
        vermagic: "6.12.1 SMP mod_unload ".into(),
        depends: vec!["snd_pcm".into(), "b".into()],
        aliases: vec!["pci:v*".into(), "fs-a".into()],
        softdeps: vec!["pre: x post: y".into()],
        firmware: vec!["a/b.bin".into()],
    };
    assert_eq!(expected.release(), "6.12.1");
    assert_eq!(fact("/a.ko", &bytes), Some(Fact::Module(expected.clone())));
    let mut xz = Vec::new();
    std::io::copy(&mut liblzma::read::XzEncoder::new(&bytes[..], 1), &mut xz).unwrap();
    assert_eq!(fact("/a.ko.xz", &xz), Some(Fact::Module(expected.clone())));
    let zst = zstd::stream::encode_all(&bytes[..], 3).unwrap();
    assert_eq!(fact("/a.ko.zst", &zst), Some(Fact::Module(expected)));

    assert_eq!(damaged("/a.ko.xz", &xz[..xz.len() / 2]), "it can't be unpacked (xz)");
    assert_eq!(damaged("/a.ko.zst", &zst[..zst.len() / 2]), "it can't be unpacked (zstd)");
    assert_eq!(damaged("/a.ko", b""), "it is neither an ELF file nor one packed by xz, zstd or gzip");
    assert_eq!(damaged("/a.ko", &ElfSpec::default().bytes()), "it is no relocatable ELF file");
    for at in 0..bytes.len() {
        for value in [0, 0x7f, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            fact("/a.ko", &bytes);
        }
        fact("/a.ko", &bytes[..at]);
    }
}

#[test]
fn known_programs_are_told_by_their_bytes() {
    let known = |constants: &str| match fact("/a", &ElfSpec { constants, ..Default::default() }.bytes()) {
        Some(Fact::Elf(elf)) => elf.known_programs,
        other => panic!("{other:?}"),
    };
    assert_eq!(known("hello"), [""; 0]);
    assert_eq!(known("GNU bash, version %s"), ["bash"]);
    assert_eq!(known("BusyBox v1.36 OPTIND=1\0PS4=+ "), ["dash", "busybox"]);
    assert_eq!(known("only OPTIND=1\0"), [""; 0]);
    // A mark across the border of two pieces.
    let at_border = format!("{}GNU bash, version 5", "x".repeat(256 * 1024 - 300));
    for shift in 0..32 {
        assert_eq!(known(&at_border[shift..]), ["bash"], "{shift}");
    }
}

#[test]
fn module_paths_are_taken_apart() {
    let name = ModuleName::of(&TreePath::new("/usr/lib/modules/6.1/kernel/fs/a-b.ko.xz").unwrap()).unwrap();
    assert_eq!((name.release.as_str(), name.file.as_str(), name.name.as_str()), ("6.1", "kernel/fs/a-b.ko.xz", "a_b"));
    assert_eq!(ModuleName::of(&TreePath::new("/usr/lib/modules/6.1/modules.dep").unwrap()), None);
}

#[test]
fn facts_are_kept_in_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut tree = Tree::new();
    let package = Origin::Package { name: "a".into(), version: "1".into() };
    let put = |tree: &mut Tree, path: &str, bytes: &[u8], origin: &Origin| {
        let content = Content::from_bytes(bytes);
        tree.insert(TreePath::new(path).unwrap(), Entry::file(content, 0o644, origin.clone()));
    };
    put(&mut tree, "/bin/a", &ElfSpec { needed: &["libc.so.6"], ..Default::default() }.bytes(), &package);
    put(&mut tree, "/lib/a.ko", &module(&["name=a"]), &package);
    put(&mut tree, "/etc/b", b"#!/bin/sh\n", &Origin::Overlay("o".into()));
    let cold = Facts::gather(&tree, Some(&store), 2).unwrap();
    assert_eq!(cold.len(), 3);
    assert_eq!(Facts::gather(&tree, Some(&store), 1).unwrap(), cold);
    // What the store says is believed: a warm build reads no content.
    let keys: Vec<_> = tree
        .iter()
        .filter_map(|(path, entry)| match &entry.kind {
            Kind::File(content) if entry.origin == package => Some((is_module_name(path.name()), content.sha256())),
            _ => None,
        })
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    store.put_cached("facts", &key(keys.iter()), br#"{"files":[],"modules":[]}"#).unwrap();
    assert_eq!(Facts::gather(&tree, Some(&store), 2).unwrap().len(), 1);
    store.put_cached("facts", &key(keys.iter()), b"nonsense").unwrap();
    assert_eq!(Facts::gather(&tree, Some(&store), 2).unwrap(), cold);
}
