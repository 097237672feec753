//! One request to a source, as every kind of source sees it.

use axum::http::HeaderMap;

use crate::model::Timestamp;

/// A request to `/hooks/{name}`, read completely and not yet trusted.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// When it arrived: some senders sign a time, which must be recent.
    pub now: Timestamp,
    pub headers: &'a HeaderMap,
    pub path: &'a str,
    /// As sent, without the question mark.
    pub query: &'a str,
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// A header's text, if present and not empty.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
    }

    /// The media type of the body; see [`media_type`].
    pub(crate) fn media_type(&self) -> Option<String> {
        media_type(self.headers)
    }
}

/// The media type of a request's body, lower case and without parameters.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(axum::http::header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    Some(essence.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_loses_its_parameters() {
        let mut headers = HeaderMap::new();
        assert_eq!(media_type(&headers), None);
        headers.insert("content-type", "Application/JSON; charset=UTF-8".parse().expect("a header"));
        assert_eq!(media_type(&headers).as_deref(), Some("application/json"));
    }
}
