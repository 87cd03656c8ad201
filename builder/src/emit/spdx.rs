//! The bill of materials: SPDX 2.3 as JSON, of the Debian packages, the container images, and the Rust crates that init is linked from.
//!
//! It says what the image is made of, not what the licences are (their texts are in the image). The document depends on the
//! packages alone, and so does its namespace: an overlay's change leaves it as it is. A package's purl has the repository's vendor
//! as its namespace: the repository's name up to the first `-` (`debian-security` -> `debian`).

use crate::lock::LockedPackage;
use crate::percent;
use kmimage_contract::manifest::ContainerImage;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// A Rust crate that init is linked from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The licence that its manifest states, as an SPDX expression.
    pub license: String,
    /// SHA-256 of its archive, in hexadecimal, as Cargo.lock has it; none for one of this workspace.
    pub sha256: Option<String>,
}

/// What a bill is made from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// `kmimage-<profile>`.
    pub image_id: &'a str,
    /// The image's version.
    pub image_version: &'a str,
    /// Seconds since 1970.
    pub epoch: i64,
    /// The packages of root and boot image, in any order.
    pub packages: &'a [&'a LockedPackage],
    /// The container images in the root.
    pub images: &'a [ContainerImage],
    /// The crates that init is linked from, in any order.
    pub crates: &'a [Crate],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: CreationInfo,
    packages: Vec<Package>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: String,
    creators: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    version_info: String,
    supplier: String,
    download_location: &'static str,
    files_analyzed: bool,
    primary_package_purpose: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license_declared: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const INIT: &str = "SPDXRef-Init";

