//! The model's rules: what is ignored, discarded, taken late and cancelled.

use std::time::Duration;

use super::*;

fn image() -> ImageName {
    "acme/web".parse().expect("an image")
}

fn master() -> GitRef {
    GitRef::branch("master").expect("a branch")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().expect("a commit")
}

fn hub(settings: HubSettings) -> Hub {
    let mut hub = Hub::new(settings);
    hub.register(image());
    hub.push(at(0), &image(), &master(), commit('1'));
    hub
}

fn trigger(hub: &mut Hub, seconds: i64) -> Reply {
    hub.trigger(at(seconds), &image(), &Wanted::Ref(master()))
}

#[test]
fn classic_ignores_the_third_trigger_and_answers_ok_all_the_same() {
    let mut hub = hub(HubSettings::default());
    for second in 1..=5 {
        assert_eq!(trigger(&mut hub, second), Reply::Ok);
    }
    assert_eq!((hub.counters().triggers, hub.counters().ignored), (5, 3));
    hub.advance(at(10_000));
    assert_eq!(hub.true_builds(&image()).len(), 2);
}

#[test]
fn current_keeps_thirty_and_throws_the_next_away() {
    let mut hub = hub(HubSettings { mode: Mode::Current, ..HubSettings::default() });
    for second in 1..=32 {
        assert_eq!(trigger(&mut hub, second), Reply::Ok);
    }
    // One runs, thirty wait.
    assert_eq!((hub.true_builds(&image()).len(), hub.counters().discarded), (31, 1));
}

#[test]
fn the_tip_is_taken_at_the_moment_that_is_set() {
    let takes = [
        (TakesTip::WhenTriggered, '1'),
        (TakesTip::WhenStarted, '2'),
        (TakesTip::AfterStart(Duration::from_mins(1)), '3'),
    ];
    for (takes_tip, expected) in takes {
        let mut hub = hub(HubSettings { takes_tip, ..HubSettings::default() });
        trigger(&mut hub, 0);
        trigger(&mut hub, 1);
        hub.push(at(100), &image(), &master(), commit('2'));
        hub.push(at(310), &image(), &master(), commit('3'));
        hub.advance(at(1_000));
        assert_eq!(hub.true_builds(&image())[1].commit, Some(commit(expected)), "{takes_tip:?}");
    }
}

#[test]
fn a_build_is_listed_late_and_a_vanished_one_never_again() {
    let mut hub = hub(HubSettings { visible_after: Duration::from_mins(1), ..HubSettings::default() });
    trigger(&mut hub, 0);
    assert_eq!(hub.list(at(59), &image()).map(|rows| rows.len()), Ok(0));
    assert_eq!(hub.list(at(60), &image()).map(|rows| rows.len()), Ok(1));
    hub.plan(Fault::Vanish);
    trigger(&mut hub, 100);
    assert_eq!(hub.list(at(400), &image()).map(|rows| rows.len()), Ok(1));
}

#[test]
fn a_cancelled_build_holds_its_place_as_long_as_it_sticks_and_may_push() {
    let mut hub = hub(HubSettings { cancel_sticks_for: Duration::from_secs(100), ..HubSettings::default() });
    trigger(&mut hub, 0);
    trigger(&mut hub, 1);
    assert!(hub.cancel(at(10), 0));
    hub.advance(at(109));
    assert!(hub.true_builds(&image())[0].is_cancelling());
    assert!(hub.true_builds(&image())[1].waits());
    hub.advance(at(110));
    let builds = hub.true_builds(&image());
    assert_eq!((builds[0].outcome, builds[0].pushed), (Some(Outcome::Cancelled), true));
    assert!(builds[1].runs());
}

#[test]
fn a_stuck_build_is_ended_by_the_service_after_four_hours_and_called_cancelled() {
    let mut hub = hub(HubSettings::default());
    hub.plan(Fault::Stick);
    trigger(&mut hub, 0);
    hub.advance(at(4 * 3600 - 1));
    assert!(hub.true_builds(&image())[0].runs());
    hub.advance(at(4 * 3600));
    assert_eq!(hub.true_builds(&image())[0].outcome, Some(Outcome::Cancelled));
}

#[test]
fn a_lost_answer_may_have_had_its_effect_or_not() {
    let mut hub = hub(HubSettings::default());
    hub.plan(Fault::LoseAnswer);
    hub.plan(Fault::LoseTrigger);
    assert_eq!(trigger(&mut hub, 0), Reply::NoAnswer);
    assert_eq!(hub.true_builds(&image()).len(), 1);
    assert_eq!(trigger(&mut hub, 1), Reply::NoAnswer);
    assert_eq!(hub.true_builds(&image()).len(), 1);
}
