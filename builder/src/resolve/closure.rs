//! The closure of a request over Depends and Pre-Depends, each name in its highest version. No solver: where the relations leave a
//! choice, the profile makes it, or there is no closure.
//!
//! How a relation is met, the first that applies:
//! 1. by a name that the profile declares absent: such a package counts as there, with all it provides, and brings nothing along;
//! 2. by the candidate that the profile chose (`[choose.provider]`; `[choose] alternatives` where it is one of several);
//! 3. by its only candidate;
//! 4. once all of that has settled: by a candidate that is in the closure anyway;
//! 5. by the package of exactly that name, if the relation is no alternative and others merely provide the name.
//!
//! None of it depends on the order in which packages are looked at. What is left is ambiguous, and refused.
//!
//! Not done, on purpose: Recommends and Suggests; adding Essential packages (a role image has no use for dpkg or bash; whoever needs one
//! names it); trying lower versions.

mod refusals;
mod verdict;

use super::dependency::{self, Group, Term};
use super::error::{Chain, Offered, ResolveError};
use super::offers::{Held, Offer, Offers, RepositoryPackages, provides};
use super::request::Request;
use crate::lock::{Because, LockedPackage, Source};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The packages that a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure {
    /// The root's, by name.
    pub packages: BTreeMap<String, Selected>,
    /// The boot inputs, by name.
    pub boot: BTreeMap<String, Selected>,
    /// The linux-image package with the kernel, if there is one.
    pub kernel: Option<String>,
    /// Names declared absent that nothing asked for.
    pub unused_absent: Vec<String>,
}

/// A package and why it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// The package; its scripts are not known yet.
    pub package: LockedPackage,
    /// The relation that brought it in; `None`: the profile names it.
    pub because: Option<Because>,
}

/// What the kernel's packages begin with.
const KERNEL_PREFIX: &str = "linux-image-";

/// The closure of a request over what the repositories offer (in the order of the profile).
///
/// Packages in `held` keep that version as long as every relation holds; those that must move, do.
pub fn closure(repositories: &[RepositoryPackages<'_>], request: &Request, held: &Held<'_>) -> Result<Closure, ResolveError> {
    let mut held = held.clone();
    loop {
        let error = match attempt(repositories, request, &held) {
            Ok(closure) => return Ok(closure),
            Err(error) => error,
        };
        let before = held.len();
        for name in error.movable() {
            held.remove(name);
        }
        if held.len() == before {
            return Err(error);
        }
    }
}

fn attempt(repositories: &[RepositoryPackages<'_>], request: &Request, held: &Held<'_>) -> Result<Closure, ResolveError> {
    let offers = Offers::new(repositories, request, held);
    let mut walk = Walk::new(repositories, request, &offers);
    walk.run()?;
    walk.check_choices()?;
    walk.check_exclusions()?;
    let kernel = walk.kernel()?;
    let boot = request.boot.iter().map(|name| {
        let offer = walk.wanted(name, "`packages` below `[boot]`")?;
        Ok((name.clone(), Selected { package: locked(offer), because: None }))
    });
    Ok(Closure {
        boot: boot.collect::<Result<_, _>>()?,
        kernel,
        unused_absent: request.absent.keys().filter(|name| !walk.used_absent.contains(name.as_str())).cloned().collect(),
        packages: walk
            .members
            .iter()
            .map(|(name, member)| {
                let because = member.because.clone();
                ((*name).to_owned(), Selected { package: locked(member.offer), because })
            })
            .collect(),
    })
}

/// A package of the growing closure.
struct Member<'a, 'p> {
    offer: Offer<'a, 'p>,
    because: Option<Because>,
}

/// A relation that may yet be met by what comes in.
struct Need<'a> {
    owner: &'a str,
    field: &'static str,
    group: Group<'a>,
    candidates: Vec<&'a str>,
}

struct Walk<'a, 'p> {
    repositories: &'p [RepositoryPackages<'a>],
    request: &'p Request,
    offers: &'p Offers<'a, 'p>,
    members: BTreeMap<&'p str, Member<'a, 'p>>,
    queue: VecDeque<&'p str>,
    pending: Vec<Need<'p>>,
    /// Everything that counts as there through `absent` -> the name declared.
    used_absent: BTreeSet<&'p str>,
    absent_provides: Vec<(&'p str, Term<'p>)>,
}

