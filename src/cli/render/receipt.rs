//! What became of an event, as sentences.

use super::history::event_word;
use super::text::{count, plain};
use super::{build_word, commit_name, time};
use crate::event::CauseKind;
use crate::model::Timestamp;
use crate::status::{BuildState, BuildView, EventState, Receipt};

/// The whole story of one event; `build` is the one that its receipt names.
pub(in crate::cli) fn story(receipt: &Receipt, build: Option<&BuildView>, now: Timestamp) -> String {
    let mut lines = vec![opening(receipt)];
    lines.extend(receipt.reason.as_deref().map(|reason| format!("\"{}\"", plain(reason))));
    lines.push(fate(receipt, build, now));
    if let Some(build) = build {
        lines.extend(about_build(receipt, build));
    }
    lines.push(format!("event {}", plain(&receipt.id)));
    lines.join("\n  ") + "\n"
}

/// `Push of 3f2a91c to mrraph/blog refs/heads/master, accepted 2026-11-23 10:00:00 UTC from github (…).`
fn opening(receipt: &Receipt) -> String {
    let source = plain(&receipt.source);
    let commit = receipt.sha.as_ref().map(|sha| format!(" of {}", commit_name(sha))).unwrap_or_default();
    let what = match receipt.kind {
        CauseKind::Push => format!("Push{commit} to"),
        CauseKind::Button => format!("Press of the button {source} for"),
        CauseKind::Api => "Request of a build of".to_owned(),
        CauseKind::Recovered => format!("Recovered push{commit} to"),
    };
    let image = receipt.image.as_ref().map_or("no image", |image| image.as_str());
    let git_ref = receipt.git_ref.as_ref().map(|git_ref| format!(" {git_ref}")).unwrap_or_default();
    let from = match receipt.kind {
        CauseKind::Push | CauseKind::Api => format!(" from {source}"),
        CauseKind::Button => String::new(),
        CauseKind::Recovered => ", found by comparing the remote's head with what was built".to_owned(),
    };
    let accepted = time::date_and_clock(&receipt.accepted_at);
    format!("{what} {image}{git_ref}, accepted {accepted} UTC{from}{}.", who(receipt))
}

/// ` (delivery 72d3162e, by mrraph)`, as far as it is known.
fn who(receipt: &Receipt) -> String {
    let delivery = receipt.delivery.as_deref().map(|delivery| format!("delivery {}", plain(delivery)));
    let actor = receipt.actor.as_deref().map(|actor| format!("by {}", plain(actor)));
    let known: Vec<String> = delivery.into_iter().chain(actor).collect();
    if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) }
}

fn fate(receipt: &Receipt, build: Option<&BuildView>, now: Timestamp) -> String {
    let word = event_word(receipt.state);
    match (receipt.state, build) {
        (EventState::Built, Some(build)) => format!("{word}: build {} covers it; {}.", build.id, course(build, now)),
        (EventState::Riding, Some(build)) => {
            format!("{word}: build {} is expected to cover it; {}.", build.id, course(build, now))
        }
        (EventState::Waiting, _) => {
            let due = receipt.due.as_deref().map(|due| format!("; due {}", time::moment(now, due)));
            let place = receipt.position.map(|position| format!("; place {position} among the refs that wait"));
            format!("{word}: {}{}{}.", plain(&receipt.why), due.unwrap_or_default(), place.unwrap_or_default())
        }
        _ => format!("{word}: {}.", plain(&receipt.why)),
    }
}

/// `it started 10:01:10, ended 10:05:02: success`
pub(in crate::cli) fn course(build: &BuildView, now: Timestamp) -> String {
    let started = build.started_at.as_deref().map(|at| format!("started {}", time::short(now, at)));
    let triggered = build.triggered_at.as_deref().map(|at| format!("was triggered {}", time::short(now, at)));
    let began = started.or(triggered);
    match (build.state, began, build.finished_at.as_deref()) {
        (BuildState::Finished, Some(began), Some(at)) => {
            format!("it {began}, ended {}: {}", time::short(now, at), build_word(build))
        }
        (BuildState::Finished, _, Some(at)) => format!("it ended {}: {}", time::short(now, at), build_word(build)),
        (BuildState::Finished, _, None) => format!("it ended: {}", build_word(build)),
        (_, Some(began), _) => format!("it {began} and is {}", build_word(build)),
        (_, None, _) => format!("it is {}", build_word(build)),
    }
}

