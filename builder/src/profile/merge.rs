//! A chain of profiles and the extensions that they take, the farthest ancestor first, folded into one: lists grow, single values are replaced, `[without]` takes away.
//!
//! Every item remembers the document that wrote it, so that validation can point there. Values are not judged here.

use super::raw::{
    RawAbsent, RawAllow, RawContainerImage, RawDrop, RawImage, RawMode, RawMove, RawProfile, RawRepository, RawScript, RawWithout,
};
use kmimage_contract::toml_document::{Document, DocumentError, Located, nearest};
use std::ops::Deref;

type Text = Located<String>;

/// An item and the document that wrote it, by its place in the chain.
#[derive(Debug, Clone)]
pub(super) struct Written<T> {
    pub(super) document: usize,
    pub(super) item: T,
}

impl<T> Deref for Written<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.item
    }
}

/// Modules by path, and why they go.
#[derive(Debug, Clone)]
pub(super) struct ModulePath {
    pub(super) path: Text,
    pub(super) reason: Text,
}

/// A name and what is chosen for it.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) name: Text,
    pub(super) chosen: Text,
}

/// One value for every key of a profile.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) documents: Vec<Document>,
    pub(super) description: Option<Written<Text>>,
    pub(super) role: Option<Written<Text>>,
    pub(super) licences: Option<Written<Text>>,
    pub(super) kubernetes: Option<Written<Text>>,
    pub(super) crio: Option<Written<Text>>,
    pub(super) overlays: Vec<Written<Text>>,
    pub(super) packages: Vec<Written<Text>>,
    pub(super) boot_packages: Vec<Written<Text>>,
    pub(super) absent: Vec<Written<RawAbsent>>,
    pub(super) providers: Vec<Written<Choice>>,
    pub(super) alternatives: Vec<Written<Text>>,
    pub(super) origins: Vec<Written<Choice>>,
    pub(super) repositories: Vec<Written<RawRepository>>,
    pub(super) kernel_package: Option<Written<Text>>,
    pub(super) cmdline: Vec<Written<Text>>,
    pub(super) module_drops: Vec<Written<ModulePath>>,
    pub(super) module_keeps: Vec<Written<Text>>,
    pub(super) initramfs_modules: Vec<Written<Text>>,
    pub(super) initramfs_directories: Vec<Written<Text>>,
    pub(super) drops: Vec<Written<RawDrop>>,
    pub(super) moves: Vec<Written<RawMove>>,
    pub(super) modes: Vec<Written<RawMode>>,
    pub(super) allows: Vec<Written<RawAllow>>,
    pub(super) scripts: Vec<Written<RawScript>>,
    pub(super) container_images: Vec<Written<RawContainerImage>>,
    pub(super) slot_size: Option<Written<Text>>,
    pub(super) compression_level: Option<Written<Located<i64>>>,
    pub(super) block_size: Option<Written<Text>>,
    pub(super) boot_image_limit: Option<Written<Text>>,
}

impl Merged {
    /// An error at a value.
    pub(super) fn error<T>(&self, at: &Written<Located<T>>, message: impl Into<String>) -> DocumentError {
        self.error_in(at.document, &at.item, message)
    }

    /// An error at a part of an item.
    pub(super) fn error_in<T>(&self, document: usize, at: &Located<T>, message: impl Into<String>) -> DocumentError {
        match self.documents.get(document) {
            Some(document) => document.error(at, message),
            None => Document::new("profile", "").error_at(0..0, message),
        }
    }

    /// `FILE:LINE` of a part of an item.
    pub(super) fn place<T>(&self, document: usize, at: &Located<T>) -> String {
        self.documents.get(document).map(|document| document.place(at.span())).unwrap_or_default()
    }
}

/// Folds a chain, the farthest ancestor first.
pub(super) fn merge(chain: Vec<(Document, RawProfile)>) -> Result<Merged, DocumentError> {
    let mut merged = Merged::default();
    for (number, (document, raw)) in chain.into_iter().enumerate() {
        merged.documents.push(document);
        take_away(&mut merged, number, &raw.without)?;
        add(&mut merged, number, raw);
    }
    Ok(merged)
}

