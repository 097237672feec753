//! What became of an event, as sentences.

use super::history::event_words;
use super::text::plain;
use super::{build_words, commit_name, ref_name, time};
use crate::event::CauseKind;
use crate::model::Timestamp;
use crate::status::{BuildState, BuildView, EventState, Receipt, by};

/// The whole story of one event; `build` is the one named in its receipt.
pub(in crate::cli) fn story(receipt: &Receipt, build: Option<&BuildView>, now: Timestamp) -> String {
    let mut lines = vec![opening(receipt)];
    lines.extend(receipt.reason.as_deref().map(|reason| format!("\"{}\"", plain(reason))));
    lines.push(fate_in_full(receipt));
    if let Some(build) = build {
        lines.extend(about_build(receipt, build, now));
    }
    lines.push(format!("event {}", plain(&receipt.id)));
    lines.join("\n  ") + "\n"
}

/// `Push of 3f2a91c to mrraph/blog master, received 2026-11-23 10:00:00 UTC from github (…).`
fn opening(receipt: &Receipt) -> String {
    let source = plain(&receipt.source);
    let commit = receipt.sha.as_ref().map(|sha| format!(" of {}", commit_name(sha))).unwrap_or_default();
    let target = target(receipt);
    let at = time::date_and_clock(&receipt.accepted_at);
    let what = match receipt.kind {
        CauseKind::Push => format!("Push{commit} to {target}, received {at} from {source}"),
        CauseKind::Button => format!("Button {source} pressed for {target}, {at}"),
        CauseKind::Api => format!("Build of {target} requested {}, {at}", by(&source)),
        CauseKind::Recovered => format!("Missed push{commit} to {target}, found at the remote {at}"),
    };
    format!("{what}{}.", who(receipt))
}

/// `mrraph/blog master`, as far as known.
fn target(receipt: &Receipt) -> String {
    let image = receipt.image.as_ref().map(ToString::to_string);
    let git_ref = receipt.git_ref.as_ref().map(ref_name);
    let known: Vec<String> = image.into_iter().chain(git_ref).collect();
    if known.is_empty() { "no image".to_owned() } else { known.join(" ") }
}

/// ` (delivery 72d3162e, by mrraph)`, as far as known.
fn who(receipt: &Receipt) -> String {
    // An API request's key means nothing to people: the command line generates a random one each time.
    let delivery = receipt.delivery.as_deref().filter(|_| receipt.kind != CauseKind::Api);
    let delivery = delivery.map(|delivery| format!("delivery {}", plain(delivery)));
    let actor = receipt.actor.as_deref().map(|actor| format!("by {}", plain(actor)));
    let known: Vec<String> = delivery.into_iter().chain(actor).collect();
    if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) }
}

/// The state and the daemon's own sentence, which may begin with the state's word.
pub(in crate::cli) fn fate(receipt: &Receipt) -> String {
    let (word, why) = (event_words(receipt), plain(&receipt.why));
    if why.starts_with(&word) { why } else { format!("{word}: {why}") }
}

fn fate_in_full(receipt: &Receipt) -> String {
    let place = match receipt.position.filter(|_| receipt.state == EventState::Waiting) {
        None => String::new(),
        Some(1) => "; next in line".to_owned(),
        Some(position) => format!("; number {position} in line"),
    };
    let first = receipt.duplicate_of.as_deref().map(|first| format!("; see event {}", plain(first)));
    format!("{}{place}{}.", fate(receipt), first.unwrap_or_default())
}

/// `success, 10:01:10 to 10:05:02 UTC (3m 52s)`, `running since 10:01:10 UTC`.
pub(in crate::cli) fn course(build: &BuildView, now: Timestamp) -> String {
    let words = build_words(build);
    let [triggered, started, finished] =
        [&build.triggered_at, &build.started_at, &build.finished_at].map(|at| at.as_deref());
    match (build.state, started, finished) {
        (BuildState::Finished, Some(start), Some(end)) => {
            let took = time::between(started, finished).map(|took| format!(" ({})", time::span(took)));
            format!("{words}, {}{}", time::range(now, start, end), took.unwrap_or_default())
        }
        (BuildState::Finished, None, Some(end)) => format!("{words}, {}", time::clock(now, end)),
        (BuildState::Running, Some(start), _) => format!("{words} since {}", time::clock(now, start)),
        (BuildState::Finished, _, None) => words,
        _ => match triggered {
            Some(at) if build.state == BuildState::Triggering => format!("{words} since {}", time::clock(now, at)),
            Some(at) => format!("{words}, triggered {}", time::clock(now, at)),
            None => words,
        },
    }
}

