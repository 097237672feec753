//! What a history's daemon saw and decided, written in the language of `world.rs` as far as that can express it.
//! What it can't express becomes a comment.

use std::fmt::Write;
use std::time::Duration;

use coalesced::build::{BackendBuildState, Outcome, SourceTaken, TriggerAnswer};
use coalesced::command::{Scope, Verb};
use coalesced::event::{CauseKind, Disposition, NewEvent, Touches};
use coalesced::model::{CommitId, GitRef, ImageName, Timestamp};
use coalesced::scheduler::record::Fact;
use coalesced::scheduler::{Input, Settings};

use super::history::START;
use super::plan::Setting;

/// The name of the n-th commit: `cN`, as `world.rs` writes it.
pub(crate) fn commit(number: u64) -> CommitId {
    let mut digits = String::new();
    for byte in format!("c{number}").bytes() {
        write!(digits, "{byte:02x}").expect("a String takes all");
    }
    format!("{digits:0<40}").parse().expect("hex digits")
}

pub(crate) struct Script {
    text: String,
    now: Timestamp,
}

impl Script {
    pub(crate) fn new(setting: &Setting, settings: &Settings) -> Self {
        let mut text = String::new();
        if let Some(limit) = setting.account_limit {
            writeln!(text, "account {limit}").expect("a String takes all");
        }
        for image in settings.policies.keys() {
            let yes = |yes: bool| if yes { "yes" } else { "no" };
            let source = match setting.source_taken {
                SourceTaken::AtStart => "start",
                SourceTaken::AtCall => "trigger",
                SourceTaken::Unknown => "unknown",
            };
            write!(text, "image {image} prequeue={} source={source}", yes(setting.prequeue)).expect("a String");
            write!(text, " observes={} retry_failed={}", yes(setting.observes), setting.retry_failed)
                .expect("a String");
            let labels = if setting.labels { " labels=master:latest,dev:{branch},v*:{tag}" } else { "" };
            let account = if setting.account_limit.is_some() { " account=yes" } else { "" };
            writeln!(text, "{labels}{account}").expect("a String takes all");
        }
        Self { text, now: START }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn take_in(&mut self, now: Timestamp, inputs: &[Input]) {
        self.pass(now);
        for input in inputs {
            let line = line(input);
            self.line(&line);
        }
    }

    pub(crate) fn crash(&mut self, now: Timestamp) {
        self.line("crash");
        self.pass(now);
    }

    pub(crate) fn fact(&mut self, image: &ImageName, fact: &Fact) {
        let told = format!("{fact:?}");
        let told: String = told.chars().take(400).collect();
        self.line(&format!("# {image}: {told}"));
    }

    fn pass(&mut self, now: Timestamp) {
        if now < self.now {
            self.line(&format!("# the clock goes back to {now}"));
        } else if now > self.now {
            let span = humantime::format_duration(now.since(self.now)).to_string().replace(' ', "");
            self.line(&format!("advance {span}"));
        }
        self.now = now;
    }

    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("a String takes all");
    }
}

