//! Whether a finished closure holds: nobody conflicts with another, there is one kernel, and every choice is one that can be made.

use super::{KERNEL_PREFIX, Walk, parse, relation};
use crate::resolve::error::ResolveError;
use crate::resolve::offers::provides;
use std::collections::BTreeMap;

impl<'a: 'p, 'p> Walk<'a, 'p> {
    /// Conflicts and Breaks between members.
    pub(super) fn check_exclusions(&self) -> Result<(), ResolveError> {
        let mut providing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, member) in &self.members {
            for term in provides(member.offer.package) {
                providing.entry(term.name).or_default().push(name);
            }
        }
        for (name, member) in &self.members {
            let relations = &member.offer.package.relations;
            for (field, text) in [("Conflicts", relations.conflicts), ("Breaks", relations.breaks)] {
                for group in parse(member.offer, field, text)? {
                    for term in group.terms.iter().filter(|term| term.applies(&self.request.architecture)) {
                        let others = providing.get(term.name).into_iter().flatten().copied().chain([term.name]);
                        let hit = others
                            .filter(|other| other != name)
                            .filter_map(|other| self.members.get_key_value(other))
                            .find(|(_, other)| {
                                let package = other.offer.package;
                                self.offers.meets_by_name(package, term) || self.offers.meets_by_provides(package, term)
                            });
                        if let Some((other, hit)) = hit {
                            return Err(ResolveError::Conflict {
                                package: (*name).to_owned(),
                                relation: relation(field, group.text),
                                other: (*other).to_owned(),
                                version: hit.offer.package.version.to_string(),
                                chain: self.chain(name),
                                other_chain: self.chain(other),
                            });
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The only linux-image package that is not a meta-package for another one.
    pub(super) fn kernel(&self) -> Result<Option<String>, ResolveError> {
        let mut images = Vec::new();
        for (name, member) in self.members.range(KERNEL_PREFIX..).take_while(|(name, _)| name.starts_with(KERNEL_PREFIX)) {
            let groups = parse(member.offer, "Depends", member.offer.package.relations.depends)?;
            if !groups.iter().flat_map(|group| &group.terms).any(|term| term.name.starts_with(KERNEL_PREFIX)) {
                images.push((*name).to_owned());
            }
        }
        if images.len() > 1 { Err(ResolveError::Kernels { images }) } else { Ok(images.pop()) }
    }

    /// A name in `[choose] alternatives` that nobody has is a mistake, even where no relation came to it.
    pub(super) fn check_choices(&self) -> Result<(), ResolveError> {
        let unknown = self.request.choices.alternatives.iter().find(|name| self.is_unknown(name));
        unknown.map_or(Ok(()), |name| Err(self.unknown(name, "`alternatives` below `[choose]`")))
    }
}
