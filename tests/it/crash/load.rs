//! Clients that push, each on its own persistent connection, and the answers they got.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::IMAGES;
use crate::daemon::{Push, SECRET, TOKEN, sign};

/// An answer that takes longer counts as a hang.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The most events of one page.
const PAGE: usize = 1_000;

/// What was pushed, across all of a daemon's lives.
#[derive(Clone)]
pub(crate) struct Load {
    /// Keeps a connection open for each concurrent client.
    client: reqwest::Client,
    newest: Arc<AtomicU32>,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    acknowledged: BTreeMap<u32, Acknowledged>,
    /// It is unknown whether these were accepted.
    unanswered: BTreeSet<u32>,
}

/// The events in a push's answer.
pub(crate) type Acknowledged = Vec<String>;

impl Default for Load {
    fn default() -> Self {
        Self::of(BTreeMap::new())
    }
}

impl Load {
    /// The answers that another instance's clients got.
    pub(crate) fn of(acknowledged: BTreeMap<u32, Acknowledged>) -> Self {
        let newest = AtomicU32::new(acknowledged.keys().next_back().copied().unwrap_or(0));
        let book = Book { acknowledged, ..Book::default() };
        Self { client: client(), newest: Arc::new(newest), book: Arc::new(Mutex::new(book)) }
    }

    /// Starts so many clients against this address; each pushes until `pushes` are made or the server stops answering.
    pub(crate) fn begin(&self, clients: usize, pushes: usize, url: &str) -> JoinSet<()> {
        let mut running = JoinSet::new();
        for _ in 0..clients {
            let (load, url) = (self.clone(), url.to_owned());
            running.spawn(async move {
                for _ in 0..pushes {
                    if load.push_next(&url).await.is_none() {
                        break;
                    }
                }
            });
        }
        running
    }

    /// Makes one push; returns the answer's status, None if there was no answer.
    pub(crate) async fn push_next(&self, url: &str) -> Option<u16> {
        let number = self.newest.fetch_add(1, Ordering::Relaxed) + 1;
        self.book().unanswered.insert(number);
        let (status, answer) = send(&self.client, url, number).await?;
        let mut book = self.book();
        if status == 202 {
            assert_ne!(answer["repeated"], json!(true), "push {number} never came before: {answer:#}");
            book.acknowledged.insert(number, receipts(&answer));
        }
        if status < 500 {
            book.unanswered.remove(&number);
        }
        Some(status)
    }

    /// How many events were acknowledged.
    pub(crate) fn events(&self) -> usize {
        self.book().acknowledged.values().map(Vec::len).sum()
    }

    pub(crate) fn acknowledged(&self) -> BTreeMap<u32, Acknowledged> {
        self.book().acknowledged.clone()
    }

    /// Every acknowledged push after `since` is answered as repeated, with the same events; one that had no
    /// answer made all of its events or none. Returns the newest number, for the next call.
    pub(crate) async fn check_repeated(&self, since: u32, url: &str) -> u32 {
        let newest = self.newest.load(Ordering::Relaxed);
        let (acknowledged, unanswered) = {
            let book = self.book();
            let acknowledged: Vec<_> = book.acknowledged.range(since + 1..).map(|(n, ids)| (*n, ids.clone())).collect();
            (acknowledged, book.unanswered.iter().copied().filter(|number| *number > since).collect::<Vec<_>>())
        };
        for (number, ids) in acknowledged {
            let (status, answer) = send(&self.client, url, number).await.expect("an answer");
            assert_eq!((status, &answer["repeated"]), (202, &json!(true)), "push {number} is forgotten: {answer:#}");
            assert_eq!(receipts(&answer), ids, "push {number}");
        }
        for number in unanswered {
            let delivery = push(number).delivery;
            let events = self.get(url, &format!("/v1/events?delivery={delivery}")).await;
            let events = events.as_array().expect("a list").len();
            assert!(events == 0 || events == IMAGES.len(), "push {number} is torn: {events} events");
            // From here on it is like any other: its answer is known, and not asked for again.
            self.book().unanswered.remove(&number);
        }
        newest
    }

