//! The daemon's HTTP API, as the commands use it.
//!
//! Each answer is kept as the received text, for `--json`, and as the parsed value. Nothing here writes to the
//! terminal, and nothing here repeats a call: the commands decide that.

use std::error::Error as _;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::exit;
use super::locate::Target;
use crate::config::Secret;
use crate::model::{BuildId, ImageName};
use crate::status::{BuildView, LaneView, Receipt, Reloaded};

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a whole call may take: more than the 30 s that the daemon gives a request.
const CALL_LIMIT: Duration = Duration::from_secs(40);
/// The most bytes in an answer: a page of a thousand receipts is about one megabyte.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The random bytes of an idempotency key.
const KEY_BYTES: usize = 16;

/// A client of one daemon.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<Secret>,
}

/// An answer as received, and its parsed value.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) text: String,
    pub(super) value: T,
}

/// The body of a build request.
#[derive(Debug, Default, Serialize)]
pub(super) struct BuildRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) branch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tag: Option<String>,
    pub(super) start_now: bool,
    pub(super) ensure: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

/// The body of a verb.
#[derive(Debug, Default, Serialize)]
pub(super) struct VerbRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// How long a pause lasts, as humantime writes it.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub(super) lasting: Option<String>,
}

/// The answer to a verb: the lane that it applied to, or all of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrAll {
    One(Box<LaneView>),
    All(Vec<LaneView>),
}

/// Filters of a list, as the API names them.
pub(super) type Query = Vec<(&'static str, String)>;

impl Client {
    pub(super) fn new(target: Target) -> Result<Self, ClientError> {
        // An error means that this process has installed one already, which is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("coalesced/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_LIMIT)
            .timeout(CALL_LIMIT)
            // A redirect would carry the token to an address that it is not meant for.
            .redirect(reqwest::redirect::Policy::none());
        if target.url.starts_with("http:") {
            // Without TLS no roots are needed, and a machine without any must not fail because of that.
            builder = builder.tls_certs_only([]);
        }
        if is_this_machine(&target.url) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| ClientError::SetUp { detail: innermost(&error) })?;
        Ok(Self { http, url: target.url, token: target.token })
    }

    pub(super) async fn lanes(&self) -> Result<Answer<Vec<LaneView>>, ClientError> {
        self.get("/v1/images", &[]).await
    }

    pub(super) async fn lane(&self, image: &ImageName) -> Result<Answer<LaneView>, ClientError> {
        self.get(&format!("/v1/images/{image}"), &[]).await
    }

    pub(super) async fn events(&self, query: &Query) -> Result<Answer<Vec<Receipt>>, ClientError> {
        self.get("/v1/events", query).await
    }

    pub(super) async fn event(&self, id: &str) -> Result<Answer<Receipt>, ClientError> {
        self.get(&format!("/v1/events/{id}"), &[]).await
    }

    pub(super) async fn builds(&self, query: &Query) -> Result<Answer<Vec<BuildView>>, ClientError> {
        self.get("/v1/builds", query).await
    }

    pub(super) async fn build(&self, id: BuildId) -> Result<Answer<BuildView>, ClientError> {
        self.get(&format!("/v1/builds/{id}"), &[]).await
    }

    /// Requests a build. The random key makes it one event even if a proxy repeats the call.
    pub(super) async fn ask_for_build(
        &self,
        image: &ImageName,
        body: &BuildRequest,
    ) -> Result<Answer<Receipt>, ClientError> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(|error| ClientError::SetUp { detail: error.to_string() })?;
        let request = self.request(Method::POST, &format!("/v1/images/{image}/builds"), &[])?;
        self.call(request.header("idempotency-key", hex::encode(key)).json(body)).await
    }

    /// Makes the daemon read its configuration again.
    pub(super) async fn reload(&self) -> Result<Answer<Reloaded>, ClientError> {
        self.call(self.request(Method::POST, "/v1/reload", &[])?).await
    }

    /// Applies a verb to one image, or to all.
    pub(super) async fn act(
        &self,
        verb: &str,
        image: Option<&ImageName>,
        body: &VerbRequest,
    ) -> Result<Answer<Vec<LaneView>>, ClientError> {
        let path = image.map_or_else(|| format!("/v1/{verb}"), |image| format!("/v1/images/{image}/{verb}"));
        let Answer { text, value } = self.call(self.request(Method::POST, &path, &[])?.json(body)).await?;
        let value = match value {
            OneOrAll::One(lane) => vec![*lane],
            OneOrAll::All(lanes) => lanes,
        };
        Ok(Answer { text, value })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<Answer<T>, ClientError> {
        self.call(self.request(Method::GET, path, query)?).await
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, String)]) -> Result<RequestBuilder, ClientError> {
        let strange = |error| ClientError::SetUp { detail: format!("{} is not a usable URL: {error}", self.url) };
        let mut url: Url = format!("{}{path}", self.url).parse().map_err(strange)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url).header("accept", "application/json");
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        })
    }

    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Answer<T>, ClientError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let text = self.text_of(response).await?;
        if !status.is_success() {
            return Err(self.refusal(status, &text));
        }
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Answer { text, value }),
            Err(error) => Err(ClientError::Strange { url: self.url.clone(), detail: error.to_string() }),
        }
    }

    async fn text_of(&self, mut response: Response) -> Result<String, ClientError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                let detail = format!("its answer is longer than {ANSWER_BYTES_MAX} bytes");
                return Err(ClientError::Strange { url: self.url.clone(), detail });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let detail = if error.is_timeout() { "it took too long".to_owned() } else { innermost(error) };
        ClientError::Unreachable { url: self.url.clone(), detail }
    }

    /// The text of an unsuccessful answer; `application/problem+json` has it in words.
    fn refusal(&self, status: StatusCode, text: &str) -> ClientError {
        let problem: Problem = serde_json::from_str(text).unwrap_or_default();
        if !problem.mistakes.is_empty() {
            let lines: Vec<_> = problem.mistakes.iter().map(|mistake| super::render::text::plain(mistake)).collect();
            return ClientError::Misconfigured { mistakes: lines.join("\n") };
        }
        let detail = problem.detail.or(problem.title).unwrap_or_else(|| format!("HTTP {status}"));
        let detail = super::render::text::plain(&detail);
        let url = self.url.clone();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.token.is_none() => {
                ClientError::NotAllowed { detail: format!("{detail} (no token was sent; pass one with --token)") }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ClientError::NotAllowed { detail },
            StatusCode::NOT_FOUND => ClientError::NotFound { detail },
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                ClientError::Unavailable { url, detail }
            }
            status if status.is_redirection() => ClientError::Strange { url, detail },
            _ => ClientError::Refused { detail },
        }
    }
}

