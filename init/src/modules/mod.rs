//! Loading kernel modules by name or alias: one room for everybody who needs one. Process 1, its children and the kernel itself (which
//! calls `/sbin/modprobe`, a link to this program) all come here.
//!
//! It knows what kmod's modprobe knows that a node needs: `modules.dep`, `modules.alias`, `modules.softdep`, what is built in, the files in
//! modprobe.d, and `module.parameter=` on the kernel command line. It runs no `install` commands (there is no shell to run them in): a
//! module with one is blocked, by name. It removes no modules.

mod applet;
mod rules;
mod tables;

pub use applet::run as modprobe;
pub use rules::Rules;
pub use tables::{Found, Step, Tables};

use crate::facts;
use kmimage_contract::modules::name;
use kmimage_sys::module::{self, Loaded};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Why a module could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// Neither a module, nor built in, nor an alias of one.
    #[error("there is no module `{wanted}` in {}", folder.display())]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// Where modules are.
        folder: PathBuf,
    },
    /// modprobe.d has an `install` command for it.
    #[error("module `{0}` is blocked: modprobe.d has an install command for it, and there is no shell to run it in")]
    Blocked(String),
    /// The kernel refused.
    #[error("loading {}", path.display())]
    Load {
        /// The module's file.
        path: PathBuf,
        /// Why; ENODEV: it found nothing to drive.
        source: io::Error,
    },
}

/// What came of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It and what it needs are loaded: this many modules are new.
    Loaded(usize),
    /// The kernel has it built in.
    BuiltIn,
    /// An alias of modules that modprobe.d blacklists.
    Blacklisted,
}

/// Loads modules; remembers what was tried, so that nothing is tried twice.
#[derive(Debug)]
pub struct Loader {
    tables: Tables,
    hands: Hands,
}

impl Loader {
    /// For the running kernel. Reads no table before one is needed.
    pub fn open() -> Self {
        let folder = PathBuf::from(kmimage_contract::paths::modules(&module::kernel_release()));
        let cmdline = facts::cmdline::read().unwrap_or_default();
        let tables = Tables::below(&folder, Rules::read(&cmdline));
        Self { tables, hands: Hands { folder, tried: BTreeMap::new() } }
    }

    /// The tables behind it.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Loads a module by name or alias, and before it what it needs.
    pub fn load(&mut self, wanted: &str) -> Result<Outcome, ModuleError> {
        self.load_with(wanted, "")
    }

    /// As [`Self::load`], with parameters behind those of modprobe.d and the command line.
    pub fn load_with(&mut self, wanted: &str, parameters: &str) -> Result<Outcome, ModuleError> {
        let names = match self.tables.find(wanted) {
            Found::Modules(names) => names,
            Found::BuiltIn => return Ok(Outcome::BuiltIn),
            Found::Blacklisted => return Ok(Outcome::Blacklisted),
            Found::Unknown => return Err(ModuleError::Unknown { wanted: wanted.to_owned(), folder: self.hands.folder.clone() }),
        };
        let mut count = 0;
        let mut failure = None;
        // An alias may stand for several modules; each gets its chance.
        for module in names {
            match self.load_one(&module, parameters) {
                Ok(loaded) => count += loaded,
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(Outcome::Loaded(count)), Err)
    }

    /// Loads one module by its own name; returns how many are new.
    pub fn load_one(&mut self, module: &str, parameters: &str) -> Result<usize, ModuleError> {
        let mut steps = self.tables.plan(module);
        for step in steps.iter_mut().filter(|step| step.name == name(module) && !parameters.is_empty()) {
            step.parameters = format!("{} {parameters}", step.parameters).trim_start().to_owned();
        }
        self.hands.load(steps)
    }

    /// What does the loading: a copy can work beside this, by plans of these tables.
    pub fn hands(&mut self) -> &mut Hands {
        &mut self.hands
    }
}

/// Loads what a plan says; remembers what was tried.
#[derive(Debug, Clone)]
pub struct Hands {
    folder: PathBuf,
    /// Modules by name: whether they are loaded.
    tried: BTreeMap<String, bool>,
}

impl Hands {
    /// Does the steps that were not tried before; returns how many modules are new.
    pub fn load(&mut self, steps: Vec<Step>) -> Result<usize, ModuleError> {
        let mut count = 0;
        for step in steps {
            if self.tried.contains_key(&step.name) {
                continue;
            }
            match self.insert(&step) {
                Ok(new) => count += usize::from(new),
                Err(_) if step.soft => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Takes over what others have tried.
    pub fn learn(&mut self, others: Self) {
        self.tried.extend(others.tried);
    }

    fn insert(&mut self, step: &Step) -> Result<bool, ModuleError> {
        if step.blocked {
            return Err(ModuleError::Blocked(step.name.clone()));
        }
        // The kernel would read the whole file only to say that it has it.
        let known = is_loaded(&step.name);
        let path = self.folder.join(&step.path);
        let result = if known { Ok(Loaded::Before) } else { module::load_with(&path, &step.parameters) };
        self.tried.insert(step.name.clone(), matches!(result, Ok(Loaded::Now | Loaded::Before)));
        match result {
            Ok(Loaded::NotNeeded) => Err(ModuleError::Load { path, source: io::Error::from_raw_os_error(NO_DEVICE) }),
            Ok(loaded) => Ok(loaded == Loaded::Now),
            Err(source) => Err(ModuleError::Load { path, source }),
        }
    }
}

/// ENODEV.
const NO_DEVICE: i32 = 19;

impl ModuleError {
    /// Whether the module only found nothing to drive on this machine.
    pub fn is_not_needed(&self) -> bool {
        matches!(self, Self::Load { source, .. } if source.raw_os_error() == Some(NO_DEVICE))
    }
}

/// Whether a module is loaded, and past its own start.
fn is_loaded(module: &str) -> bool {
    let state = Path::new("/sys/module").join(name(module)).join("initstate");
    std::fs::read_to_string(state).is_ok_and(|state| state.trim_end() == "live")
}