    /// Every acknowledged event is listed once, and no delivery is torn. Returns how many there are.
    pub(crate) async fn check_listed(&self, url: &str) -> usize {
        let listed = self.listed(url).await.expect("the events are listed");
        let missing = self.missing_of(&listed);
        assert!(missing.is_empty(), "{} acknowledged events are lost: {missing:?}", missing.len());
        let mut events_of = BTreeMap::new();
        for delivery in listed.values() {
            *events_of.entry(delivery).or_insert(0) += 1;
        }
        let torn: Vec<_> = events_of.iter().filter(|(_, events)| **events != IMAGES.len()).collect();
        assert!(torn.is_empty(), "torn deliveries: {torn:?}");
        listed.len()
    }

    /// What a daemon answers at this path.
    pub(crate) async fn get(&self, url: &str, path: &str) -> Value {
        get(&self.client, url, path).await
    }

    /// The events that a daemon lists, with their deliveries, or its error. What is listed must be
    /// what was pushed.
    pub(crate) async fn listed(&self, url: &str) -> Result<BTreeMap<String, String>, String> {
        let mut events = BTreeMap::new();
        let mut before = String::new();
        loop {
            let page = self.get(url, &format!("/v1/events?limit={PAGE}{before}")).await;
            let Some(page) = page.as_array() else { return Err(page.to_string()) };
            for event in page {
                let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
                let (id, delivery) = (text("id"), text("delivery"));
                let number = delivery.rsplit('-').next().expect("a number").parse().expect("a number");
                let push = push(number);
                assert_eq!((text("sha"), text("ref")), (push.after, push.git_ref), "{event:#}");
                before = format!("&before={id}");
                assert!(events.insert(id, delivery).is_none(), "an event is listed twice: {event:#}");
            }
            if page.len() < PAGE {
                return Ok(events);
            }
        }
    }

    /// The acknowledged events that are not among these.
    pub(crate) fn missing_of(&self, listed: &BTreeMap<String, String>) -> Vec<String> {
        self.book().acknowledged.values().flatten().filter(|id| !listed.contains_key(*id)).cloned().collect()
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().expect("no client panicked")
    }
}

fn client() -> reqwest::Client {
    // A provider may be installed already; the first one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build().expect("a client")
}

/// None if the connection ended; a hang is a failure.
async fn send(client: &reqwest::Client, url: &str, number: u32) -> Option<(u16, Value)> {
    let push = push(number);
    let body = push.body();
    let request = client
        .post(format!("{url}/hooks/github"))
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", &push.delivery)
        .header("x-hub-signature-256", sign(SECRET, body.as_bytes()))
        .body(body);
    let response = request.send().await;
    let hung = response.as_ref().is_err_and(|error| error.is_timeout() && !error.is_connect());
    assert!(!hung, "push {number} had no answer within {ANSWER_LIMIT:?}");
    let response = response.ok()?;
    let status = response.status().as_u16();
    let text = response.text().await.ok()?;
    Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

async fn get(client: &reqwest::Client, url: &str, path: &str) -> Value {
    let response = client.get(format!("{url}{path}")).bearer_auth(TOKEN).send().await.expect("an answer");
    let text = response.text().await.expect("a text");
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// Most go to two branches; each tenth is a tag, which does not wait for quiet.
pub(crate) fn push(number: u32) -> Push {
    let branch = if number.is_multiple_of(2) { "master" } else { "dev" };
    let push = Push::to_branch(branch, number);
    if number.is_multiple_of(10) { Push { git_ref: format!("refs/tags/v{number}"), ..push } } else { push }
}

fn receipts(answer: &Value) -> Acknowledged {
    let ids: Acknowledged = answer["receipts"]
        .as_array()
        .expect("receipts")
        .iter()
        .map(|receipt| receipt["id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(ids.len(), IMAGES.len(), "{answer:#}");
    ids
}
