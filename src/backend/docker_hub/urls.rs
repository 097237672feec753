//! Which URLs may be called, and how those of the list and of cancel are built.
//!
//! Every URL comes from the configuration and from validated names; none ever comes from an answer.

use std::net::{Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use crate::build::BackendBuildId;
use crate::model::ImageName;

/// How many actions to request per page: it shows 15 running and 30 pending builds at once.
pub(super) const PAGE_LENGTH: usize = 50;
/// The longest build id that is accepted; Docker Hub's are UUIDs of 36 characters.
const ROW_ID_BYTES_MAX: usize = 64;

/// The URL, if it may be called: HTTPS, or plain HTTP to this machine only.
pub(super) fn checked(text: &str) -> Result<Url, &'static str> {
    // The parser's own error could repeat part of the text.
    let url = Url::parse(text.trim()).map_err(|_| "is not a URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not have a user name or a password in it");
    }
    match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => Ok(url),
        ("http", Some(host)) if is_loopback(host) => Ok(url),
        ("http", _) => Err("must begin with 'https://': plain 'http://' is allowed for this machine only"),
        _ => Err("must begin with 'https://'"),
    }
}

/// The list of the image's actions, from the `offset`-th on.
pub(super) fn actions(api: &str, image: &ImageName, offset: usize) -> Option<Url> {
    let mut url = Url::parse(&format!("{api}/api/audit/v1/action/")).ok()?;
    url.query_pairs_mut()
        .append_pair("include_related", "true")
        .append_pair("limit", &PAGE_LENGTH.to_string())
        .append_pair("object", &format!("/api/repo/v1/repository/{image}/"));
    if offset > 0 {
        url.query_pairs_mut().append_pair("offset", &offset.to_string());
    }
    Some(url)
}

/// The URL of a cancel request; None if the id could lead elsewhere.
pub(super) fn cancel(api: &str, backend_id: &BackendBuildId) -> Option<Url> {
    is_build_id(&backend_id.0)
        .then(|| Url::parse(&format!("{api}/api/audit/v1/action/{}/cancel/", backend_id.0)).ok())?
}

pub(super) fn login(api: &str) -> Option<Url> {
    Url::parse(&format!("{api}/v2/auth/token")).ok()
}

/// Whether this text can be a build's id: short, and without characters that have a meaning in a URL.
pub(super) fn is_build_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=ROW_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// The id in `/api/audit/v1/action/ID/` or in a full URL that ends like that.
pub(super) fn build_id_in_path(text: &str) -> Option<BackendBuildId> {
    let (_, rest) = text.rsplit_once("/action/")?;
    let id = rest.split('/').next()?;
    is_build_id(id).then(|| BackendBuildId(id.to_owned()))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || bare.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_to_this_machine_only() {
        for good in ["https://hub.docker.com/x", "http://127.0.0.1:80/x", "http://[::1]:80/x", "http://localhost/x"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in [
            "http://hub.docker.com/x",
            "http://127.0.0.1.example.org/x",
            "http://localhost.example.org/",
            "ftp://127.0.0.1/",
            "https://u:p@hub.docker.com/",
            "hub.docker.com",
            "",
        ] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_list_is_asked_for_one_repository() {
        let image = "mrraph/blog".parse().expect("an image");
        let first = actions("https://hub.docker.com", &image, 0).expect("an address");
        assert_eq!(
            first.as_str(),
            "https://hub.docker.com/api/audit/v1/action/?include_related=true&limit=50\
             &object=%2Fapi%2Frepo%2Fv1%2Frepository%2Fmrraph%2Fblog%2F"
        );
        let second = actions("https://hub.docker.com", &image, 50).expect("an address");
        assert!(second.as_str().ends_with("&offset=50"));
    }

    #[test]
    fn an_id_that_leads_elsewhere_is_no_id() {
        for bad in ["", "..", "a/b", "a?b", "a#b", "a%2Fb", &"a".repeat(65)] {
            assert_eq!(cancel("https://hub.docker.com", &BackendBuildId(bad.to_owned())), None, "{bad}");
        }
        let id = build_id_in_path("/api/audit/v1/action/0b1c-2d/").expect("an id");
        let url = cancel("https://hub.docker.com", &id).expect("an address");
        assert_eq!(url.as_str(), "https://hub.docker.com/api/audit/v1/action/0b1c-2d/cancel/");
        assert_eq!(build_id_in_path("/api/audit/v1/build/0b1c/"), None);
    }
}
