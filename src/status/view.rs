//! From the picture and the journal to the shapes of the API.

use super::picture::{Picture, Place, overlaps};
use super::sentences::reasons;
use super::{BuildView, EventState, HoldView, KeyView, LaneView, Receipt, sentences};
use crate::build::{BuildState, Outcome};
use crate::command::Hold;
use crate::event::{Closure, End, Event, Verdict};
use crate::model::{EventId, ImageName, Timestamp};
use crate::reason::{BuildNote, EndReason};
use crate::scheduler::lane::{Lane, Live};
use crate::scheduler::open::Open;
use crate::scheduler::policy::Policy;
use crate::scheduler::record::{BuildRecord, Foreign};
use crate::scheduler::wait::Standing;

/// The state of `event`. `closure` and `build` are what the journal says about its end, if it has ended;
/// `url` is the receipt's address without the id.
pub fn receipt(
    event: &Event,
    closure: Option<&Closure>,
    build: Option<&BuildRecord>,
    picture: &Picture,
    url: &str,
    now: Timestamp,
) -> Receipt {
    let mut receipt = Receipt {
        id: event.id().to_string(),
        image: event.image.clone(),
        git_ref: event.git_ref.clone(),
        sha: event.commit.clone(),
        kind: event.cause.kind,
        source: event.cause.source.clone(),
        delivery: event.cause.delivery.clone(),
        actor: event.cause.actor.clone(),
        reason: event.cause.reason.clone(),
        accepted_at: event.accepted_at.to_string(),
        state: EventState::Waiting,
        assumed: false,
        why: String::new(),
        due: None,
        position: None,
        build: None,
        duplicate_of: None,
        url: format!("{url}/{}", event.id()),
    };
    match &event.verdict {
        Verdict::Opened => opened(&mut receipt, event, closure, build, picture, now),
        Verdict::AlreadyBuilt => receipt.decide(EventState::Built, sentences::ALREADY_BUILT.to_owned()),
        Verdict::Skipped { evidence } => receipt.decide(EventState::Skipped, reasons::skipped(evidence)),
        Verdict::Ignored { reason } => receipt.decide(EventState::Ignored, reasons::ignored(reason)),
        Verdict::RefDeleted => receipt.decide(EventState::RefDeleted, sentences::DELETES_REF.to_owned()),
        Verdict::DuplicateOf { event: first } => {
            receipt.decide(EventState::Duplicate, sentences::duplicate(first, event.accepted_at));
            receipt.duplicate_of = Some(first.clone());
        }
    }
    receipt
}

impl Receipt {
    fn decide(&mut self, state: EventState, why: String) {
        (self.state, self.why) = (state, why);
    }
}

/// The state of an event that opened its key.
fn opened(
    receipt: &mut Receipt,
    event: &Event,
    closure: Option<&Closure>,
    build: Option<&BuildRecord>,
    picture: &Picture,
    now: Timestamp,
) {
    match picture.place(event) {
        Some(Place::Carried(id)) => {
            receipt.build = Some(id);
            receipt.decide(EventState::Queued, picture.live_build(id).map(sentences::rides).unwrap_or_default());
        }
        Some(Place::Covered(id)) => {
            receipt.build = Some(id);
            receipt.state = EventState::Building;
            if let Some(record) = picture.live_build(id) {
                covered(receipt, record, picture, now);
            }
        }
        Some(Place::Waiting) => waiting(receipt, picture, now),
        None => ended(receipt, closure, build, picture, now),
    }
}

fn waiting(receipt: &mut Receipt, picture: &Picture, now: Timestamp) {
    let (Some(image), Some(git_ref)) = (&receipt.image, &receipt.git_ref) else { return };
    let standing = picture.standing(image, git_ref, now);
    if let Standing::Riding { build } = standing {
        receipt.state = EventState::Queued;
        receipt.build = Some(build);
    } else {
        let open = picture.lanes.get(image).and_then(|lane| lane.keys.get(git_ref)?.open.as_ref());
        let due = open.zip(picture.policies.get(image)).and_then(|(open, policy)| due(&standing, open, policy));
        receipt.due = due.map(|due| due.to_string());
        receipt.position = picture.position(image, git_ref, now);
    }
    receipt.why = sentences::waits(&standing, now);
}

/// When a build of the open events is due: unknown while paused or possibly covered by a queued build.
fn due(standing: &Standing, open: &Open, policy: &Policy) -> Option<Timestamp> {
    let due = open.due(policy.quiet, policy.max_wait);
    match standing {
        Standing::AtRest | Standing::Paused { .. } | Standing::Riding { .. } => None,
        Standing::Blocked { again_at, .. } | Standing::BackingOff { again_at, .. } => Some(due.max(*again_at)),
        Standing::Quiet { .. } | Standing::PlaceTaken { .. } | Standing::AccountLimit | Standing::Ready => Some(due),
    }
}

fn ended(
    receipt: &mut Receipt,
    closure: Option<&Closure>,
    build: Option<&BuildRecord>,
    picture: &Picture,
    now: Timestamp,
) {
    let configured = receipt.image.as_ref().is_some_and(|image| picture.lanes.contains_key(image));
    match closure.map(|closure| &closure.end) {
        Some(End::BuiltBy(id)) => {
            receipt.build = Some(*id);
            if let Some(record) = picture.live_build(*id).or(build) {
                covered(receipt, record, picture, now);
            } else {
                receipt.decide(EventState::Built, sentences::covered_long_ago(*id));
                receipt.assumed = true;
            }
        }
        Some(End::DroppedBy { actor, reason }) => {
            receipt.decide(EventState::Dropped, sentences::dropped(actor, reason.as_deref()));
        }
        Some(End::Cancelled { build, actor }) => {
            receipt.build = Some(*build);
            receipt.decide(EventState::Cancelled, sentences::cancelled(*build, actor));
        }
        Some(End::RefDeleted) => receipt.decide(EventState::RefDeleted, sentences::REF_DELETED.to_owned()),
        None if configured => receipt.why = sentences::waits(&Standing::Ready, now),
        None => sentences::NOT_CONFIGURED.clone_into(&mut receipt.why),
    }
}

