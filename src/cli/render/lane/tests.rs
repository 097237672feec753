//! Lanes to the letter.

use super::super::samples::{finished_build, idle_lane, now, quiet_lane, running_build};
use super::*;

fn all_states() -> Vec<LaneView> {
    let mut running = quiet_lane();
    running.image = "mrraph/site".parse().expect("an image");
    running.running = Some(running_build());
    running.keys[0].why = "builds when build 41 ends".to_owned();
    running.last_build = Some(finished_before());
    let mut paused = idle_lane();
    paused.image = "mrraph/shop".parse().expect("an image");
    paused.held = Some(hold());
    let mut blocked = idle_lane();
    blocked.image = "mrraph/an-image-with-a-very-long-name".parse().expect("an image");
    blocked.blocked = Some("Docker Hub answers 404: the trigger is gone".to_owned());
    vec![quiet_lane(), running, paused, blocked]
}

fn finished_before() -> BuildView {
    let mut build = finished_build();
    build.id = crate::model::BuildId(40);
    build.finished_at = Some("2026-11-23T09:50:00Z".to_owned());
    build
}

fn hold() -> HoldView {
    HoldView {
        actor: "local".to_owned(),
        reason: Some("moving house".to_owned()),
        since: "2026-11-23T10:00:00Z".to_owned(),
        until: Some("2026-11-23T12:00:00Z".to_owned()),
        all_images: false,
    }
}

#[test]
fn the_overview_reads_well_in_80_columns() {
    let text = overview(&all_states(), now(), Paint::Plain, COLUMNS);
    let expected = "\
IMAGE        STATE    NOW                                     LAST BUILD
mrraph/blog  quiet    master, 3 events: builds in 23s if
                      nothing else is pushed, by 10:13:40
                      UTC at the latest
mrraph/site  running  build 41 (master) running for 3m        success 14m ago
                      master, 3 events: builds when build 41
                      ends
mrraph/shop  paused   paused from the command line until
                      12:00:00 UTC: moving house
mrraph/an-image-with-a-very-long-name
             blocked  Docker Hub answers 404: the trigger is
                      gone
";
    assert_eq!(text, expected);
    assert!(text.lines().all(|line| width(line) <= COLUMNS));
}

#[test]
fn a_narrow_terminal_shows_one_image_below_the_other() {
    let text = overview(&all_states()[1..3], now(), Paint::Plain, 40);
    let expected = "\
mrraph/site: running
  build 41 (master) running for 3m
  master, 3 events: builds when build 41
  ends
  last build: success 14m ago
mrraph/shop: paused
  paused from the command line until
  12:00:00 UTC: moving house
";
    assert_eq!(text, expected);
}

#[test]
fn an_idle_image_is_a_short_line() {
    let expected =
        "IMAGE        STATE    NOW                                     LAST BUILD\nmrraph/blog  idle     -\n";
    assert_eq!(overview(&[idle_lane()], now(), Paint::Plain, COLUMNS), expected);
    assert_eq!(overview(&[], now(), Paint::Plain, COLUMNS), "no image is configured\n");
}

#[test]
fn colours_change_nothing_but_colours() {
    let painted = overview(&all_states(), now(), Paint::Colour, COLUMNS);
    assert!(painted.contains("\u{1b}[31mblocked\u{1b}[0m"), "{painted:?}");
    let mut bare = String::new();
    for (index, piece) in painted.split('\u{1b}').enumerate() {
        let after = if index == 0 { piece } else { piece.split_once('m').map_or("", |(_, after)| after) };
        bare.push_str(after);
    }
    assert_eq!(bare, overview(&all_states(), now(), Paint::Plain, COLUMNS));
}

