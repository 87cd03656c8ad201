//! What the image's role asks for, under what the config says.

use super::Desired;
use crate::facts::role::Role;

impl Desired {
    /// The same wish with what the role asks for: its modules first; of its parameters those that the config doesn't set.
    #[must_use]
    pub fn over(mut self, role: &Role) -> Self {
        let own = std::mem::take(&mut self.modules);
        self.modules = role.modules.iter().cloned().chain(own.into_iter().filter(|name| !role.modules.contains(name))).collect();
        let own = std::mem::take(&mut self.sysctls);
        let is_set = |path: &str| own.iter().any(|(known, _)| known == path);
        let defaults: Vec<_> = role.sysctls.iter().filter(|(path, _)| !is_set(path)).cloned().collect();
        self.sysctls = defaults.into_iter().chain(own).collect();
        self
    }
}