fn about_build(receipt: &Receipt, build: &BuildView, now: Timestamp) -> Vec<String> {
    let mut lines = vec![format!("build {}: {}.", build.id, course(build, now))];
    match build.events_total.saturating_sub(1) {
        0 => {}
        1 => lines.push("1 other event shares this build.".to_owned()),
        others => lines.push(format!("{others} other events share this build.")),
    }
    if let (Some(built), Some(asked)) = (&build.commit, &receipt.sha)
        && !built.same_as(asked)
    {
        lines.push(format!("it builds commit {}.", commit_name(built)));
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
        receipt.why = "in build 41, which succeeded 2m ago".to_owned();
        receipt
    }

    #[test]
    fn a_push_that_waits_says_why_and_until_when() {
        let expected = "\
Push of 3f2a91c to mrraph/blog master, received 2026-11-23 10:00:00 UTC from github (delivery 72d3162e-cc78-11e3-81ab-4c9367dc0958, by mrraph).
  \"Fix the header\"
  waiting: builds in 23s if nothing else is pushed, by 10:10:00 UTC at the latest; next in line.
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
                "  built: in build 41, which succeeded 2m ago.",
                "  build 41: success, 10:01:10 to 10:05:02 UTC (3m 52s).",
                "  5 other events share this build.",
                "  log: https://hub.docker.com/log/41",
                "  event 01JD0000000000000000000001",
            ]
        );
    }

    #[test]
    fn a_queued_push_names_the_build_and_where_it_stands() {
        let mut receipt = built_push();
        receipt.state = EventState::Queued;
        receipt.why = "in build 41, which has not started yet".to_owned();
        let mut build = running_build();
        (build.state, build.started_at) = (BuildState::Queued, None);
        build.commit = "aaaaaaa".parse().ok();
        build.note = Some("it is not known yet whether it was taken".to_owned());
        let story = story(&receipt, Some(&build), now());
        let told: Vec<&str> = story.lines().skip(2).collect();
        assert_eq!(
            told,
            [
                "  queued: in build 41, which has not started yet.",
                "  build 41: queued, triggered 10:00:30 UTC.",
                "  1 other event shares this build.",
                "  it builds commit aaaaaaa.",
                "  note: it is not known yet whether it was taken.",
                "  event 01JD0000000000000000000001",
            ]
        );
    }

    #[test]
    fn the_word_of_the_state_is_not_said_twice() {
        let mut receipt = waiting_push();
        receipt.state = EventState::Dropped;
        receipt.why = "dropped from the command line: oops".to_owned();
        assert_eq!(fate_in_full(&receipt), "dropped from the command line: oops.");
        receipt.state = EventState::Duplicate;
        receipt.why = "already on it (tapped 1s earlier)".to_owned();
        receipt.duplicate_of = Some("01JD0000000000000000000000".to_owned());
        let expected = "duplicate: already on it (tapped 1s earlier); see event 01JD0000000000000000000000.";
        assert_eq!(fate_in_full(&receipt), expected);
    }

    #[test]
    fn each_cause_has_its_own_opening() {
        let mut receipt = waiting_push();
        receipt.kind = CauseKind::Button;
        (receipt.source, receipt.delivery, receipt.sha) = ("phone".to_owned(), None, None);
        let at = "2026-11-23 10:00:00 UTC";
        assert_eq!(opening(&receipt), format!("Button phone pressed for mrraph/blog master, {at} (by mrraph)."));
        (receipt.kind, receipt.actor) = (CauseKind::Api, None);
        assert_eq!(opening(&receipt), format!("Build of mrraph/blog master requested by phone, {at}."));
        receipt.source = "local".to_owned();
        assert_eq!(opening(&receipt), format!("Build of mrraph/blog master requested from the command line, {at}."));
        (receipt.kind, receipt.image) = (CauseKind::Recovered, None);
        assert_eq!(opening(&receipt), format!("Missed push to master, found at the remote {at}."));
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
