//! Following an event to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::client::tests::{client_of, serve};
use super::super::render::samples::{finished_build, now, running_build, waiting_push};
use super::*;
use crate::build::Outcome;
use crate::model::BuildId;

fn built() -> Receipt {
    let mut receipt = waiting_push();
    (receipt.state, receipt.build) = (EventState::Built, Some(BuildId(41)));
    receipt
}

fn in_state(state: EventState) -> Receipt {
    Receipt { state, ..built() }
}

fn queued() -> Receipt {
    in_state(EventState::Queued)
}

fn building() -> Receipt {
    in_state(EventState::Building)
}

fn failed() -> Receipt {
    in_state(EventState::Failed)
}

fn red() -> BuildView {
    let mut build = finished_build();
    build.outcome = Some(Outcome::Failure);
    build
}

#[test]
fn an_event_ends_well_only_with_a_build_that_succeeded() {
    for (receipt, build, end) in [
        (waiting_push(), None, None),
        (queued(), Some(running_build()), None),
        (queued(), Some(finished_build()), None),
        (building(), Some(running_build()), None),
        (building(), Some(finished_build()), None),
        (built(), Some(finished_build()), Some(true)),
        (failed(), Some(red()), Some(false)),
    ] {
        assert_eq!(stage(&receipt, build.as_ref(), now()).end, end, "{receipt:?}");
    }
    let without_a_build = [
        EventState::Cancelled,
        EventState::Lost,
        EventState::Skipped,
        EventState::Ignored,
        EventState::Dropped,
        EventState::RefDeleted,
        EventState::Duplicate,
    ];
    for state in without_a_build {
        let mut receipt = waiting_push();
        receipt.state = state;
        assert_eq!(stage(&receipt, None, now()).end, Some(false), "{state:?}");
    }
    let mut nothing_to_do = built();
    nothing_to_do.build = None;
    assert_eq!(stage(&nothing_to_do, None, now()).end, Some(true));
}

#[test]
fn a_phase_stays_the_same_while_only_time_passes() {
    let mut later = waiting_push();
    later.why = "builds in 22s".to_owned();
    let (first, second) = (stage(&waiting_push(), None, now()), stage(&later, None, now()));
    assert_eq!(first.phase, second.phase);
    assert_eq!(first.sentence, "waiting: builds in 23s if nothing else is pushed, by 10:10:00 UTC at the latest");
    assert_eq!(
        stage(&built(), Some(&finished_build()), now()).sentence,
        "mrraph/blog: build 41: success, 10:01:10 to 10:05:02 UTC (3m 52s)"
    );
    let mut red = red();
    red.log_url = Some("https://hub.docker.com/log/41".to_owned());
    assert_eq!(
        stage(&failed(), Some(&red), now()).sentence,
        "mrraph/blog: build 41: failure, 10:01:10 to 10:05:02 UTC (3m 52s); log: https://hub.docker.com/log/41"
    );
}

#[test]
fn a_request_that_is_not_followed_says_how_to_follow_it() {
    assert_eq!(
        acceptance(&waiting_push()),
        "01JD0000000000000000000001 waiting: builds in 23s if nothing else is pushed, by 10:10:00 UTC at the latest\n\
         follow it with: coalesced explain 01JD0000000000000000000001"
    );
}

/// Follows an event whose receipts and builds are those of `script`, one pair for each question.
async fn followed(script: Vec<(Receipt, BuildView)>) -> (Result<String, String>, usize) {
    let turn = Arc::new(AtomicUsize::new(0));
    let turns = Arc::clone(&turn);
    let server = serve(move |asked| {
        let last = script.len() - 1;
        if asked.path.starts_with("/v1/events/") {
            let receipt = &script[turn.fetch_add(1, Ordering::SeqCst).min(last)].0;
            return (200, serde_json::to_string(receipt).expect("a receipt"));
        }
        let build = &script[turn.load(Ordering::SeqCst).saturating_sub(1).min(last)].1;
        (200, serde_json::to_string(build).expect("a build"))
    })
    .await;
    let client = client_of(&server, None);
    let text = serde_json::to_string(&waiting_push()).expect("a receipt");
    let mut progress = Progress::on(std::io::sink(), false);
    let end = follow(&client, Answer { text, value: waiting_push() }, &mut progress).await.expect("an end");
    (end.verdict, turns.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_green_build_is_followed_to_its_end() {
    let script = vec![(building(), running_build()), (built(), finished_build())];
    let (verdict, questions) = followed(script).await;
    assert_eq!(verdict.map(|sentence| sentence.contains(": success")), Ok(true));
    assert_eq!(questions, 2);
}

#[tokio::test]
async fn a_red_build_is_believed_when_it_is_seen_twice() {
    let (verdict, questions) = followed(vec![(failed(), red())]).await;
    assert_eq!(verdict.map_err(|sentence| sentence.contains(": failure")), Err(true));
    assert_eq!(questions, 2);
}

#[tokio::test]
async fn a_lost_build_whose_events_opened_again_is_not_the_end() {
    let mut lost = finished_build();
    lost.outcome = Some(Outcome::Lost);
    let lost_event = in_state(EventState::Lost);
    let script = vec![(lost_event, lost), (waiting_push(), running_build()), (built(), finished_build())];
    let (verdict, questions) = followed(script).await;
    assert_eq!((verdict.is_ok(), questions), (true, 3));
}
