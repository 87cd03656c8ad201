//! What the repositories offer, ready to be asked: by name, and by what packages provide.

use super::dependency::{self, Term};
use super::packages::{MultiArch, Package};
use super::request::{Request, origins};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The packages of one repository: all of its indexes together.
#[derive(Debug, Clone)]
pub struct RepositoryPackages<'a> {
    /// The repository's name in the profile.
    pub repository: &'a str,
    /// Its packages, in any order, of any architecture, in any number of versions.
    pub packages: Vec<Package<'a>>,
}

/// A package and where it is from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer<'a, 'p> {
    pub(super) repository: &'p str,
    pub(super) package: &'p Package<'a>,
}

/// All that can be had of one name: one package, or one per origin where these differ.
pub(super) type OffersOfName<'a, 'p> = Vec<Offer<'a, 'p>>;

/// The candidates of all names.
pub(super) struct Offers<'a, 'p> {
    architecture: &'p str,
    by_name: HashMap<&'p str, OffersOfName<'a, 'p>>,
    /// Virtual name -> the names of the packages that provide it.
    providers: HashMap<&'p str, BTreeSet<&'p str>>,
}

/// Packages that keep their locked version: name -> repository and record.
pub type Held<'a> = BTreeMap<String, (String, Package<'a>)>;

impl<'a, 'p> Offers<'a, 'p> {
    /// The highest version of each name per origin. A held package is the only one of its name.
    pub(super) fn new(repositories: &'p [RepositoryPackages<'a>], request: &'p Request, held: &'p Held<'a>) -> Self {
        let origin_numbers = origins(&request.repositories);
        let place = |name: &str| request.repositories.iter().position(|repository| repository.name == name);
        // A repository that the profile does not have (a test's) is an origin of its own.
        let origin_of = |name: &str, at: usize| {
            place(name).and_then(|place| origin_numbers.get(place).copied()).unwrap_or(request.repositories.len() + at)
        };
        let mut by_name: HashMap<&'p str, Vec<(usize, Offer<'a, 'p>)>> = HashMap::new();
        for (at, repository) in repositories.iter().enumerate() {
            let origin = origin_of(repository.repository, at);
            for package in &repository.packages {
                if package.architecture != "all" && package.architecture != request.architecture {
                    continue;
                }
                let offer = Offer { repository: repository.repository, package };
                let offers = by_name.entry(package.name).or_default();
                let mut rivals = offers.iter().filter(|(other, _)| *other == origin).map(|(_, rival)| rival.package);
                // Of one version and the same bytes one will do; of one version with other bytes both stay, to be refused.
                let is_beaten = |rival: &Package<'_>| match rival.version.cmp(&package.version) {
                    Ordering::Greater => true,
                    Ordering::Equal => rival.file.sha256 == package.file.sha256,
                    Ordering::Less => false,
                };
                if !rivals.any(is_beaten) {
                    offers.retain(|(other, rival)| *other != origin || rival.package.version == package.version);
                    offers.push((origin, offer));
                }
            }
        }
        for (name, offers) in &mut by_name {
            let chosen = request.choices.repositories.get(*name);
            if let Some(origin) = chosen.and_then(|repository| {
                let at = repositories.iter().position(|candidate| candidate.repository == *repository)?;
                Some(origin_of(repository, at))
            }) {
                offers.retain(|(of, _)| *of == origin);
            }
            // The same bytes from two origins are no ambiguity.
            let mut seen = BTreeSet::new();
            offers.retain(|(_, offer)| seen.insert(offer.package.file.sha256));
        }
        let mut by_name: HashMap<&'p str, OffersOfName<'a, 'p>> =
            by_name.into_iter().map(|(name, offers)| (name, offers.into_iter().map(|(_, offer)| offer).collect())).collect();
        for (name, (repository, package)) in held {
            by_name.insert(name, vec![Offer { repository, package }]);
        }
        let mut providers: HashMap<&'p str, BTreeSet<&'p str>> = HashMap::new();
        for offer in by_name.values().flatten() {
            for term in provides(offer.package) {
                providers.entry(term.name).or_default().insert(offer.package.name);
            }
        }
        Self { architecture: &request.architecture, by_name, providers }
    }

    /// All that can be had of a name; empty if nothing.
    pub(super) fn of_name(&self, name: &str) -> &[Offer<'a, 'p>] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every name, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'p str> + '_ {
        self.by_name.keys().copied()
    }

    /// The names of the packages that provide a virtual name, whatever the version, sorted.
    pub(super) fn providers_of(&self, name: &str) -> impl Iterator<Item = &'p str> + '_ {
        self.providers.get(name).into_iter().flatten().copied()
    }

    /// The names of the packages that meet a term: the package of that name first, then providers, sorted.
    pub(super) fn candidates(&self, term: &Term<'_>) -> Vec<&'p str> {
        let real = self.of_name(term.name).iter().find(|offer| self.meets_by_name(offer.package, term));
        let mut names: Vec<_> = real.map(|offer| offer.package.name).into_iter().collect();
        for name in self.providers_of(term.name) {
            if name != term.name && self.of_name(name).iter().any(|offer| self.meets_by_provides(offer.package, term)) {
                names.push(name);
            }
        }
        names
    }

    /// True if the package is what the term names, in a version that it wants.
    pub(super) fn meets_by_name(&self, package: &Package<'_>, term: &Term<'_>) -> bool {
        package.name == term.name
            && self.qualifier_fits(package, term)
            && term.version.as_ref().is_none_or(|(operator, wanted)| operator.holds(&package.version, wanted))
    }

    /// True if the package provides what the term names; a term with a version wants a provided version (Debian Policy 7.5).
    pub(super) fn meets_by_provides(&self, package: &Package<'_>, term: &Term<'_>) -> bool {
        self.qualifier_fits(package, term)
            && provides(package).iter().filter(|provided| provided.name == term.name).any(|provided| {
                match (&term.version, &provided.version) {
                    (None, _) => true,
                    (Some(_), None) => false,
                    (Some((operator, wanted)), Some((_, has))) => operator.holds(has, wanted),
                }
            })
    }

    /// `name:any` wants a package that allows it; `name:amd64` one of this machine.
    fn qualifier_fits(&self, package: &Package<'_>, term: &Term<'_>) -> bool {
        match term.qualifier {
            None | Some("native") => true,
            Some("any") => package.multi_arch == MultiArch::Allowed,
            Some(architecture) => architecture == self.architecture,
        }
    }
}

/// What a package provides. A field that cannot be read provides nothing here; it is an error once the package is taken.
pub(super) fn provides<'a>(package: &Package<'a>) -> Vec<Term<'a>> {
    if package.relations.provides.is_empty() {
        return Vec::new();
    }
    let groups = dependency::parse(package.relations.provides).unwrap_or_default();
    groups.into_iter().flat_map(|group| group.terms).collect()
}