/// The state of an event that this build covers.
fn covered(receipt: &mut Receipt, record: &BuildRecord, picture: &Picture, now: Timestamp) {
    receipt.assumed = is_assumed(record, picture);
    let state = match (record.state, record.outcome) {
        (BuildState::Finished, Some(Outcome::Success)) => EventState::Built,
        (BuildState::Finished, Some(Outcome::Failure)) => EventState::Failed,
        (BuildState::Finished, Some(Outcome::Cancelled)) => EventState::Cancelled,
        (BuildState::Finished, Some(Outcome::Lost | Outcome::NotStarted) | None) => EventState::Lost,
        _ => EventState::Building,
    };
    receipt.decide(state, sentences::covered(record, receipt.assumed, now));
}

/// Whether its start or end is assumed, not seen (semantics R13).
fn is_assumed(record: &BuildRecord, picture: &Picture) -> bool {
    match (&record.note, record.state) {
        (Some(BuildNote::Ended(reason)), _) => matches!(reason, EndReason::Assumed | EndReason::ImageReported),
        (_, BuildState::Running) => !record.foreign && is_blind(&record.image, picture),
        _ => false,
    }
}

/// Whether the builds of this image can't be seen.
fn is_blind(image: &ImageName, picture: &Picture) -> bool {
    picture.policies.get(image).is_some_and(|policy| !policy.capabilities.observes())
}

/// One image in its present state.
pub fn lane_view(image: &ImageName, picture: &Picture, now: Timestamp) -> Option<LaneView> {
    let lane = picture.lanes.get(image)?;
    let own = lane.hold.as_ref().map(|hold| hold_view(hold, false));
    let all = picture.hold.as_ref().map(|hold| hold_view(hold, true));
    let keys = lane.keys.iter().filter_map(|(git_ref, key)| {
        let open = key.open.as_ref()?;
        let policy = picture.policies.get(image)?;
        let standing = picture.standing(image, git_ref, now);
        Some(KeyView {
            git_ref: git_ref.clone(),
            open: open.count(),
            first_open_at: Some(open.first_at().to_string()),
            due: due(&standing, open, policy).map(|due| due.to_string()),
            why: sentences::waits(&standing, now),
        })
    });
    let queued = lane.queued.as_ref().map(|queued| live_view(&queued.live, picture));
    Some(LaneView {
        image: image.clone(),
        held: all.or(own),
        blocked: lane
            .refusal
            .as_ref()
            .filter(|refusal| refusal.blocked)
            .map(|refusal| reasons::in_vain(&refusal.reason)),
        running: lane.running.as_ref().map(|running| live_view(&running.live, picture)),
        queued: queued.map(|view| if overlaps(lane) { noted_overlap(view) } else { view }),
        foreign: lane.foreign.iter().map(|foreign| foreign_view(foreign, lane, picture)).collect(),
        keys: keys.collect(),
        last_build: lane.last_build.as_ref().map(|row| build_view(row, Vec::new(), picture)),
        behind_since: picture.behind_since(image).map(|at| at.to_string()),
        blind: is_blind(image, picture),
    })
}

fn noted_overlap(mut view: BuildView) -> BuildView {
    view.note = Some(sentences::OVERLAPS.to_owned());
    view
}

fn hold_view(hold: &Hold, all_images: bool) -> HoldView {
    HoldView {
        actor: hold.actor.clone(),
        reason: hold.reason.clone(),
        since: hold.since.to_string(),
        until: hold.until.map(|until| until.to_string()),
        all_images,
    }
}

fn live_view(live: &Live, picture: &Picture) -> BuildView {
    build_view(&live.record, live.carries.as_ref().map(event_ids).unwrap_or_default(), picture)
}

fn foreign_view(foreign: &Foreign, lane: &Lane, picture: &Picture) -> BuildView {
    build_view(&lane.foreign_record(foreign), Vec::new(), picture)
}

/// A build with the ids of its events.
pub fn build_view(record: &BuildRecord, events: Vec<String>, picture: &Picture) -> BuildView {
    BuildView {
        id: record.id,
        image: record.image.clone(),
        git_ref: record.git_ref.clone(),
        state: record.state,
        outcome: record.outcome,
        assumed: is_assumed(record, picture),
        foreign: record.foreign,
        backend_id: record.backend_ids.first().map(|id| id.0.clone()),
        commit: record.commit.clone(),
        triggered_at: record.triggered_at.map(|at| at.to_string()),
        started_at: record.started_at.map(|at| at.to_string()),
        finished_at: record.finished_at.map(|at| at.to_string()),
        events,
        events_total: record.events,
        log_url: record.log_url.clone(),
        note: record.note.as_ref().map(reasons::note),
    }
}

/// The ids that the groups still hold: the first and last event of each.
fn event_ids(open: &Open) -> Vec<String> {
    let ends = open.groups().iter().flat_map(|group| {
        let first = EventId { accepted_at: group.first_at, seq: group.first };
        let last = EventId { accepted_at: group.last_at, seq: group.last };
        if group.first == group.last { vec![first] } else { vec![first, last] }
    });
    ends.map(|id| id.to_string()).collect()
}