/// An RFC 9457 answer, as far as it is shown.
#[derive(Default, Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    #[serde(default)]
    mistakes: Vec<String>,
}

/// Whether the address is on this machine, which must not be reached through a proxy.
fn is_this_machine(url: &str) -> bool {
    let host = url.parse::<Url>().ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

/// The root cause of an error, without the layers that only say "error sending request".
fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(below) = cause {
        text = below.to_string();
        cause = below.source();
    }
    text
}

/// Why a call to the daemon failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no daemon answers at {url} ({detail}); start it with 'coalesced serve', or pass another --url")]
    Unreachable { url: String, detail: String },
    #[error("the daemon at {url} can't answer now: {detail}")]
    Unavailable { url: String, detail: String },
    #[error("{url} does not answer like coalesced: {detail}")]
    Strange { url: String, detail: String },
    #[error("not allowed: {detail}")]
    NotAllowed { detail: String },
    #[error("{detail}")]
    NotFound { detail: String },
    #[error("{detail}")]
    Refused { detail: String },
    /// The daemon's configuration: one line for each mistake, as `file:line:column: what`.
    #[error("{mistakes}")]
    Misconfigured { mistakes: String },
    #[error("failed to prepare the request: {detail}")]
    SetUp { detail: String },
}

impl ClientError {
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::Unavailable { .. } | Self::Strange { .. } => exit::UNREACHABLE,
            Self::NotAllowed { .. } => exit::NOT_ALLOWED,
            Self::NotFound { .. } | Self::Refused { .. } => exit::FAILED,
            Self::Misconfigured { .. } => exit::CONFIG,
            Self::SetUp { .. } => exit::IO,
        }
    }

    /// Whether the same call may succeed a little later: the daemon may be restarting.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable { .. })
    }
}

#[cfg(test)]
pub(super) mod tests;
