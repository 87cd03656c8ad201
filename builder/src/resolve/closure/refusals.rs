//! What a refusal says: the chain from the profile, what else there is, which names are similar.

use super::{Need, Walk, offered, relation};
use crate::resolve::dependency::Group;
use crate::resolve::error::{Ambiguity, Chain, Offered, ResolveError};
use crate::resolve::offers::{Offer, RepositoryPackages};
use std::collections::BTreeSet;

impl<'a: 'p, 'p> Walk<'a, 'p> {
    /// True if no repository has a package of this name.
    pub(super) fn is_unknown(&self, name: &str) -> bool {
        self.offers.of_name(name).is_empty() && self.offered(name).is_empty()
    }

    /// The profile's `key` names a package that nobody has.
    pub(super) fn unknown(&self, name: &str, key: &'static str) -> ResolveError {
        ResolveError::Unknown {
            name: name.to_owned(),
            key,
            nearest: self.nearest(name),
            providers: self.offers.providers_of(name).map(str::to_owned).collect(),
        }
    }

    /// Everything of this name in any repository.
    pub(super) fn offered(&self, name: &str) -> Vec<Offered> {
        let of = |repository: &'p RepositoryPackages<'a>| {
            let packages = repository.packages.iter().filter(|package| package.name == name);
            packages.map(|package| offered(Offer { repository: repository.repository, package }))
        };
        let found: BTreeSet<_> = self.repositories.iter().flat_map(of).collect();
        found.into_iter().collect()
    }

    /// The most similar names there are, at most three.
    pub(super) fn nearest(&self, name: &str) -> Vec<String> {
        let mut near: Vec<(usize, &str)> = self
            .offers
            .names()
            .filter(|other| other.len().abs_diff(name.len()) <= 3)
            .map(|other| (strsim::damerau_levenshtein(name, other), other))
            .filter(|(distance, _)| *distance <= 1 + name.len() / 5)
            .collect();
        near.sort_unstable();
        near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
    }

    /// The packages from the profile to this member.
    pub(super) fn chain(&self, name: &str) -> Chain {
        let mut chain = vec![name.to_owned()];
        let mut at = name;
        while let Some(because) = self.members.get(at).and_then(|member| member.because.as_ref()) {
            chain.push(because.package.clone());
            at = &because.package;
        }
        chain.reverse();
        Chain(chain)
    }

    pub(super) fn unmet(&self, owner: &str, field: &'static str, group: &Group<'_>) -> ResolveError {
        for name in group.terms.iter().map(|term| term.name).filter(|name| self.offers.of_name(name).is_empty()) {
            if let (Some(repository), offers @ [_, ..]) =
                (self.request.choices.repositories.get(name), self.offered(name).as_slice())
            {
                return ResolveError::NotOffered {
                    name: name.to_owned(),
                    repository: repository.clone(),
                    offers: offers.to_vec(),
                };
            }
        }
        let found: Vec<_> =
            group.terms.iter().flat_map(|term| self.offers.of_name(term.name)).map(|offer| offered(*offer)).collect();
        let nearest =
            if found.is_empty() { group.terms.iter().flat_map(|term| self.nearest(term.name)).collect() } else { Vec::new() };
        let providers = group.terms.iter().flat_map(|term| self.offers.providers_of(term.name));
        ResolveError::Unmet {
            package: owner.to_owned(),
            relation: relation(field, group.text),
            chain: self.chain(owner),
            found,
            nearest,
            names: group.terms.iter().map(|term| term.name).chain(providers).map(str::to_owned).collect(),
        }
    }

    pub(super) fn ambiguous(&self, open: &[Need<'_>]) -> ResolveError {
        let alternatives = self.request.choices.alternatives.iter();
        let unknown_choices: Vec<_> = alternatives.filter(|name| self.offers.of_name(name).is_empty()).cloned().collect();
        let of = |need: &Need<'_>| Ambiguity {
            chain: self.chain(need.owner),
            relation: relation(need.field, need.group.text),
            virtual_name: match need.group.terms.as_slice() {
                [term] => Some(term.name.to_owned()),
                _ => None,
            },
            candidates: need.candidates.iter().map(|name| (*name).to_owned()).collect(),
            unknown_choices: unknown_choices.clone(),
        };
        let mut all: Vec<_> = open.iter().map(of).collect();
        all.sort_by(|a, b| (&a.relation, &a.chain.0).cmp(&(&b.relation, &b.chain.0)));
        all.dedup_by(|a, b| a.relation == b.relation);
        ResolveError::Ambiguous(all)
    }
}
