//! Lists as Docker Hub returns them, and as it might.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::json;

use super::*;
use crate::build::{BackendBuildState, Outcome};

const API: &str = "https://hub.docker.com";
const ASKED: Timestamp = Timestamp::from_millis(1_456_742_200_000);

fn image() -> ImageName {
    "mrraph/blog".parse().expect("an image")
}

fn answer(page: &Value) -> Answer {
    Answer {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Ok(page.to_string().into_bytes()),
        asked_at: ASKED,
        answered_at: ASKED,
        bearer: None,
    }
}

/// The observation from one page of these entries, with no further page.
fn observed(entries: &Value) -> Observation {
    let page = json!({ "meta": { "limit": 50, "next": null, "offset": 0 }, "objects": entries });
    History::begin(API, &image(), &answer(&page)).expect("a list").into_observation()
}

fn build(number: usize, created: &str) -> Value {
    json!({ "uuid": format!("u-{number}"), "action": "Repository Build", "state": "Success", "build_tag": "latest",
        "created": created })
}

#[test]
fn a_build_is_read_with_all_that_it_shows() {
    let observation = observed(&json!([{
        "uuid": "0b1c-2d", "resource_uri": "/api/audit/v1/action/0b1c-2d/", "action": "Repository Build",
        "state": "Success", "build_tag": "latest,1.2", "commit": "AE95164c0ffee0000000000000000000000000aa",
        "object": "/api/repo/v1/repository/mrraph/blog/latest/", "created": "Mon, 29 Feb 2016 10:36:25 +0000",
        "start_date": "Mon, 29 Feb 2016 10:36:30 +0000", "end_date": "2016-02-29T10:36:37Z", "new_field": [1]
    }]));
    let moment = |text: &str| Some(text.parse().expect("a moment"));
    let expected = BackendBuild {
        id: crate::build::BackendBuildId("0b1c-2d".to_owned()),
        state: BackendBuildState::Finished(Outcome::Success),
        label: Some("latest,1.2".to_owned()),
        commit: Some("ae95164c0ffee0000000000000000000000000aa".parse().expect("a commit")),
        created_at: moment("2016-02-29T10:36:25Z"),
        started_at: moment("2016-02-29T10:36:30Z"),
        finished_at: moment("2016-02-29T10:36:37Z"),
        log_url: Some("https://hub.docker.com/repository/docker/mrraph/blog/builds/0b1c-2d".to_owned()),
    };
    assert_eq!(observation, Observation { builds: vec![expected], complete_since: None, clock_ahead_ms: 0 });
}

#[test]
fn every_state_has_its_class() {
    let of = |state: Value| observed(&json!([{ "uuid": "u", "build_tag": "latest", "state": state }])).builds[0].state;
    let (success, failure, cancelled) = (
        BackendBuildState::Finished(Outcome::Success),
        BackendBuildState::Finished(Outcome::Failure),
        BackendBuildState::Finished(Outcome::Cancelled),
    );
    for (state, class) in [
        (json!("Pending"), BackendBuildState::Waiting),
        (json!("queued"), BackendBuildState::Waiting),
        (json!("In progress"), BackendBuildState::Running),
        (json!("In Progress"), BackendBuildState::Running),
        (json!("IN_PROGRESS"), BackendBuildState::Running),
        (json!("Canceling"), BackendBuildState::Stopping),
        (json!("Canceled"), cancelled),
        (json!("cancelled"), cancelled),
        (json!("Success"), success),
        (json!("FAILED"), failure),
        (json!(10), success),
        (json!(10.0), success),
        (json!("10"), success),
        (json!(-1), failure),
        (json!(-2.0), failure),
        (json!("-4"), cancelled),
        (json!(0), BackendBuildState::Waiting),
        (json!(1), BackendBuildState::Waiting),
        (json!(11), BackendBuildState::Waiting),
        (json!(3), BackendBuildState::Running),
        (json!(9), BackendBuildState::Running),
        (json!(42), BackendBuildState::Unknown),
        (json!(1e300), BackendBuildState::Unknown),
        (json!("Exploded"), BackendBuildState::Unknown),
        (json!(""), BackendBuildState::Unknown),
        (json!(null), BackendBuildState::Unknown),
        (json!({ "a": 1 }), BackendBuildState::Unknown),
    ] {
        assert_eq!(of(state.clone()), class, "{state}");
    }
}

#[test]
fn only_builds_are_read() {
    let observation = observed(&json!([
        { "uuid": "push", "action": "Repository Push", "build_tag": "latest", "state": "Success" },
        { "uuid": "create", "action": "Repository Create", "state": "Success" },
        { "uuid": "settings", "action": "Update", "path": "/api/build/v1/source/u-1/", "state": "Success" },
        { "uuid": "by-action", "action": "Docker Build" },
        { "uuid": "by-tag", "action": "?", "build_tag": "latest" },
        { "uuid": "by-path", "path": "/api/build/v1/setting/u-1/build/" },
        { "resource_uri": "/api/audit/v1/action/by-uri/", "commit": "ae95164" },
        { "id": 17, "build_code": "b9u" },
        { "uuid": "../../../v2/users/logout", "build_tag": "latest" },
        { "build_tag": "no id" },
        { "uuid": "by-tag", "build_tag": "the same again" },
        "no object", null, 7, []
    ]));
    let ids: Vec<_> = observation.builds.iter().map(|build| build.id.0.as_str()).collect();
    assert_eq!(ids, ["by-action", "by-tag", "by-path", "by-uri", "17"]);
}

