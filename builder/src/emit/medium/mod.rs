//! The install medium: one file that is a CD (ISO 9660, El Torito) and a disk (GPT) at once, and starts machines as either.
//!
//! `plan` decides every byte's place (pure); [`copies`](super::copies) writes it. Nothing is stored twice: the files that ISO 9660 shows lie in
//! the partitions. `menu` is what a person can choose from, `files` what the ESP holds.

pub mod files;
pub mod menu;
pub mod plan;
