//! root image, boot image -> disk images and the other artefacts.

pub mod esp;
