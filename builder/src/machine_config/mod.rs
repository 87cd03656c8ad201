//! Machine configs on their author's side: a document to start from, a seed that carries it, and the reference. What a config may say is
//! `kmimage_contract::machine_config`'s to know.

pub mod join;
pub mod reference;
pub mod seed;
pub mod starting;
