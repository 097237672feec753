//! What comes in: signed deliveries, taps of a phone, API calls.

use coalesced::emulator::{Mode, TakesTip};
use coalesced::model::GitRef;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{World, commit_id, master, quick};
use crate::daemon::{BUTTON, Push, SECRET, TOKEN, Wanted, commit, sign, text};

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_signed_and_well_formed_comes_in() {
    let world = World::new(quick(Mode::Classic, TakesTip::WhenStarted)).await;
    let daemon = &world.daemon;
    let push = Push::to_branch("master", 1);
    let body = push.body();
    let good = sign(SECRET, body.as_bytes());
    let json_type = "application/json";
    let cases: [(&str, &str, &str, Option<String>, u16); 13] = [
        (&body, json_type, "push", None, 401),
        (&body, json_type, "push", Some(sign("test-secret-of-nobody", body.as_bytes())), 401),
        (&body, json_type, "push", Some(good.replace("sha256=", "sha1=")), 401),
        (&body, json_type, "push", Some(good[..40].to_owned()), 401),
        ("{\"ref\": }", json_type, "push", Some(sign(SECRET, b"{\"ref\": }")), 400),
        ("{}", json_type, "push", Some(sign(SECRET, b"{}")), 422),
        (&body, "text/xml", "push", Some(good.clone()), 415),
        ("{\"zen\":\"x\"}", json_type, "ping", Some(sign(SECRET, b"{\"zen\":\"x\"}")), 200),
        ("{}", json_type, "star", Some(sign(SECRET, b"{}")), 200),
        (&body, json_type, "push", Some(good.clone()), 202),
        // The same delivery again, the same body under another id, and one signed with the other secret.
        (&body, json_type, "push", Some(good.clone()), 202),
        (&body, json_type, "push", Some(sign("test-secret-of-before-the-rotation", body.as_bytes())), 202),
        ("", json_type, "push", Some(sign(SECRET, b"")), 400),
    ];
    for (index, (body, content_type, event, signature, expected)) in cases.iter().enumerate() {
        let delivery = format!("delivery-{index}");
        let (status, answer) = daemon.hook(body, content_type, event, &delivery, signature.as_deref()).await;
        assert_eq!(status, *expected, "case {index}: {answer:#}");
        if status == 400 && !body.is_empty() {
            assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains("line 1")), "{answer:#}");
        }
        if status >= 400 {
            assert!(answer["title"].is_string() && answer["status"] == json!(status), "{answer:#}");
        }
    }
    let (_, events) = daemon.get("/v1/events").await;
    assert_eq!(events.as_array().map(Vec::len), Some(1), "{events:#}");
    let form = format!(
        "payload={}",
        form_urlencoded::byte_serialize(Push::to_branch("dev", 2).body().as_bytes()).collect::<String>()
    );
    let signature = sign(SECRET, form.as_bytes());
    let (status, _) = daemon.hook(&form, "application/x-www-form-urlencoded", "push", "form", Some(&signature)).await;
    assert_eq!(status, 202);
    let huge = format!("{{\"x\":\"{}\"}}", "a".repeat(26 * 1024 * 1024));
    let (status, _) = daemon.hook(&huge, json_type, "push", "huge", Some(&good)).await;
    assert_eq!(status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_deletions_skips_and_strangers_are_told_apart() {
    let world = World::new(quick(Mode::Classic, TakesTip::WhenStarted)).await;
    let daemon = &world.daemon;
    let tag = Push { git_ref: "refs/tags/v1".to_owned(), ..Push::to_branch("-", 1) };
    world.hub.push(&world.image, &GitRef::tag("v1").expect("a tag"), commit_id(1));
    let (_, answer) = daemon.push(&tag).await;
    assert_eq!(answer["receipts"][0]["state"], "queued", "a tag does not wait: {answer:#}");
    let skipped = Push { message: "Fix a typo [skip ci]".to_owned(), ..Push::to_branch("master", 2) };
    let (status, answer) = daemon.push(&skipped).await;
    assert_eq!((status, &answer["receipts"][0]["state"]), (200, &json!("skipped")), "{answer:#}");
    let (_, answer) = daemon.push(&Push::to_branch("dev", 3)).await;
    let waiting = answer["receipts"][0]["id"].as_str().expect("an id").to_owned();
    let gone = Push { after: "0".repeat(40), ..Push::to_branch("dev", 4) };
    let (status, answer) = daemon.push(&gone).await;
    assert_eq!((status, &answer["receipts"][0]["state"]), (200, &json!("ref_deleted")), "{answer:#}");
    assert_eq!(daemon.get(&format!("/v1/events/{waiting}")).await.1["state"], "ref_deleted");
    let elsewhere = Push::to_branch("feature/x", 5);
    let (status, answer) = daemon.push(&elsewhere).await;
    assert_eq!((status, &answer["receipts"][0]["state"]), (200, &json!("ignored")), "{answer:#}");
    let explained = daemon.run(&["explain", &commit(5)]);
    assert!(text(&explained.stdout).contains("ignored"), "{}", text(&explained.stdout));
    daemon.until_at_rest().await;
    assert_eq!(world.builds(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_of_the_phone_gets_a_line_that_a_person_can_read() {
    let world = World::new(quick(Mode::Classic, TakesTip::WhenStarted)).await;
    world.hub.push(&world.image, &master(), commit_id(1));
    let address = world.daemon.url.strip_prefix("http://").expect("an address").to_owned();
    // As the applet sends it: no User-Agent, and quotes as a phone types them.
    let body = "{\u{201c}reason\u{201d}: \u{201c}tuning the style\u{201d}}";
    let request = format!(
        "POST /buttons/phone HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {BUTTON}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(&address).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, line) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 202") && head.contains("text/plain"), "{head}");
    assert!(line.starts_with("acme/web master: ") && line.trim_end().lines().count() == 1, "{line}");
    // Tapped again at once: one cause, one build.
    let (status, line) = world.daemon.tap("").await;
    assert_eq!(status, 202, "{line}");
    let ways = [
        world.daemon.request(reqwest::Method::POST, "/buttons/phone").basic_auth("anyone", Some(BUTTON)),
        world
            .daemon
            .request(reqwest::Method::POST, "/buttons/phone")
            .header("x-token", BUTTON)
            .header("content-type", "application/x-www-form-urlencoded")
            .body("reason=x"),
        world.daemon.request(reqwest::Method::POST, &format!("/buttons/phone?token={BUTTON}")),
    ];
    for way in ways {
        assert_eq!(way.send().await.expect("an answer").status(), 202);
    }
    let refused = [
        (world.daemon.request(reqwest::Method::GET, &format!("/buttons/phone?token={BUTTON}")), 405),
        (world.daemon.request(reqwest::Method::POST, "/buttons/phone").bearer_auth("test-token-of-nobody"), 401),
        (world.daemon.request(reqwest::Method::POST, "/buttons/doorbell").bearer_auth(BUTTON), 401),
    ];
    for (request, expected) in refused {
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), expected);
    }
    world.daemon.until_at_rest().await;
    assert_eq!(world.builds(), 1);
    let (_, events) = world.daemon.get("/v1/events").await;
    let first = events.as_array().expect("a list").last().expect("one").clone();
    assert_eq!((&first["reason"], &first["kind"]), (&json!("tuning the style"), &json!("button")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_asks_for_builds_and_keeps_to_its_scopes() {
    let more = "\n[token.watcher]\nsecret = \"test-token-that-may-only-read\"\nscope = \"read\"\n".to_owned();
    let world =
        World::with(quick(Mode::Classic, TakesTip::WhenStarted), |wanted| Wanted { more, quiet: "10s", ..wanted })
            .await;
    let daemon = &world.daemon;
    world.hub.push(&world.image, &master(), commit_id(1));
    let path = "/v1/images/acme/web/builds";
    let (status, nothing) = daemon.post(path, &json!({ "branch": "master", "ensure": true })).await;
    assert_eq!((status, &nothing["state"]), (202, &json!("built")), "{nothing:#}");
    let (status, quiet) = daemon.post(path, &json!({ "branch": "master", "reason": "because" })).await;
    assert_eq!((status, &quiet["state"]), (202, &json!("waiting")), "{quiet:#}");
    let key = || {
        let request = daemon.request(reqwest::Method::POST, path).bearer_auth(TOKEN).header("idempotency-key", "one");
        request.json(&json!({ "branch": "master", "start_now": true })).send()
    };
    let (first, again) = (key().await.expect("an answer"), key().await.expect("an answer"));
    let first: Value = first.json().await.expect("JSON");
    let again: Value = again.json().await.expect("JSON");
    assert_eq!(first["id"], again["id"]);
    assert_ne!(first["state"], "waiting", "it does not wait for quiet: {first:#}");
    let watcher =
        |request: reqwest::RequestBuilder| request.bearer_auth("test-token-that-may-only-read").json(&json!({}));
    let cases = [
        (watcher(daemon.request(reqwest::Method::POST, path)), 403),
        (watcher(daemon.request(reqwest::Method::POST, "/v1/pause")), 403),
        (watcher(daemon.request(reqwest::Method::GET, "/v1/images")), 200),
        (daemon.request(reqwest::Method::GET, "/v1/images"), 401),
        (daemon.request(reqwest::Method::GET, "/v1/images/no/body").bearer_auth(TOKEN), 404),
        (daemon.request(reqwest::Method::POST, path).bearer_auth(TOKEN).body("{\"branch\": }"), 400),
        (daemon.request(reqwest::Method::POST, path).bearer_auth(TOKEN).body("{\"brunch\": \"x\"}"), 400),
        (daemon.request(reqwest::Method::POST, path).bearer_auth(TOKEN).body("x".repeat(70_000)), 413),
    ];
    for (index, (request, expected)) in cases.into_iter().enumerate() {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), expected, "case {index}");
        if expected >= 400 {
            assert_eq!(response.headers()["content-type"], "application/problem+json", "case {index}");
        }
    }
    daemon.until_at_rest().await;
    let (_, all) = daemon.get("/v1/events?limit=2").await;
    let oldest = all[1]["id"].as_str().expect("an id");
    let (_, page) = daemon.get(&format!("/v1/events?before={oldest}&image=acme/web&ref=master")).await;
    assert_eq!(page.as_array().map(Vec::len), Some(1), "{page:#}");
    let (_, builds) = daemon.get("/v1/builds?image=acme/web").await;
    assert_eq!(builds[0]["events"].as_array().map(Vec::len), Some(2), "{builds:#}");
}
