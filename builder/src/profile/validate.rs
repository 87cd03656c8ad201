//! A merged chain of profiles into a [`Profile`]: every value is judged, and an error points at where it was written.
//!
//! What only a later stage can know (does the package exist, does a pattern match anything) is not judged here.

use super::error::ProfileError;
use super::library::{Library, OverlayPlace};
use super::merge::{Choice, Merged, Written};
use super::model::{
    Choices, ContainerImage, Drop, Exception, Image, ImageSource, InitramfsModules, Kernel, Mode, ModuleDrop, ModuleSelection,
    Move, Overlay, Profile, ScriptAnswer, SourceFile,
};
use super::{repository, values, versions};
use crate::container_image::ImageName;
use kmimage_contract::toml_document::{DocumentError, Located, nearest};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

type Text = Located<String>;
type Result<T, E = DocumentError> = std::result::Result<T, E>;

/// Where the chain was read.
pub(super) struct Context<'a> {
    pub(super) library: &'a Library,
    /// The profile's name, and its farthest ancestor's.
    pub(super) name: String,
    pub(super) eldest: String,
    pub(super) files: Vec<SourceFile>,
    /// The folder of each document; none for an embedded one.
    pub(super) folders: Vec<Option<PathBuf>>,
}

const DEFAULT_SLOT_SIZE: u64 = 512 << 20;
const DEFAULT_LEVEL: i64 = 9;
const DEFAULT_BLOCK_SIZE: u64 = 256 << 10;
const DEFAULT_LICENCES: &str = "/usr/share/licenses";

/// Judges a merged chain.
pub(super) fn validate(merged: &Merged, context: Context<'_>) -> Result<Profile, ProfileError> {
    let absent = absent(merged)?;
    let versions = versions::versions(merged)?;
    let repositories = repository::repositories(merged, &versions, &context)?;
    let names: BTreeSet<&str> = repositories.iter().map(|repository| repository.name.as_str()).collect();
    Ok(Profile {
        description: match &merged.description {
            Some(text) => value(merged, text, values::sentence)?,
            None => String::new(),
        },
        role: match &merged.role {
            Some(text) => value(merged, text, values::name)?,
            None => context.eldest.clone(),
        },
        packages: installed(merged, &merged.packages, "package", &absent)?,
        boot_packages: installed(merged, &merged.boot_packages, "boot package", &absent)?,
        choices: choices(merged, &absent, &names)?,
        versions,
        repositories,
        overlays: overlays(merged, context.library)?,
        kernel: kernel(merged, &absent)?,
        drops: drops(merged)?,
        moves: moves(merged)?,
        modes: modes(merged)?,
        exceptions: exceptions(merged)?,
        scripts: scripts(merged)?,
        container_images: container_images(merged, &context)?,
        image: image(merged)?,
        licences: match &merged.licences {
            Some(text) => value(merged, text, values::path)?,
            None => DEFAULT_LICENCES.to_owned(),
        },
        absent: absent.into_iter().map(|(name, (reason, _))| (name, reason)).collect(),
        name: context.name,
        files: context.files,
    })
}

/// Judges one value where it was written.
pub(super) fn value<T>(merged: &Merged, text: &Written<Text>, judge: fn(&str) -> Result<T, String>) -> Result<T> {
    value_in(merged, text.document, &text.item, judge)
}

/// As [`value`], for a part of an item.
pub(super) fn value_in<T>(merged: &Merged, document: usize, text: &Text, judge: fn(&str) -> Result<T, String>) -> Result<T> {
    judge(text).map_err(|message| merged.error_in(document, text, message))
}

/// Refuses a second item of the same name and says where the first is.
pub(super) struct Once<'a, K> {
    merged: &'a Merged,
    what: &'static str,
    seen: BTreeMap<K, String>,
}

impl<'a, K: Ord + ToString> Once<'a, K> {
    pub(super) fn new(merged: &'a Merged, what: &'static str) -> Self {
        Self { merged, what, seen: BTreeMap::new() }
    }