/// The bill's JSON text.
pub fn render(facts: &Facts<'_>) -> serde_json::Result<String> {
    let mut ids = BTreeSet::from([DOCUMENT.to_owned(), IMAGE.to_owned(), INIT.to_owned()]);
    let relation = |from: &str, kind, to: &str| Relationship {
        spdx_element_id: from.to_owned(),
        relationship_type: kind,
        related_spdx_element: to.to_owned(),
    };
    let mut packages = vec![
        package(IMAGE, facts.image_id, facts.image_version, "OPERATING-SYSTEM"),
        package(INIT, "kmimage-init", env!("CARGO_PKG_VERSION"), "APPLICATION"),
    ];
    let mut relationships = vec![relation(DOCUMENT, "DESCRIBES", IMAGE), relation(IMAGE, "CONTAINS", INIT)];

    let mut locked = facts.packages.to_vec();
    locked.sort_by_key(|package| (&package.name, &package.version, &package.architecture));
    locked.dedup();
    for deb in locked {
        let id = unique(&mut ids, &format!("SPDXRef-deb-{}", deb.name));
        let vendor = deb.repository.split('-').next().unwrap_or(&deb.repository);
        let mut package = package(&id, &deb.name, &deb.version, "INSTALL");
        package.supplier = format!("Organization: {vendor}");
        package.source_info = Some(format!("built from source package {} {}", deb.source.name, deb.source.version));
        package.checksums = sha256(&deb.sha256.to_string());
        package.external_refs = purl(format!(
            "pkg:deb/{}/{}@{}?arch={}",
            percent(&vendor.to_lowercase()),
            percent(&deb.name),
            percent(&deb.version),
            percent(&deb.architecture)
        ));
        relationships.push(relation(IMAGE, "CONTAINS", &id));
        packages.push(package);
    }
    for image in facts.images {
        let name = image.names.first().map_or("", String::as_str);
        let repository = name.split_once('@').or_else(|| name.rsplit_once(':')).map_or(name, |(repository, _)| repository);
        let last = repository.rsplit('/').next().unwrap_or_default();
        let id = unique(&mut ids, &format!("SPDXRef-image-{last}"));
        let mut package = package(&id, name, &format!("sha256:{}", image.digest), "CONTAINER");
        package.checksums = sha256(&image.digest);
        // purl's type oci: the last part of the path is the name, the whole a qualifier.
        package.external_refs =
            purl(format!("pkg:oci/{}@sha256%3A{}?repository_url={}", percent(last), image.digest, percent(repository)));
        relationships.push(relation(IMAGE, "CONTAINS", &id));
        packages.push(package);
    }
    let mut crates: Vec<&Crate> = facts.crates.iter().collect();
    crates.sort_by_key(|package| (&package.name, &package.version));
    for linked in crates {
        let id = unique(&mut ids, &format!("SPDXRef-crate-{}-{}", linked.name, linked.version));
        let mut package = package(&id, &linked.name, &linked.version, "LIBRARY");
        package.license_declared = Some(linked.license.clone());
        package.checksums = linked.sha256.as_deref().map(sha256).unwrap_or_default();
        package.external_refs = purl(format!("pkg:cargo/{}@{}", percent(&linked.name), percent(&linked.version)));
        relationships.push(relation(INIT, "STATIC_LINK", &id));
        packages.push(package);
    }

    let name = format!("{}-{}", facts.image_id, facts.image_version);
    let digest: [u8; 32] = Sha256::digest(serde_json::to_vec(&packages)?).into();
    let mut uuid = [0; 16];
    uuid.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    let uuid = uuid::Builder::from_custom_bytes(uuid).into_uuid();
    let document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        document_namespace: format!("https://spdx.org/spdxdocs/{}-{uuid}", percent(&name)),
        name,
        creation_info: CreationInfo {
            created: jiff::Timestamp::from_second(facts.epoch).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string(),
            creators: vec![format!("Tool: kmimage-{}", env!("CARGO_PKG_VERSION"))],
        },
        packages,
        relationships,
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn package(id: &str, name: &str, version: &str, purpose: &'static str) -> Package {
    Package {
        id: id.to_owned(),
        name: name.to_owned(),
        version_info: version.to_owned(),
        supplier: "NOASSERTION".to_owned(),
        download_location: "NOASSERTION",
        files_analyzed: false,
        primary_package_purpose: purpose,
        source_info: None,
        license_declared: None,
        checksums: Vec::new(),
        external_refs: Vec::new(),
    }
}

fn sha256(value: &str) -> Vec<Checksum> {
    vec![Checksum { algorithm: "SHA256", checksum_value: value.to_owned() }]
}

fn purl(locator: String) -> Vec<ExternalRef> {
    vec![ExternalRef { reference_category: "PACKAGE-MANAGER", reference_type: "purl", reference_locator: locator }]
}

/// An identifier of the characters that SPDX allows, which no other element has.
fn unique(ids: &mut BTreeSet<String>, wanted: &str) -> String {
    let clean: String = wanted.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let candidates = std::iter::once(clean.clone()).chain((2..).map(|number: u32| format!("{clean}.{number}")));
    let mut candidates = candidates.filter(|candidate| ids.insert(candidate.clone()));
    candidates.next().unwrap_or(clean)
}

/// What a purl's component can't have as it is, encoded.
fn percent(text: &str) -> String {
    percent::encode(text, b"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Sha256Digest;
    use crate::lock::Source;
    use std::collections::BTreeMap;

    fn deb(name: &str, version: &str, repository: &str) -> LockedPackage {
        LockedPackage {
            repository: repository.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            path: String::new(),
            size: 1,
            sha256: Sha256Digest::of(name.as_bytes()),
            source: Source { name: "src".to_owned(), version: version.to_owned() },
            scripts: BTreeMap::new(),
        }
    }

    fn sample() -> String {
        let packages = [deb("libstdc++6", "14.2.0-19", "debian"), deb("libc6", "1:2.41-12+deb13u1", "debian-security")];
        let crates = [Crate {
            name: "rustix".to_owned(),
            version: "1.1.6".to_owned(),
            license: "MIT".to_owned(),
            sha256: Some("ab".repeat(32)),
        }];
        let facts = Facts {
            image_id: "kmimage-base",
            image_version: "0.1.0",
            epoch: 1_781_000_000,
            packages: &packages.iter().collect::<Vec<_>>(),
            images: &[ContainerImage {
                names: vec!["registry.k8s.io/pause:3.10.1".to_owned()],
                digest: "ab".repeat(32),
                id: "cd".repeat(32),
                layers: 1,
                size: 2048,
            }],
            crates: &crates,
        };
        render(&facts).unwrap()
    }

    #[test]
    fn packages_have_a_purl_a_checksum_and_a_relation() {
        let text = sample();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let rows: Vec<String> = document["packages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|package| {
                let field = |name: &str| package[name].as_str().unwrap().to_owned();
                let purl = package["externalRefs"][0]["referenceLocator"].as_str().unwrap_or("-");
                format!("{} {} {} {purl}", field("SPDXID"), field("versionInfo"), field("supplier"))
            })
            .collect();
        assert_eq!(
            rows.join("\n").replace(&"ab".repeat(32), "ABAB"),
            "SPDXRef-Image 0.1.0 NOASSERTION -\n\
             SPDXRef-Init 0.1.0 NOASSERTION -\n\
             SPDXRef-deb-libc6 1:2.41-12+deb13u1 Organization: debian pkg:deb/debian/libc6@1%3A2.41-12%2Bdeb13u1?arch=amd64\n\
             SPDXRef-deb-libstdc--6 14.2.0-19 Organization: debian pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64\n\
             SPDXRef-image-pause sha256:ABAB NOASSERTION \
             pkg:oci/pause@sha256%3AABAB?repository_url=registry.k8s.io%2Fpause\n\
             SPDXRef-crate-rustix-1.1.6 1.1.6 NOASSERTION pkg:cargo/rustix@1.1.6"
        );
        assert_eq!(document["creationInfo"]["created"], "2026-06-09T10:13:20Z");
        assert_eq!(document["relationships"].as_array().unwrap().len(), 6);
        assert_eq!(sample(), text);
    }

    #[test]
    fn identifiers_are_unique() {
        let mut ids = BTreeSet::new();
        let mut check = |name: &str, expect: &str| assert_eq!(unique(&mut ids, name), expect);
        check("SPDXRef-deb-a+b", "SPDXRef-deb-a-b");
        check("SPDXRef-deb-a-b", "SPDXRef-deb-a-b.2");
        check("SPDXRef-deb-a_b", "SPDXRef-deb-a-b.3");
    }
}
