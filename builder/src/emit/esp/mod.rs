//! What the EFI system partition of an image holds; `contract::fat32::layout` lays the files out.

pub mod boot_files;