    pub(super) fn see(&mut self, document: usize, at: &Text, key: K) -> Result<()> {
        if let Some(first) = self.seen.get(&key) {
            let message = format!("the {} `{}` is there already, from {first}", self.what, key.to_string());
            return Err(self.merged.error_in(document, at, message));
        }
        self.seen.insert(key, self.merged.place(document, at));
        Ok(())
    }
}

/// Every absent package with its reason and place.
type Absent = BTreeMap<String, (String, String)>;

fn absent(merged: &Merged) -> Result<Absent> {
    let mut once = Once::new(merged, "absent package");
    let mut absent = BTreeMap::new();
    for item in &merged.absent {
        let name = value_in(merged, item.document, &item.package, values::package)?;
        once.see(item.document, &item.package, name.clone())?;
        let reason = value_in(merged, item.document, &item.reason, values::sentence)?;
        absent.insert(name, (reason, merged.place(item.document, &item.package)));
    }
    Ok(absent)
}

fn installed(merged: &Merged, list: &[Written<Text>], what: &'static str, absent: &Absent) -> Result<BTreeSet<String>> {
    let mut once = Once::new(merged, what);
    let mut packages = BTreeSet::new();
    for text in list {
        let name = value(merged, text, values::package)?;
        once.see(text.document, &text.item, name.clone())?;
        refuse_absent(merged, text.document, &text.item, absent)?;
        packages.insert(name);
    }
    Ok(packages)
}

fn refuse_absent(merged: &Merged, document: usize, text: &Text, absent: &Absent) -> Result<()> {
    match absent.get(&**text) {
        None => Ok(()),
        Some((_, place)) => {
            let message = format!("`{}` is declared absent, in {place}; take it from there by `[without] absent`", **text);
            Err(merged.error_in(document, text, message))
        }
    }
}

fn choices(merged: &Merged, absent: &Absent, repositories: &BTreeSet<&str>) -> Result<Choices> {
    let pairs = |list: &[Written<Choice>], what| -> Result<Vec<(usize, Choice)>> {
        let mut once = Once::new(merged, what);
        for choice in list {
            let name = value_in(merged, choice.document, &choice.name, values::package)?;
            once.see(choice.document, &choice.name, name)?;
        }
        Ok(list.iter().map(|choice| (choice.document, choice.item.clone())).collect())
    };
    let mut providers = BTreeMap::new();
    for (document, choice) in pairs(&merged.providers, "choice for")? {
        let chosen = value_in(merged, document, &choice.chosen, values::package)?;
        refuse_absent(merged, document, &choice.chosen, absent)?;
        refuse_absent(merged, document, &choice.name, absent)?;
        providers.insert(choice.name.into_inner(), chosen);
    }
    let mut origins = BTreeMap::new();
    for (document, choice) in pairs(&merged.origins, "repository for")? {
        if !repositories.contains(choice.chosen.as_str()) {
            return Err(unknown_name(merged, document, &choice.chosen, "repository", repositories.iter().copied()));
        }
        origins.insert(choice.name.into_inner(), choice.chosen.into_inner());
    }
    let alternatives = installed(merged, &merged.alternatives, "alternative", absent)?;
    Ok(Choices { providers, alternatives, repositories: origins })
}

/// The error of a name that must be one of `known`.
pub(super) fn unknown_name<'a>(
    merged: &Merged,
    document: usize,
    text: &Text,
    what: &str,
    known: impl Iterator<Item = &'a str>,
) -> DocumentError {
    let known: Vec<&str> = known.collect();
    let hint = match nearest(text, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there is none".to_owned(),
        None => format!("there are: {}", known.join(", ")),
    };
    merged.error_in(document, text, format!("there is no {what} `{}`; {hint}", **text))
}

