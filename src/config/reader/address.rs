//! Addresses of all kinds, as people write them: repositories, URLs, listeners.
//!
//! Pure: text in, checked value or error sentence out. Some URLs are passwords: no sentence here quotes one.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use reqwest::Url;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

const UNIX_PREFIX: &str = "unix:";

/// `host/owner/name` in lower case. Nested groups are fine, if the host has them.
pub(crate) fn repository(text: &str) -> Result<String, String> {
    let lower = text.to_lowercase();
    let bare = lower.split_once("://").map_or(lower.as_str(), |(_, rest)| rest);
    let bare = bare.trim_end_matches('/');
    let bare = bare.strip_suffix(".git").unwrap_or(bare);
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-~/:".contains(c);
    let parts: Vec<&str> = bare.split('/').collect();
    let parts_fit = if parts[0] == "github.com" { parts.len() == 3 } else { parts.len() >= 3 };
    let formed = parts_fit
        && parts.iter().all(|part| !part.is_empty())
        && parts[0].contains(|c| ".:".contains(c))
        && bare.chars().all(allowed);
    let shown = text.escape_debug();
    if !formed {
        Err(format!("'{shown}' is not a repository, write host/owner/name, such as \"github.com/owner/name\""))
    } else if bare != lower {
        Err(format!("'{shown}' has more than host/owner/name, write \"{bare}\""))
    } else {
        Ok(lower)
    }
}

/// Where Git finds a repository: a URL without a password.
pub(crate) fn remote(text: &str) -> Result<String, String> {
    const SCHEMES: [&str; 5] = ["https", "ssh", "http", "git", "file"];
    let form = "write one such as \"https://github.com/owner/name.git\" or \"ssh://git@host/owner/name.git\"";
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("'remote' contains white space, {form}"));
    }
    let url = Url::parse(text).map_err(|_| format!("'remote' is not a URL, {form}"))?;
    if !SCHEMES.contains(&url.scheme()) {
        return Err(format!("'remote' must begin with one of {}, {form}", SCHEMES.join(", ")));
    }
    if url.password().is_some() {
        return Err("'remote' contains a password, write it as 'remote_token' instead".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() || url.path().len() < 2 {
        return Err(format!("'remote' does not name a repository, {form}"));
    }
    Ok(text.to_owned())
}

/// Whether a token may be sent to this remote: over HTTP, if it can't be read in transit.
pub(crate) fn takes_token(remote: &str) -> bool {
    Url::parse(remote).is_ok_and(|url| is_private_way(&url))
}

/// A listen address, with `unix:` paths relative to `base_dir`.
pub(crate) fn listen(text: &str, base_dir: &Path) -> Result<Listen, String> {
    let shown = text.escape_debug();
    if let Some(path) = text.strip_prefix(UNIX_PREFIX) {
        return if path.is_empty() {
            Err("'unix:' needs a path, write \"unix:/run/coalesced/http.sock\"".to_owned())
        } else {
            Ok(Listen::Unix(base_dir.join(path)))
        };
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Listen::Tcp(address));
    }
    let instead = text.rsplit_once(':').and_then(|(host, port)| {
        let port: u16 = port.parse().ok()?;
        let host = match host {
            "localhost" => "127.0.0.1",
            "" | "*" => "0.0.0.0",
            _ => return None,
        };
        Some(format!("{host}:{port}"))
    });
    let instead = instead.unwrap_or_else(|| "127.0.0.1:8484".to_owned());
    Err(format!("'{shown}' is not an IP address and a port, write \"{instead}\", or \"unix:/path\""))
}

/// The URL at which others reach the daemon, without a trailing slash.
pub(crate) fn public_url(text: &str) -> Result<String, String> {
    let form = "write one such as \"https://builds.example.org\"";
    let url = Url::parse(text).map_err(|_| format!("'public_url' is not a URL, {form}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("'public_url' is neither https nor http, {form}"));
    }
    plain_base(&url, text, "public_url", form)
}

/// A URL to which paths can be appended.
pub(crate) fn plain_base(url: &Url, text: &str, key: &str, form: &str) -> Result<String, String> {
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("'{key}' must not contain '?' or '#', {form}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("'{key}' must not contain a user name or a password, {form}"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Whether what is sent can't be read in transit.
pub(crate) fn is_private_way(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_this_machine(url))
}

/// Whether this is an address of this machine.
pub(crate) fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