fn add(merged: &mut Merged, document: usize, raw: RawProfile) {
    let RawProfile {
        description,
        extends: _,
        extensions: _,
        role,
        overlays,
        licences,
        versions,
        packages,
        boot,
        absent,
        choose,
        repository,
        kernel,
        drop,
        moves,
        mode,
        allow,
        script,
        container_image,
        image: RawImage { slot_size, compression_level, block_size, boot_image_limit },
        without: _,
    } = raw;
    replace(&mut merged.description, document, Some(description));
    replace(&mut merged.role, document, role);
    replace(&mut merged.licences, document, licences);
    replace(&mut merged.kubernetes, document, versions.kubernetes);
    replace(&mut merged.crio, document, versions.crio);
    replace(&mut merged.kernel_package, document, kernel.package);
    replace(&mut merged.slot_size, document, slot_size);
    replace(&mut merged.compression_level, document, compression_level);
    replace(&mut merged.block_size, document, block_size);
    replace(&mut merged.boot_image_limit, document, boot_image_limit);

    let choice = |(name, chosen)| Choice { name, chosen };
    let module_paths = kernel.modules.drop.into_iter().flat_map(|family| {
        let reason = family.reason;
        family.paths.into_iter().map(move |path| ModulePath { path, reason: reason.clone() })
    });
    extend(&mut merged.overlays, document, overlays);
    extend(&mut merged.packages, document, packages.install);
    extend(&mut merged.boot_packages, document, boot.packages);
    extend(&mut merged.absent, document, absent);
    extend(&mut merged.providers, document, choose.provider.into_iter().map(choice));
    extend(&mut merged.alternatives, document, choose.alternatives);
    extend(&mut merged.origins, document, choose.repository.into_iter().map(choice));
    extend(&mut merged.repositories, document, repository);
    extend(&mut merged.cmdline, document, kernel.cmdline);
    extend(&mut merged.module_drops, document, module_paths);
    extend(&mut merged.module_keeps, document, kernel.modules.keep);
    extend(&mut merged.initramfs_modules, document, kernel.initramfs.modules);
    extend(&mut merged.initramfs_directories, document, kernel.initramfs.directories);
    extend(&mut merged.drops, document, drop);
    extend(&mut merged.moves, document, moves);
    extend(&mut merged.modes, document, mode);
    extend(&mut merged.allows, document, allow);
    extend(&mut merged.scripts, document, script);
    extend(&mut merged.container_images, document, container_image);
}

fn replace<T>(slot: &mut Option<Written<T>>, document: usize, value: Option<T>) {
    if let Some(item) = value {
        *slot = Some(Written { document, item });
    }
}

fn extend<T>(list: &mut Vec<Written<T>>, document: usize, items: impl IntoIterator<Item = T>) {
    list.extend(items.into_iter().map(|item| Written { document, item }));
}

fn take_away(merged: &mut Merged, number: usize, without: &RawWithout) -> Result<(), DocumentError> {
    let RawWithout {
        packages,
        boot_packages,
        absent,
        providers,
        alternatives,
        repositories,
        overlays,
        cmdline,
        module_drop,
        module_keep,
        initramfs_modules,
        initramfs_directories,
        drop,
        moves,
        mode,
        allow,
        script,
        container_images,
    } = without;
    let Some(document) = merged.documents.get(number) else { return Ok(()) };
    let plain = |text: &Text| text.to_string();
    remove(document, &mut merged.packages, packages, "package", plain)?;
    remove(document, &mut merged.boot_packages, boot_packages, "boot package", plain)?;
    remove(document, &mut merged.absent, absent, "absent package", |item| item.package.to_string())?;
    remove(document, &mut merged.providers, providers, "choice of a provider", |item| item.name.to_string())?;
    remove(document, &mut merged.alternatives, alternatives, "chosen alternative", plain)?;
    remove(document, &mut merged.repositories, repositories, "repository", |item| item.name.to_string())?;
    remove(document, &mut merged.overlays, overlays, "overlay", plain)?;
    remove(document, &mut merged.cmdline, cmdline, "word of the command line", plain)?;
    remove(document, &mut merged.module_drops, module_drop, "dropped module path", |item| item.path.to_string())?;
    remove(document, &mut merged.module_keeps, module_keep, "pattern of kept modules", plain)?;
    remove(document, &mut merged.initramfs_modules, initramfs_modules, "module of the initramfs", plain)?;
    remove(document, &mut merged.initramfs_directories, initramfs_directories, "module directory of the initramfs", plain)?;
    remove(document, &mut merged.drops, drop, "dropped path", |item| item.path.to_string())?;
    remove(document, &mut merged.moves, moves, "move", |item| item.from.to_string())?;
    remove(document, &mut merged.modes, mode, "mode", |item| item.path.to_string())?;
    remove(document, &mut merged.allows, allow, "exception", |item| format!("{} {}", item.rule.name(), *item.path))?;
    remove(document, &mut merged.scripts, script, "script answer", |item| format!("{} {}", *item.package, item.script.name()))?;
    remove(document, &mut merged.container_images, container_images, "container image", |item| item.name.to_string())
}

fn remove<T>(
    document: &Document,
    list: &mut Vec<Written<T>>,
    names: &[Text],
    what: &str,
    name_of: impl Fn(&T) -> String,
) -> Result<(), DocumentError> {
    for name in names {
        let before = list.len();
        list.retain(|written| name_of(&written.item) != **name);
        if list.len() == before {
            let known: Vec<String> = list.iter().map(|written| name_of(&written.item)).collect();
            let hint = nearest(name, known.iter().map(String::as_str)).map(|name| format!("; did you mean `{name}`?"));
            let message = format!("no parent has the {what} `{}`{}", **name, hint.unwrap_or_default());
            return Err(document.error(name, message));
        }
    }
    Ok(())
}