fn overlays(merged: &Merged, library: &Library) -> Result<Vec<Overlay>> {
    let mut once = Once::new(merged, "overlay");
    let mut overlays = Vec::new();
    for text in &merged.overlays {
        let name = value(merged, text, values::name)?;
        once.see(text.document, &text.item, name.clone())?;
        let place: OverlayPlace = library.overlay(&name).ok_or_else(|| {
            let known = library.overlay_names();
            unknown_name(merged, text.document, &text.item, "overlay", known.iter().map(String::as_str))
        })?;
        overlays.push(Overlay { name, place });
    }
    Ok(overlays)
}

fn kernel(merged: &Merged, absent: &Absent) -> Result<Kernel> {
    let package = match &merged.kernel_package {
        None => None,
        Some(text) => {
            refuse_absent(merged, text.document, &text.item, absent)?;
            Some(value(merged, text, values::package)?)
        }
    };
    let mut drop = Vec::new();
    let mut once = Once::new(merged, "dropped module path");
    for item in &merged.module_drops {
        let path = value_in(merged, item.document, &item.path, values::module_path)?;
        once.see(item.document, &item.path, path.clone())?;
        drop.push(ModuleDrop { path, reason: value_in(merged, item.document, &item.reason, values::sentence)? });
    }
    let mut keep = Vec::new();
    let mut once = Once::new(merged, "pattern");
    for text in &merged.module_keeps {
        keep.push(value(merged, text, values::module_glob)?);
        once.see(text.document, &text.item, text.to_string())?;
    }
    Ok(Kernel {
        package,
        cmdline: list(merged, &merged.cmdline, "word", values::cmdline_word)?,
        modules: ModuleSelection { drop, keep },
        initramfs: InitramfsModules {
            modules: list(merged, &merged.initramfs_modules, "module", values::module)?.into_iter().collect(),
            directories: list(merged, &merged.initramfs_directories, "module directory", values::module_path)?
                .into_iter()
                .collect(),
        },
    })
}

/// Judges each text of a list that has no doubles.
pub(super) fn list(
    merged: &Merged,
    texts: &[Written<Text>],
    what: &'static str,
    judge: fn(&str) -> Result<String, String>,
) -> Result<Vec<String>> {
    let mut once = Once::new(merged, what);
    let mut values = Vec::new();
    for text in texts {
        let judged = value(merged, text, judge)?;
        once.see(text.document, &text.item, judged.clone())?;
        values.push(judged);
    }
    Ok(values)
}

fn drops(merged: &Merged) -> Result<Vec<Drop>> {
    let mut once = Once::new(merged, "dropped path");
    let judge = |item: &Written<super::raw::RawDrop>| {
        let glob = value_in(merged, item.document, &item.path, values::path_glob)?;
        once.see(item.document, &item.path, item.path.to_string())?;
        Ok(Drop { glob, reason: value_in(merged, item.document, &item.reason, values::sentence)? })
    };
    merged.drops.iter().map(judge).collect()
}

fn moves(merged: &Merged) -> Result<Vec<Move>> {
    let mut once = Once::new(merged, "move of");
    let mut moves = Vec::new();
    for item in &merged.moves {
        let from = value_in(merged, item.document, &item.from, values::path)?;
        let to = value_in(merged, item.document, &item.to, values::path)?;
        once.see(item.document, &item.from, from.clone())?;
        if to == from || to.strip_prefix(&from).is_some_and(|rest| rest.starts_with('/')) {
            return Err(merged.error_in(item.document, &item.to, format!("`{to}` lies in `{from}` itself")));
        }
        moves.push(Move { from, to, reason: value_in(merged, item.document, &item.reason, values::sentence)? });
    }
    Ok(moves)
}

fn modes(merged: &Merged) -> Result<Vec<Mode>> {
    let mut once = Once::new(merged, "mode of");
    let judge = |item: &Written<super::raw::RawMode>| {
        let path = value_in(merged, item.document, &item.path, values::path)?;
        once.see(item.document, &item.path, path.clone())?;
        let mode = value_in(merged, item.document, &item.mode, values::mode)?;
        Ok(Mode { path, mode, reason: value_in(merged, item.document, &item.reason, values::sentence)? })
    };
    merged.modes.iter().map(judge).collect()
}

