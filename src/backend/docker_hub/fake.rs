//! Small servers on this machine that answer like Docker Hub, and some that break off. Tests only.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::DockerHub;
use crate::config::Secret;
use crate::config::backend::docker_hub::{DockerHubAccount, DockerHubKeys, Login};
use crate::model::ImageName;

pub(super) const TRIGGER_PATH: &str = "/api/build/v1/source/test-source-1/trigger/test-token-trigger/call/";
pub(super) const PASSWORD: &str = "test-token-password";
/// None of these may ever be shown.
pub(super) const SECRETS: [&str; 4] = ["test-source-1", "test-token-trigger", PASSWORD, "test-token-jwt"];

/// How a raw server closes a connection.
#[derive(Clone, Copy)]
pub(super) enum Ending {
    Close,
    Reset,
}

/// Serves HTTP until the test's runtime ends; returns the base URL.
pub(super) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    format!("http://{address}")
}

/// Reads each request completely, answers with exactly these bytes and closes the connection; counts the calls.
pub(super) async fn raw(answer: String, ending: Ending) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.expect("the answer is taken");
            match ending {
                Ending::Close => stream.shutdown().await.expect("an end"),
                Ending::Reset => stream.set_zero_linger().expect("a reset at drop"),
            }
        }
    });
    (format!("http://{address}"), calls)
}

/// Reads to the end of a JSON body, which every trigger has.
async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).await.expect("a request");
        assert!(length > 0, "the request broke off");
        request.extend_from_slice(&piece[..length]);
    }
}

/// A back-end with a login, whose list and trigger are at `base`.
pub(super) fn hub(base: &str) -> DockerHub {
    hub_with(base, &format!("{base}{TRIGGER_PATH}"), true)
}

pub(super) fn hub_with(api: &str, trigger_url: &str, with_login: bool) -> DockerHub {
    let account = DockerHubAccount { api: api.to_owned() };
    let login = with_login.then(|| Login { username: "mrraph".to_owned(), token: Secret::new(PASSWORD.to_owned()) });
    let backend = DockerHubKeys { trigger_url: Secret::new(trigger_url.to_owned()), login };
    let image = image();
    let mut hubs = DockerHub::for_images(&account, std::iter::once((&image, &backend)), []).expect("back-ends");
    hubs.remove(&image).expect("the image's back-end")
}

pub(super) fn image() -> ImageName {
    "mrraph/blog".parse().expect("an image")
}

/// Fails if `shown` holds any secret.
pub(super) fn assert_no_secret(shown: &str) {
    for secret in SECRETS {
        assert!(!shown.to_lowercase().contains(secret), "'{secret}' is shown in: {shown}");
    }
}
