//! Machine configs on their author's side: a document to start from, and the reference. What a config may say is
//! `kmimage_contract::machine_config`'s to know.

pub mod reference;
pub mod starting;