impl<'a: 'p, 'p> Walk<'a, 'p> {
    fn new(repositories: &'p [RepositoryPackages<'a>], request: &'p Request, offers: &'p Offers<'a, 'p>) -> Self {
        let provided = |name: &'p String| {
            let package = offers.of_name(name).first().map(|offer| offer.package);
            package.into_iter().flat_map(provides).map(move |term| (name.as_str(), term))
        };
        Self {
            repositories,
            request,
            offers,
            members: BTreeMap::new(),
            queue: VecDeque::new(),
            pending: Vec::new(),
            used_absent: BTreeSet::new(),
            absent_provides: request.absent.keys().flat_map(provided).collect(),
        }
    }

    fn run(&mut self) -> Result<(), ResolveError> {
        let kernel = self.request.kernel.iter().map(|name| (name, "`package` below `[kernel]`"));
        let packages = self.request.packages.iter().map(|name| (name, "`packages`"));
        for (name, key) in packages.chain(kernel) {
            if self.request.absent.contains_key(name) {
                return Err(ResolveError::WantedAndAbsent { name: name.clone() });
            }
            let offer = self.wanted(name, key)?;
            self.add(offer, None);
        }
        loop {
            while let Some(name) = self.queue.pop_front() {
                self.follow(name)?;
            }
            let pending = std::mem::take(&mut self.pending);
            let (met, open): (Vec<_>, Vec<_>) =
                pending.into_iter().partition(|need| need.candidates.iter().any(|name| self.members.contains_key(name)));
            drop(met);
            let defaults: Vec<_> = open.iter().filter_map(|need| Some((self.plain_name(need)?, need))).collect();
            if defaults.is_empty() {
                return if open.is_empty() { Ok(()) } else { Err(self.ambiguous(&open)) };
            }
            let taken: Vec<_> = defaults.iter().map(|(name, need)| (*name, need.owner, need.field, need.group.text)).collect();
            self.pending = open;
            for (name, owner, field, text) in taken {
                self.take(name, owner, field, text)?;
            }
        }
    }

    /// Reads the relations of a member.
    fn follow(&mut self, name: &'p str) -> Result<(), ResolveError> {
        let Some(member) = self.members.get(name) else { return Ok(()) };
        let offer = member.offer;
        let relations = &offer.package.relations;
        // A field that cannot be read is an error even where it decides nothing.
        for (field, text) in [("Provides", relations.provides), ("Conflicts", relations.conflicts), ("Breaks", relations.breaks)]
        {
            parse(offer, field, text)?;
        }
        for (field, text) in [("Pre-Depends", relations.pre_depends), ("Depends", relations.depends)] {
            for mut group in parse(offer, field, text)? {
                group.terms.retain(|term| term.applies(&self.request.architecture));
                if !group.terms.is_empty() {
                    self.meet(name, field, group)?;
                }
            }
        }
        Ok(())
    }

    fn meet(&mut self, owner: &'p str, field: &'static str, group: Group<'p>) -> Result<(), ResolveError> {
        if let Some(absent) = self.absent(&group) {
            self.used_absent.insert(absent);
            return Ok(());
        }
        if self.is_kernel_elsewhere(owner, &group) {
            return Ok(());
        }
        let mut candidates: Vec<&'p str> = Vec::new();
        for term in &group.terms {
            for name in self.offers.candidates(term) {
                if !candidates.contains(&name) {
                    candidates.push(name);
                }
            }
        }
        match (self.chosen(owner, field, &group, &candidates)?, candidates.as_slice()) {
            (Some(name), _) => self.take(name, owner, field, group.text),
            (None, []) => Err(self.unmet(owner, field, &group)),
            (None, [name]) => self.take(name, owner, field, group.text),
            (None, _) => {
                self.pending.push(Need { owner, field, group, candidates });
                Ok(())
            }
        }
    }

    /// The name declared absent that meets the group.
    fn absent(&self, group: &Group<'_>) -> Option<&'p str> {
        group.terms.iter().find_map(|term| {
            if let Some((name, _)) = self.request.absent.get_key_value(term.name) {
                return Some(name.as_str());
            }
            let meets = |provided: &Term<'_>| match (&term.version, &provided.version) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some((operator, wanted)), Some((_, has))) => operator.holds(has, wanted),
            };
            self.absent_provides.iter().find(|(_, provided)| provided.name == term.name && meets(provided)).map(|(name, _)| *name)
        })
    }

    /// True for a kernel meta-package's relation to its kernel, where the profile names another one.
    fn is_kernel_elsewhere(&self, owner: &str, group: &Group<'_>) -> bool {
        self.request.kernel.as_ref().is_some_and(|kernel| {
            owner != kernel
                && owner.starts_with(KERNEL_PREFIX)
                && group.terms.iter().any(|term| term.name.starts_with(KERNEL_PREFIX))
        })
    }

    /// The candidate that the profile chose.
    fn chosen(
        &self,
        owner: &str,
        field: &'static str,
        group: &Group<'_>,
        candidates: &[&'p str],
    ) -> Result<Option<&'p str>, ResolveError> {
        for term in &group.terms {
            let Some(provider) = self.request.choices.providers.get(term.name) else { continue };
            match candidates.iter().find(|name| *name == provider) {
                Some(name) => return Ok(Some(name)),
                // With several terms another one may be meant to do.
                None if group.terms.len() > 1 => {}
                None => {
                    return Err(ResolveError::NotAProvider {
                        name: term.name.to_owned(),
                        provider: provider.clone(),
                        package: owner.to_owned(),
                        relation: relation(field, group.text),
                        candidates: candidates.iter().map(|name| (*name).to_owned()).collect(),
                    });
                }
            }
        }
        if group.terms.len() < 2 {
            return Ok(None);
        }
        Ok(candidates.iter().find(|name| self.request.choices.alternatives.contains(**name)).copied())
    }

    /// The package that a relation names, where it names one and no alternative to it.
    fn plain_name(&self, need: &Need<'p>) -> Option<&'p str> {
        let mut terms = need.group.terms.iter().filter(|term| !self.offers.candidates(term).is_empty());
        match (terms.next(), terms.next()) {
            (Some(term), None) => need.candidates.iter().find(|name| **name == term.name).copied(),
            _ => None,
        }
    }

    fn take(&mut self, name: &'p str, owner: &'p str, field: &'static str, text: &str) -> Result<(), ResolveError> {
        if self.members.contains_key(name) {
            return Ok(());
        }
        let because = Because { package: owner.to_owned(), relation: relation(field, text) };
        let mut chain = self.chain(owner);
        chain.0.push(name.to_owned());
        let offer = self.only(name, chain)?;
        self.add(offer, Some(because));
        Ok(())
    }

    fn add(&mut self, offer: Offer<'a, 'p>, because: Option<Because>) {
        let name = offer.package.name;
        if !self.members.contains_key(name) {
            self.members.insert(name, Member { offer, because });
            self.queue.push_back(name);
        }
    }

    /// The one package of a name that the profile itself wants.
    fn wanted(&self, name: &str, key: &'static str) -> Result<Offer<'a, 'p>, ResolveError> {
        if self.is_unknown(name) { Err(self.unknown(name, key)) } else { self.only(name, Chain::default()) }
    }

    fn only(&self, name: &str, chain: Chain) -> Result<Offer<'a, 'p>, ResolveError> {
        match (self.offers.of_name(name), self.request.choices.repositories.get(name)) {
            ([offer], _) => Ok(*offer),
            ([], Some(repository)) => Err(ResolveError::NotOffered {
                name: name.to_owned(),
                repository: repository.clone(),
                offers: self.offered(name),
            }),
            (offers, _) => Err(ResolveError::Origins {
                name: name.to_owned(),
                offers: offers.iter().map(|offer| offered(*offer)).collect(),
                chain,
            }),
        }
    }
}

fn parse<'a>(offer: Offer<'a, '_>, field: &'static str, text: &'a str) -> Result<Vec<Group<'a>>, ResolveError> {
    dependency::parse(text).map_err(|source| ResolveError::Relation { package: offered(offer), field, source })
}

fn offered(offer: Offer<'_, '_>) -> Offered {
    Offered {
        name: offer.package.name.to_owned(),
        version: offer.package.version.to_string(),
        repository: offer.repository.to_owned(),
    }
}

/// A relation with its field, on one line.
fn relation(field: &str, text: &str) -> String {
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    format!("{field}: {}", words.join(" "))
}

/// The package as the lock names it.
fn locked(offer: Offer<'_, '_>) -> LockedPackage {
    let package = offer.package;
    let (source, version) = package.source;
    LockedPackage {
        repository: offer.repository.to_owned(),
        name: package.name.to_owned(),
        version: package.version.to_string(),
        architecture: package.architecture.to_owned(),
        path: package.file.path.to_owned(),
        size: package.file.size,
        sha256: package.file.sha256,
        source: Source { name: source.to_owned(), version: version.unwrap_or(package.version.as_str()).to_owned() },
        scripts: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests;
