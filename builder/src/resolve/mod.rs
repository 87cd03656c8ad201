//! Stage one, the thinking half: which packages a profile means. Pure: indexes and wishes in, a closure or a refusal out.
//!
//! No solver. The closure takes Depends and Pre-Depends over the highest version of each name, and where that leaves a choice it refuses
//! and says which line of the profile would make it.

pub mod closure;
pub mod dependency;
pub mod error;
mod offers;
pub mod packages;
mod pin;
mod request;
pub mod scripts;

pub use closure::{Closure, Selected, closure};
pub use error::ResolveError;
pub use offers::{Held, RepositoryPackages};
pub use pin::{HeldError, hold, pin};
pub use request::{Request, origins};