fn about_build(receipt: &Receipt, build: &BuildView) -> Vec<String> {
    let mut lines = Vec::new();
    match build.events_total.saturating_sub(1) {
        0 => {}
        1 => lines.push("1 further event is in the same build.".to_owned()),
        further => lines.push(format!("{} are in the same build.", count(further, "further event"))),
    }
    if let (Some(built), Some(asked)) = (&build.commit, &receipt.sha)
        && !built.same_as(asked)
    {
        lines.push(format!("the commit of the build is {}.", commit_name(built)));
    }
    lines.extend(build.note.as_deref().map(|note| format!("note: {}.", plain(note))));
    lines.extend(build.log_url.as_deref().map(|log_url| format!("log: {}", plain(log_url))));
    lines
}

#[cfg(test)]
mod tests {
    use super::super::samples::{finished_build, now, running_build, waiting_push};
    use super::*;
    use crate::model::BuildId;

    fn built_push() -> Receipt {
        let mut receipt = waiting_push();
        (receipt.state, receipt.build) = (EventState::Built, Some(BuildId(41)));
        (receipt.due, receipt.position) = (None, None);
        receipt
    }

    #[test]
    fn a_push_that_waits_says_why_and_until_when() {
        let expected = "\
Push of 3f2a91c to mrraph/blog refs/heads/master, accepted 2026-11-23 10:00:00 UTC from github (delivery 72d3162e-cc78-11e3-81ab-4c9367dc0958, by mrraph).
  \"Fix the header\"
  waiting: quiet for 23 s more, at the latest at 10:10:00; due 10:04:33 (in 23 s); place 1 among the refs that wait.
  event 01JD0000000000000000000001
";
        assert_eq!(story(&waiting_push(), None, now()), expected);
    }

    #[test]
    fn a_built_push_names_its_build_and_its_company() {
        let mut build = finished_build();
        build.events_total = 6;
        build.log_url = Some("https://hub.docker.com/log/41".to_owned());
        let story = story(&built_push(), Some(&build), now());
        let told: Vec<&str> = story.lines().skip(2).collect();
        assert_eq!(
            told,
            [
                "  built: build 41 covers it; it started 10:01:10, ended 10:05:02: success.",
                "  5 further events are in the same build.",
                "  log: https://hub.docker.com/log/41",
                "  event 01JD0000000000000000000001",
            ]
        );
    }

    #[test]
    fn a_push_that_rides_names_the_build_and_where_it_stands() {
        let mut receipt = built_push();
        receipt.state = EventState::Riding;
        let mut build = running_build();
        (build.state, build.started_at) = (BuildState::Queued, None);
        build.commit = "aaaaaaa".parse().ok();
        build.note = Some("nobody knows yet whether it was taken".to_owned());
        let story = story(&receipt, Some(&build), now());
        let told: Vec<&str> = story.lines().skip(2).collect();
        assert_eq!(
            told,
            [
                "  riding: build 41 is expected to cover it; it was triggered 10:00:30 and is queued.",
                "  1 further event is in the same build.",
                "  the commit of the build is aaaaaaa.",
                "  note: nobody knows yet whether it was taken.",
                "  event 01JD0000000000000000000001",
            ]
        );
    }

    #[test]
    fn each_cause_has_its_own_opening() {
        let mut receipt = waiting_push();
        receipt.kind = CauseKind::Button;
        (receipt.source, receipt.delivery, receipt.sha) = ("phone".to_owned(), None, None);
        let accepted = "accepted 2026-11-23 10:00:00 UTC";
        assert_eq!(
            opening(&receipt),
            format!("Press of the button phone for mrraph/blog refs/heads/master, {accepted} (by mrraph).")
        );
        (receipt.kind, receipt.actor) = (CauseKind::Api, None);
        assert_eq!(
            opening(&receipt),
            format!("Request of a build of mrraph/blog refs/heads/master, {accepted} from phone.")
        );
        (receipt.kind, receipt.image, receipt.git_ref) = (CauseKind::Recovered, None, None);
        assert_eq!(
            opening(&receipt),
            format!(
                "Recovered push to no image, {accepted}, found by comparing the remote's head with what was built."
            )
        );
    }

    #[test]
    fn a_strangers_text_can_not_command_the_terminal() {
        let mut receipt = waiting_push();
        receipt.reason = Some("\u{1b}[2J".to_owned());
        receipt.actor = Some("a\nb".to_owned());
        receipt.delivery = Some("\r".to_owned());
        assert!(!story(&receipt, None, now()).chars().any(|c| c.is_control() && c != '\n'));
        assert_eq!(story(&receipt, None, now()).lines().count(), 4);
    }
}