fn exceptions(merged: &Merged) -> Result<Vec<Exception>> {
    let mut once = Once::new(merged, "exception");
    let judge = |item: &Written<super::raw::RawAllow>| {
        let path = value_in(merged, item.document, &item.path, values::path_glob)?;
        once.see(item.document, &item.path, format!("{} {path}", item.rule.name()))?;
        Ok(Exception { rule: *item.rule, path, reason: value_in(merged, item.document, &item.reason, values::sentence)? })
    };
    merged.allows.iter().map(judge).collect()
}

fn scripts(merged: &Merged) -> Result<Vec<ScriptAnswer>> {
    let mut once = Once::new(merged, "answer for");
    let mut answers = Vec::new();
    for item in &merged.scripts {
        let package = value_in(merged, item.document, &item.package, values::package)?;
        once.see(item.document, &item.package, format!("{package} {}", item.script.name()))?;
        let mut effects = BTreeSet::new();
        for effect in &item.effects {
            effects.insert(value_in(merged, item.document, effect, values::sentence)?);
        }
        if effects.is_empty() {
            let message = format!("name the effects of `{package}`'s {} that are answered", item.script.name());
            return Err(merged.error_in(item.document, &item.package, message));
        }
        let reason = value_in(merged, item.document, &item.reason, values::sentence)?;
        answers.push(ScriptAnswer { package, script: *item.script, effects, reason });
    }
    Ok(answers)
}

fn container_images(merged: &Merged, context: &Context<'_>) -> Result<Vec<ContainerImage>> {
    let mut once = Once::new(merged, "container image");
    let mut images = Vec::new();
    for item in &merged.container_images {
        let name = value_in(merged, item.document, &item.name, ImageName::parse)?;
        // A tag and a digest are a name each, and each leads to one image.
        for known in name.names() {
            once.see(item.document, &item.name, known)?;
        }
        let source = match item.source.strip_prefix("built-in:") {
            Some("pause") => ImageSource::Pause,
            Some(_) => {
                let message = format!("`{}` is not built in; `built-in:pause` is", *item.source);
                return Err(merged.error_in(item.document, &item.source, message));
            }
            None => {
                let path = value_in(merged, item.document, &item.source, values::image_file)?;
                match context.folders.get(item.document).and_then(Option::as_ref) {
                    Some(folder) => ImageSource::Path(folder.join(path)),
                    None => {
                        let message = "an embedded profile has no folder to look in";
                        return Err(merged.error_in(item.document, &item.source, message));
                    }
                }
            }
        };
        images.push(ContainerImage { name, source });
    }
    Ok(images)
}

fn image(merged: &Merged) -> Result<Image> {
    let slot_size = match &merged.slot_size {
        None => DEFAULT_SLOT_SIZE,
        Some(text) => match value(merged, text, values::size)? {
            size if size % (1 << 20) == 0 => size,
            _ => return Err(merged.error(text, format!("`{}` is not a multiple of 1 MiB", ***text))),
        },
    };
    let level = merged.compression_level.as_ref().map_or(DEFAULT_LEVEL, |level| *level.item);
    let compression_level = match (&merged.compression_level, i32::try_from(level)) {
        (_, Ok(level @ 1..=22)) => level,
        (Some(at), _) => return Err(merged.error(at, format!("`{level}` is no zstd level: 1 to 22"))),
        (None, _) => DEFAULT_LEVEL as i32,
    };
    let block_size = match &merged.block_size {
        None => DEFAULT_BLOCK_SIZE,
        Some(text) => match value(merged, text, values::size)? {
            size if size.is_power_of_two() && (4 << 10..=1 << 20).contains(&size) => size,
            _ => return Err(merged.error(text, format!("`{}` is no power of two from 4 KiB to 1 MiB", ***text))),
        },
    };
    let boot_image_limit = merged.boot_image_limit.as_ref().map(|text| value(merged, text, values::size)).transpose()?;
    Ok(Image { slot_size, compression_level, block_size: block_size as u32, boot_image_limit })
}
