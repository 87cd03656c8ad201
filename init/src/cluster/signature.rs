//! The signature of cluster-info: a detached JWS (RFC 7515, appendix F) with HS256, whose key is the secret of a bootstrap token.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use hmac::{Hmac, Mac as _};
use kmimage_contract::machine_config::BootstrapToken;
use serde::Deserialize;
use sha2::Sha256;

/// Its header.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

/// Whether `jws` is the signature of `content` by this token.
pub(super) fn is_valid(jws: &str, content: &str, token: &BootstrapToken) -> bool {
    signed_by(jws, content, token.id(), token.secret().reveal())
}

fn signed_by(jws: &str, content: &str, id: &str, secret: &str) -> bool {
    // The content between the dots is left out.
    let Some((header, signature)) = jws.split_once("..") else { return false };
    let Some(said) = BASE64_URL_SAFE_NO_PAD.decode(header).ok().and_then(|json| serde_json::from_slice::<Header>(&json).ok())
    else {
        return false;
    };
    let Ok(signature) = BASE64_URL_SAFE_NO_PAD.decode(signature) else { return false };
    if said.alg != "HS256" || said.kid != id {
        return false;
    }
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
    mac.update(header.as_bytes());
    mac.update(b".");
    mac.update(BASE64_URL_SAFE_NO_PAD.encode(content).as_bytes());
    mac.verify_slice(&signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &str = "Hello from the other side. I must have called a thousand times.";
    const SECRET: &str = "my voice is my passcode";

    /// The vectors of Kubernetes itself: k8s.io/cluster-bootstrap/token/jws/jws_test.go.
    #[test]
    fn kubernetes_own_vectors_hold() {
        let check = |content: &str, secret: &str, jws: &str, expect: bool| {
            assert_eq!(signed_by(jws, content, "joshua", secret), expect, "{jws}");
        };
        let good = "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8";
        check(CONTENT, SECRET, good, true);
        check("", SECRET, "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..7Ui1ALizW4jXphVUB7xUqC9vLYLL9RZeOFfVLoB7Tgk", true);
        check(CONTENT, "", "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..UfkqvDGiIFxrMnFseDj9LYJOLNrvjW8aHhF71mvvAs8", true);
        check(CONTENT, SECRET, &format!("{good}foo"), false);
        check("other", SECRET, good, false);
        check(CONTENT, "other", good, false);
        assert!(!signed_by(good, CONTENT, "other", SECRET));
    }

    #[test]
    fn only_hs256_of_this_token_counts() {
        let signed = |header: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
            let header = BASE64_URL_SAFE_NO_PAD.encode(header);
            mac.update(format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(CONTENT)).as_bytes());
            format!("{header}..{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
        };
        let valid = |jws: &str| signed_by(jws, CONTENT, "joshua", SECRET);
        assert!(valid(&signed("{\"kid\":\"joshua\",\"alg\":\"HS256\"}")));
        assert!(!valid(&signed("{\"alg\":\"none\",\"kid\":\"joshua\"}")));
        assert!(!valid(&signed("{\"alg\":\"HS512\",\"kid\":\"joshua\"}")));
        assert!(!valid(&signed("{\"alg\":\"HS256\"}")));
        for bad in ["", "..", "a..b", "e30..", "e30..AAAA", "not-a-jws"] {
            assert!(!valid(bad), "{bad}");
        }
    }
}