fn line(input: &Input) -> String {
    match input {
        // A scenario delivers each notice at once.
        Input::Delivered { id, result } => format!("# notice {id}: {result:?}"),
        Input::Heads { .. } | Input::Configured(_) => unreachable!("a history has no remote, and its rules stay"),
        Input::Arrived { delivery, .. } => {
            let new_event = &delivery.new_events[0];
            let image = new_event.image.as_ref().map_or("", |image| image.as_str());
            let git_ref = new_event.git_ref.as_ref().map(short).unwrap_or_default();
            let id = u128::from_be_bytes(delivery.fingerprints[0].0);
            match (&new_event.disposition, delivery.cause.kind) {
                (Disposition::Skip { touches, .. }, _) => {
                    let outside = if *touches == Touches::Inside { "" } else { " outside=p" };
                    format!("skip {image} {git_ref}{}{outside}", commits(new_event))
                }
                (Disposition::Outside { .. }, _) => {
                    format!("push {image} {git_ref}{} outside=p id={id}", commits(new_event))
                }
                (Disposition::DeleteRef, _) => format!("delete {image} {git_ref}"),
                (Disposition::Build { .. }, CauseKind::Button) => format!("tap {image} {git_ref}"),
                (Disposition::Build { immediate, ensure, .. }, CauseKind::Api) => {
                    let now = if *immediate { " now" } else { "" };
                    format!("call {image} {git_ref}{now}{}", if *ensure { " ensure" } else { "" })
                }
                _ => format!("push {image} {git_ref}{} id={id}", commits(new_event)),
            }
        }
        Input::Commanded { command, .. } => {
            let scope = match &command.scope {
                Scope::All => "all".to_owned(),
                Scope::Image(image) => image.to_string(),
            };
            match command.verb {
                Verb::Pause { length } => {
                    let span = length.map(|length| format!(" for={}s", length.as_secs()));
                    format!("pause {scope}{}", span.unwrap_or_default())
                }
                Verb::Resume => format!("resume {scope}"),
                Verb::Start => format!("start {scope}"),
                Verb::Drop => format!("drop {scope}"),
                Verb::Cancel => format!("cancel {scope}"),
            }
        }
        Input::Answered { image, answer, .. } => match answer {
            TriggerAnswer::Accepted { backend_id } => {
                let row = backend_id.as_ref().map(|id| format!(" {}", id.0)).unwrap_or_default();
                format!("answer {image} accepted{row}")
            }
            TriggerAnswer::AlreadyPending { .. } => format!("answer {image} pending"),
            TriggerAnswer::Uncertain { .. } => format!("answer {image} uncertain"),
            TriggerAnswer::RefusedForNow { retry_after, .. } => {
                let after = retry_after.map(|after| format!(" {}s", after.as_secs())).unwrap_or_default();
                format!("answer {image} later{after}")
            }
            TriggerAnswer::Refused { .. } => format!("answer {image} refused"),
        },
        Input::Observed { image, answer: Ok(seen), .. } => {
            let rows: Vec<String> = seen.builds.iter().map(row).collect();
            let rows = if rows.is_empty() { "nothing".to_owned() } else { rows.join(" ") };
            let since = seen.complete_since.map(|since| format!(" complete@{}s", since.since(START).as_secs()));
            format!("show {image} {rows}{}", since.unwrap_or_default())
        }
        Input::Observed { image, .. } => format!("unreadable {image}"),
        Input::CancelAnswered { image, build, answer } => format!("# {image}: cancelling {build}: {answer:?}"),
        Input::Hinted { image } => format!("hint {image}"),
    }
}

fn commits(new_event: &NewEvent) -> String {
    [&new_event.commit, &new_event.before].into_iter().flatten().fold(String::new(), |all, id| all + " " + &named(id))
}

fn row(row: &coalesced::build::BackendBuild) -> String {
    let state = match row.state {
        BackendBuildState::Waiting => "waiting",
        BackendBuildState::Running | BackendBuildState::Unknown => "running",
        BackendBuildState::Stopping => "stopping",
        BackendBuildState::Finished(Outcome::Success) => "success",
        BackendBuildState::Finished(Outcome::Failure) => "failure",
        BackendBuildState::Finished(_) => "cancelled",
    };
    let label = row.label.as_deref().unwrap_or_default();
    let commit = row.commit.as_ref().map(|id| format!(":{}", named(id))).unwrap_or_default();
    let created = row.created_at.map_or(Duration::ZERO, |at| at.since(START));
    format!("{}:{state}:{label}{commit}@{}s", row.id.0, created.as_secs())
}

fn short(git_ref: &GitRef) -> String {
    let text = git_ref.as_str();
    text.strip_prefix("refs/tags/").map_or_else(|| git_ref.short().to_owned(), |tag| format!("tag:{tag}"))
}

/// `63313200…` back to `c12`.
fn named(commit: &CommitId) -> String {
    let bytes = commit.as_str().as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or("0"), 16).unwrap_or(0);
    bytes.map(byte).take_while(|byte| *byte != 0).map(char::from).collect()
}