#[test]
fn what_needs_a_person_goes_before_what_runs() {
    let mut lane = quiet_lane();
    assert_eq!(LaneState::of(&lane, now()), LaneState::Quiet);
    assert_eq!(LaneState::of(&lane, "2026-11-23T10:05:00Z".parse().expect("a moment")), LaneState::Waiting);
    let mut foreign = running_build();
    (foreign.foreign, foreign.state) = (true, BuildState::Queued);
    lane.foreign = vec![foreign];
    assert_eq!(LaneState::of(&lane, now()), LaneState::Queued);
    lane.running = Some(running_build());
    assert_eq!(LaneState::of(&lane, now()), LaneState::Running);
    lane.held = Some(hold());
    assert_eq!(LaneState::of(&lane, now()), LaneState::Paused);
    lane.blocked = Some("no".to_owned());
    assert_eq!(LaneState::of(&lane, now()), LaneState::Blocked);
    assert_eq!(LaneState::of(&idle_lane(), now()), LaneState::Idle);
}

#[test]
fn many_refs_are_counted_and_not_all_shown() {
    let mut lane = quiet_lane();
    lane.keys = vec![lane.keys[0].clone(); 5];
    let facts = facts(&lane, now());
    assert_eq!((facts.len(), facts[3].as_str()), (4, "and 2 more"));
}

#[test]
fn the_line_of_a_change_stays_the_same_while_only_time_passes() {
    let mut lane = quiet_lane();
    lane.running = Some(running_build());
    lane.last_build = Some(finished_before());
    let before = change_line(&lane, now());
    assert_eq!(
        before,
        "mrraph/blog: running; build 41 (master) running; 3 events waiting on master; last build 40: success"
    );
    lane.keys[0].why = "builds in 22s".to_owned();
    assert_eq!(change_line(&lane, now().plus(std::time::Duration::from_secs(1))), before);
    lane.held = Some(hold());
    let paused = "mrraph/blog: paused from the command line until 2026-11-23 12:00:00 UTC: moving house; build 41";
    assert!(change_line(&lane, now()).starts_with(paused));
}

#[test]
fn one_image_is_told_in_full() {
    let mut lane = quiet_lane();
    lane.running = Some(running_build());
    lane.last_build = Some(finished_before());
    lane.held = Some(hold());
    lane.behind_since = Some("2026-11-23T10:00:00Z".to_owned());
    lane.blind = true;
    let mut tag = lane.keys[0].clone();
    (tag.git_ref, tag.open, tag.why) = ("refs/tags/v1".parse().expect("a tag"), 0, String::new());
    lane.keys.push(tag);
    let expected = "\
mrraph/blog: paused
  paused:     from the command line until 12:00:00 UTC: moving house; since 10:00:00 UTC (4m ago)
  running:    build 41 (master), commit 3f2a91c, running, started 10:01:10 UTC (3m ago), 2 events
  last build: build 40 (master), commit 3f2a91c, success, ended 09:50:00 UTC (14m ago), 2 events
  behind:     pushes since 10:00:00 UTC (4m ago) are not in the image yet
  no login:   start and end of builds are estimated
  master: 3 events waiting, the first since 10:03:40 UTC (30s ago)
  tag v1: nothing waiting
";
    assert_eq!(detail(&lane, now(), Paint::Plain, None), expected);
}

#[test]
fn one_image_fits_a_narrow_terminal() {
    let mut lane = quiet_lane();
    lane.last_build = Some(finished_before());
    let expected = "\
mrraph/blog: quiet
  last build: build 40 (master), commit
              3f2a91c, success, ended
              09:50:00 UTC (14m ago), 2
              events
  master: 3 events waiting, the first
  since 10:03:40 UTC (30s ago)
    builds in 23s if nothing else is
    pushed, by 10:13:40 UTC at the
    latest
";
    assert_eq!(detail(&lane, now(), Paint::Plain, Some(40)), expected);
}

#[test]
fn a_strangers_text_can_not_command_the_terminal() {
    let mut lane = quiet_lane();
    lane.blocked = Some("\u{1b}[2Jgone".to_owned());
    lane.keys[0].why = "\u{7}ring".to_owned();
    let mut hold = hold();
    hold.reason = Some("\u{1b}]0;x".to_owned());
    lane.held = Some(hold);
    let texts = [overview(&[lane.clone()], now(), Paint::Plain, COLUMNS), detail(&lane, now(), Paint::Plain, None)];
    for text in texts.into_iter().chain([change_line(&lane, now())]) {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
}
