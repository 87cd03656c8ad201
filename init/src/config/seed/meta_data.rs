//! meta-data: who the platform says that this machine is.

use super::SeedError;
use super::yaml::{self, Mapping};

/// What counts of a meta-data; other keys are the platform's own business and left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetaData {
    /// `instance-id`.
    pub instance_id: Option<String>,
    /// `local-hostname`, else `hostname`.
    pub hostname: Option<String>,
    /// `provider-id`.
    pub provider_id: Option<String>,
}

/// Reads a meta-data: YAML, and so JSON, too.
pub fn read(bytes: &[u8]) -> Result<MetaData, SeedError> {
    let fail = SeedError::MetaData;
    let text = std::str::from_utf8(bytes).map_err(|error| fail(format!("byte {} is not UTF-8", error.valid_up_to())))?;
    let Some(value) = yaml::parse(text).map_err(fail)? else { return Ok(MetaData::default()) };
    let mut document = Mapping::new("", value).map_err(fail)?;
    let mut text = |key: &str| Ok(document.text(key).map_err(fail)?.filter(|text| !text.is_empty()));
    Ok(MetaData {
        instance_id: match text("instance-id")? {
            Some(id) => Some(id),
            None => text("instance_id")?,
        },
        hostname: match text("local-hostname")? {
            Some(name) => Some(name),
            None => match text("local_hostname")? {
                Some(name) => Some(name),
                None => text("hostname")?,
            },
        },
        provider_id: text("provider-id")?.filter(|id| is_provider_id(id)),
    })
}

/// Whether a text is a cloud's name for a machine, as a node carries it: `PROVIDER://ID`.
fn is_provider_id(text: &str) -> bool {
    text.len() <= 512 && text.contains("://") && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_and_the_rest_is_left() {
        let check = |text: &str, id: Option<&str>, hostname: Option<&str>| {
            let found = read(text.as_bytes()).unwrap();
            let expect = MetaData { instance_id: id.map(str::to_owned), hostname: hostname.map(str::to_owned), ..found.clone() };
            assert_eq!(found, expect, "{text}");
        };
        check("", None, None);
        check("# nothing\n", None, None);
        // Proxmox's own, and the Cluster API provider's.
        check("instance-id: 5a2e01f0b1c4\n", Some("5a2e01f0b1c4"), None);
        let capmox = "instance-id: 41ec1197-580f-460b-b41b-1dfefabe6e32\nlocal-hostname: node-1\nhostname: other\n\
                      provider-id: proxmox://41ec1197-580f-460b-b41b-1dfefabe6e32\nkubernetes-version: v1.33.1\n";
        check(capmox, Some("41ec1197-580f-460b-b41b-1dfefabe6e32"), Some("node-1"));
        let provider = read(capmox.as_bytes()).unwrap().provider_id;
        assert_eq!(provider.as_deref(), Some("proxmox://41ec1197-580f-460b-b41b-1dfefabe6e32"));
        assert_eq!(read(b"provider-id: nothing\n").unwrap().provider_id, None);
        check("{\"instance_id\": \"i-1\", \"hostname\": \"h\", \"public-keys\": [\"k\"]}", Some("i-1"), Some("h"));
        check("instance-id: 42\nlocal-hostname: ''\nhostname: h\n", Some("42"), Some("h"));
    }

    #[test]
    fn what_is_no_meta_data_is_refused() {
        let check = |bytes: &[u8], expect: &str| assert_eq!(read(bytes).unwrap_err().to_string(), format!("meta-data: {expect}"));
        check(b"- a\n", "a mapping is expected");
        check(b"instance-id: [a]\n", "`instance-id`: a text is expected");
        check(b"instance-id: \xff\n", "byte 13 is not UTF-8");
        let error = read(b"a: [").unwrap_err().to_string();
        assert!(error.starts_with("meta-data: not YAML as it is read here: "), "{error}");
        let bomb: String = (1..12).fold("a0: &a0 [x,x]\n".to_owned(), |text, at| {
            text + &format!("a{at}: &a{at} [{}]\n", vec![format!("*a{}", at - 1); 9].join(","))
        });
        assert!(read(bomb.as_bytes()).is_err());
        assert!(read("[".repeat(100_000).as_bytes()).is_err());
    }
}