#[test]
fn missing_and_odd_fields_cost_the_field_only() {
    let builds = observed(&json!([
        { "uuid": "a", "build_tag": null, "object": "/api/repo/v1/repository/mrraph/blog/rule/v1/", "commit": null,
          "build_code": "b", "created": 1.456_742_185e9, "end_date": null, "state": "Pending",
          "start_date": "Mon, 29 Feb 2016 10:36:25 +0000" },
        { "uuid": "b", "build_code": "b", "object": "/api/repo/v1/repository/mrraph/blog/", "commit": "not a commit",
          "start_date": "2016-02-29T10:36:30", "end_date": "2016-02-29T10:36:31", "state": "Canceling" },
        { "uuid": "c", "build_code": "b", "commit": "0000000000000000000000000000000000000000" }
    ]))
    .builds;
    let moment = |text: &str| Some(text.parse().expect("a moment"));
    assert_eq!((builds[0].label.as_deref(), builds[0].started_at), (Some("v1"), None), "what waits has not started");
    assert_eq!(builds[0].created_at, moment("2016-02-29T10:36:25Z"));
    assert_eq!((builds[1].label.as_deref(), &builds[1].commit), (None, &None));
    assert_eq!(builds[1].created_at, moment("2016-02-29T10:36:30Z"), "the start stands in");
    assert_eq!(builds[1].finished_at, None, "what is being cancelled has not ended");
    assert_eq!((builds[2].created_at, &builds[2].commit), (None, &None));
}

#[test]
fn an_answer_without_a_list_is_not_an_empty_list() {
    for page in [json!({}), json!({ "detail": "x" }), json!({ "objects": null }), json!("OK"), json!(null)] {
        assert!(History::begin(API, &image(), &answer(&page)).is_err(), "{page}");
    }
    let mut broken = answer(&json!({ "objects": [] }));
    broken.body = Err(Unreadable("its body broke off".to_owned()));
    assert!(History::begin(API, &image(), &broken).is_err());
    assert_eq!(observed(&json!([])), Observation::default());
}

#[test]
fn a_list_that_goes_on_says_how_far_it_was_read() {
    let entries = |range: std::ops::Range<usize>| -> Vec<Value> {
        range.map(|n| build(n, &format!("2016-02-29T10:{:02}:00Z", 59 - n % 60))).collect()
    };
    let page = |next: Value, objects: Vec<Value>| answer(&json!({ "meta": { "next": next }, "objects": objects }));
    let (name, moment) = (image(), |text: &str| text.parse::<Timestamp>().expect("a moment"));

    let first = page(json!("/api/audit/v1/action/?offset=20"), entries(0..20));
    let mut history = History::begin(API, &name, &first).expect("a list");
    assert_eq!(history.next_offset(), Some(20), "counted by what came, not taken from the answer");
    history.go_on(&page(json!(null), entries(18..30)));
    assert_eq!(history.next_offset(), None);
    let observation = history.into_observation();
    assert_eq!((observation.builds.len(), observation.complete_since), (30, None));

    let alone = History::begin(API, &name, &first).expect("a list").into_observation();
    assert_eq!(alone.complete_since, Some(moment("2016-02-29T10:40:00Z")));

    let upside_down = page(json!("x"), entries(0..20).into_iter().rev().collect());
    let observation = History::begin(API, &name, &upside_down).expect("a list").into_observation();
    assert_eq!(observation.complete_since, Some(ASKED), "in another order nothing is proven");

    let undated = page(json!("x"), vec![json!({ "uuid": "u", "build_tag": "latest" })]);
    let observation = History::begin(API, &name, &undated).expect("a list").into_observation();
    assert_eq!(observation.complete_since, Some(ASKED));
}

#[test]
fn more_builds_than_an_observation_holds_are_cut_and_marked_incomplete() {
    let entries: Vec<Value> =
        (0..150).map(|n| build(n, &format!("2016-02-29T{:02}:{:02}:00Z", 23 - n / 60, 59 - n % 60))).collect();
    let observation = observed(&json!(entries));
    assert_eq!(observation.builds.len(), Observation::BUILDS_MAX);
    assert_eq!(observation.complete_since, observation.builds[Observation::BUILDS_MAX - 1].created_at);
}

#[test]
fn whether_the_list_continues_is_inferred_from_its_content() {
    let full: Vec<Value> = (0..50).map(|n| build(n, "2016-02-29T10:00:00Z")).collect();
    assert!(says_more(&json!({}), 50, full.len()));
    assert!(!says_more(&json!({}), 49, 49));
    assert!(says_more(&json!({ "meta": { "total_count": 51.0 } }), 50, 50));
    assert!(!says_more(&json!({ "meta": { "total_count": 50 } }), 50, 50));
    assert!(!says_more(&json!({ "meta": { "next": "", "total_count": 99 } }), 50, 50));
    assert!(says_more(&json!({ "meta": { "next": { "offset": 50 } } }), 50, 50));
}

#[test]
fn moments_are_brought_to_our_clock() {
    let page = json!({ "meta": { "next": "x" }, "objects": [build(1, "2016-02-29T10:36:25Z")] });
    let mut answer = answer(&page);
    // 10:36:40 by our clock.
    answer.headers.insert("date", "Mon, 29 Feb 2016 10:37:40 GMT".parse().expect("a value"));
    let observation = History::begin(API, &image(), &answer).expect("a list").into_observation();
    let ours = Some("2016-02-29T10:35:25Z".parse().expect("a moment"));
    assert_eq!(observation.clock_ahead_ms, 60_000);
    assert_eq!((observation.builds[0].created_at, observation.complete_since), (ours, ours));
}
