//! From the picture and the journal to the shapes of the API.

use super::picture::{Picture, Place, runs_beside};
use super::{BuildView, EventState, HoldView, KeyView, LaneView, Receipt, sentences};
use crate::event::{Closure, End, Event, Verdict};
use crate::model::{EventId, ImageName, Timestamp};
use crate::scheduler::lane::{Lane, Live};
use crate::scheduler::open::Open;
use crate::scheduler::record::{BuildRecord, Foreign};
use crate::scheduler::wait::Standing;

/// What became of `event`. `closure` and `build` are what the journal says of its end, where it has ended;
/// `url` is where the receipt can be read again, less the id.
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
        why: String::new(),
        due: None,
        position: None,
        build: None,
        url: format!("{url}/{}", event.id()),
    };
    let decided = match &event.verdict {
        Verdict::Opened => None,
        Verdict::AlreadyBuilt => Some((EventState::Built, sentences::ALREADY_BUILT.to_owned())),
        Verdict::Skipped { evidence } => Some((EventState::Skipped, sentences::reasons::skipped(evidence))),
        Verdict::Ignored { reason } => Some((EventState::Ignored, sentences::reasons::ignored(reason))),
        Verdict::RefDeleted => Some((EventState::RefDeleted, sentences::DELETES_REF.to_owned())),
        Verdict::DuplicateOf { event } => Some((EventState::Duplicate, sentences::duplicate_of(event))),
    };
    if let Some((state, why)) = decided {
        (receipt.state, receipt.why) = (state, why);
        return receipt;
    }
    match picture.place(event) {
        Some(Place::Carried(id)) => {
            receipt.state = EventState::Riding;
            receipt.build = Some(id);
            receipt.why = picture.live_build(id).map(sentences::rides).unwrap_or_default();
        }
        Some(Place::Covered(id)) => {
            receipt.state = EventState::Built;
            receipt.build = Some(id);
            receipt.why = picture.live_build(id).map(|row| sentences::covered(row, now)).unwrap_or_default();
        }
        Some(Place::Waiting) => waiting(&mut receipt, picture, now),
        None => ended(&mut receipt, closure, build, picture, now),
    }
    receipt
}

fn waiting(receipt: &mut Receipt, picture: &Picture, now: Timestamp) {
    let (Some(image), Some(git_ref)) = (&receipt.image, &receipt.git_ref) else { return };
    let standing = picture.standing(image, git_ref, now);
    if let Standing::Riding { build } = standing {
        receipt.state = EventState::Riding;
        receipt.build = Some(build);
    } else {
        let open = picture.lanes.get(image).and_then(|lane| lane.keys.get(git_ref)?.open.as_ref());
        let policy = picture.policies.get(image);
        receipt.due = open.zip(policy).map(|(open, policy)| open.due(policy.quiet, policy.max_wait).to_string());
        receipt.position = picture.position(image, git_ref);
    }
    receipt.why = sentences::waits(&standing, now);
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
            receipt.state = EventState::Built;
            receipt.build = Some(*id);
            let row = picture.live_build(*id).or(build);
            receipt.why = row.map_or_else(|| sentences::covered_long_ago(*id), |row| sentences::covered(row, now));
        }
        Some(End::DroppedBy { actor, reason }) => {
            receipt.state = EventState::Dropped;
            receipt.why = sentences::dropped(actor, reason.as_deref());
        }
        Some(End::Cancelled { build, actor }) => {
            receipt.state = EventState::Dropped;
            receipt.build = Some(*build);
            receipt.why = sentences::cancelled(*build, actor);
        }
        Some(End::RefDeleted) => {
            receipt.state = EventState::RefDeleted;
            sentences::REF_DELETED.clone_into(&mut receipt.why);
        }
        None if configured => receipt.why = sentences::waits(&Standing::Ready, now),
        None => sentences::NOT_CONFIGURED.clone_into(&mut receipt.why),
    }
}

/// One image as it is.
pub fn lane_view(image: &ImageName, picture: &Picture, now: Timestamp) -> Option<LaneView> {
    let lane = picture.lanes.get(image)?;
    let own = lane.hold.clone().map(|hold| HoldView { hold, all_images: false });
    let all = picture.hold.clone().map(|hold| HoldView { hold, all_images: true });
    let keys = lane.keys.iter().filter_map(|(git_ref, key)| {
        let open = key.open.as_ref()?;
        let policy = picture.policies.get(image)?;
        Some(KeyView {
            git_ref: git_ref.clone(),
            open: open.count(),
            first_open_at: Some(open.first_at().to_string()),
            due: Some(open.due(policy.quiet, policy.max_wait).to_string()),
            why: sentences::waits(&picture.standing(image, git_ref, now), now),
        })
    });
    let queued = lane.queued.as_ref().map(|queued| live_view(&queued.live));
    Some(LaneView {
        image: image.clone(),
        held: all.or(own),
        blocked: lane.refusal.as_ref().filter(|refusal| refusal.blocked).map(|refusal| refusal.detail.clone()),
        running: lane.running.as_ref().map(|running| live_view(&running.live)),
        queued: queued.map(|view| if runs_beside(lane) { noted_beside(view) } else { view }),
        foreign: lane.foreign.iter().map(|foreign| foreign_view(foreign, lane)).collect(),
        keys: keys.collect(),
        last_build: lane.last_build.as_ref().map(|row| build_view(row, Vec::new())),
        behind_since: picture.behind_since(image).map(|at| at.to_string()),
        blind: picture.policies.get(image).is_some_and(|policy| !policy.capabilities.observes()),
    })
}

fn noted_beside(mut view: BuildView) -> BuildView {
    view.note = Some("it runs beside the other one: the back-end does not take them one by one".to_owned());
    view
}

fn live_view(live: &Live) -> BuildView {
    build_view(&live.record, live.carries.as_ref().map(event_ids).unwrap_or_default())
}

fn foreign_view(foreign: &Foreign, lane: &Lane) -> BuildView {
    build_view(&lane.foreign_record(foreign), Vec::new())
}

/// A build with the ids of its events.
pub fn build_view(record: &BuildRecord, events: Vec<String>) -> BuildView {
    BuildView {
        id: record.id,
        image: record.image.clone(),
        git_ref: record.git_ref.clone(),
        state: record.state,
        outcome: record.outcome,
        foreign: record.foreign,
        backend_id: record.backend_ids.first().map(|id| id.0.clone()),
        commit: record.commit.clone(),
        triggered_at: record.triggered_at.map(|at| at.to_string()),
        started_at: record.started_at.map(|at| at.to_string()),
        finished_at: record.finished_at.map(|at| at.to_string()),
        events,
        events_total: record.events,
        log_url: record.log_url.clone(),
        note: record.note.clone(),
    }
}

/// The ids that the groups still tell: the first and the last event of each.
fn event_ids(open: &Open) -> Vec<String> {
    let ends = open.groups().iter().flat_map(|group| {
        let first = EventId { accepted_at: group.first_at, seq: group.first };
        let last = EventId { accepted_at: group.last_at, seq: group.last };
        if group.first == group.last { vec![first] } else { vec![first, last] }
    });
    ends.map(|id| id.to_string()).collect()
}
