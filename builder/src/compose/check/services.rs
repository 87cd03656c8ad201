//! The image's services can be read by init, as init itself reads them, and their programs are in the image.

use super::{CheckError, Findings};
use crate::compose::derive::text_at;
use crate::compose::tree::{Kind, Tree, TreePath};
use kmimage_contract::machine_config::image_services;
use kmimage_contract::paths;
use std::collections::BTreeMap;

pub(super) fn check(tree: &Tree, found: &mut Findings<'_>) -> Result<(), CheckError> {
    let folder = TreePath::new(paths::SERVICES)?;
    let place = |name: &str| TreePath::new(format!("{}/{name}.toml", paths::SERVICES));
    let mut files = BTreeMap::new();
    for (path, entry) in tree.under(&folder) {
        let name = std::str::from_utf8(path.name()).ok().and_then(|name| name.strip_suffix(".toml"));
        // init reads this folder, and none below it.
        if let (Some(name), Kind::File(_)) = (name, &entry.kind)
            && place(name)? == *path
        {
            files.insert(name.to_owned(), text_at(tree, path)?.unwrap_or_default());
        }
    }
    match image_services(&files) {
        Err(error) => {
            let what = format!("is no service that init understands: {}:{}: {}", error.line, error.column, error.message);
            found.add_firm(&TreePath::new(error.file)?, what);
        }
        Ok(services) => {
            for service in services.into_iter().map(|service| service.service) {
                let program = service.command.first().map_or("", String::as_str);
                if tree.follow_to_file(&TreePath::root(), program.as_bytes()).is_none() {
                    found.add_firm(&place(&service.name)?, format!("runs {program}, which is not in the image"));
                }
            }
        }
    }
    Ok(())
}
