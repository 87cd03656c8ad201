//! Services: everything that process 1 runs, as data for one pure machine.
//!
//! `unit` is what is to run, `machine` decides, `supervisor` does it. Built-in children (`built_in`) and services go the same way.

mod built_in;
pub mod cgroups;
mod image;
mod log_files;
mod logs;
pub mod machine;
pub(crate) mod probe;
mod stream;
mod supervisor;
pub mod unit;

pub(crate) use built_in::{GENERATION, Stage, built_in, is_there};
pub(crate) use image::{Additions, image_services};
pub(crate) use log_files::run as log_files;
pub use machine::{Action, Event, Machine, State};
pub use supervisor::{Heard, LOG_FILES, Supervisor};
pub use unit::{Kind, Memory, Readiness, Restart, Unit};
