//! Values for the command line's tests, as the API would send them.

use serde_json::json;

use crate::model::Timestamp;
use crate::status::{BuildView, LaneView, Receipt};

pub(in crate::cli) fn now() -> Timestamp {
    "2026-11-23T10:04:10Z".parse().expect("a moment")
}

/// Build 41 of master, which is running.
pub(in crate::cli) fn running_build() -> BuildView {
    serde_json::from_value(json!({
        "id": 41, "image": "mrraph/blog", "ref": "refs/heads/master", "state": "running", "outcome": null,
        "foreign": false, "backend_id": "b-41", "commit": "3f2a91c0ffee0000000000000000000000000000",
        "triggered_at": "2026-11-23T10:00:30Z", "started_at": "2026-11-23T10:01:10Z", "finished_at": null,
        "events": ["01JD0000000000000000000001"], "events_total": 2, "log_url": null, "note": null,
    }))
    .expect("a build")
}

/// The same, after a success.
pub(in crate::cli) fn finished_build() -> BuildView {
    let mut build = running_build();
    build.state = crate::status::BuildState::Finished;
    build.outcome = Some(crate::build::Outcome::Success);
    build.finished_at = Some("2026-11-23T10:05:02Z".to_owned());
    build
}

/// An image with nothing to do.
pub(in crate::cli) fn idle_lane() -> LaneView {
    serde_json::from_value(json!({
        "image": "mrraph/blog", "held": null, "blocked": null, "running": null, "queued": null, "foreign": [],
        "keys": [], "last_build": null, "behind_since": null, "blind": false,
    }))
    .expect("a lane")
}

/// An image with three events waiting for quiet.
pub(in crate::cli) fn quiet_lane() -> LaneView {
    let mut lane = idle_lane();
    let key = json!({
        "ref": "refs/heads/master", "open": 3, "first_open_at": "2026-11-23T10:03:40Z",
        "due": "2026-11-23T10:04:33Z", "why": "builds in 23s if nothing else is pushed, by 10:13:40 UTC at the latest",
    });
    lane.keys = vec![serde_json::from_value(key).expect("a key")];
    lane
}

/// A push to master that is waiting.
pub(in crate::cli) fn waiting_push() -> Receipt {
    serde_json::from_value(json!({
        "id": "01JD0000000000000000000001", "image": "mrraph/blog", "ref": "refs/heads/master",
        "sha": "3f2a91c0ffee0000000000000000000000000000", "kind": "push", "source": "github",
        "delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958", "actor": "mrraph", "reason": "Fix the header",
        "accepted_at": "2026-11-23T10:00:00.123Z", "state": "waiting",
        "why": "builds in 23s if nothing else is pushed, by 10:10:00 UTC at the latest", "due": "2026-11-23T10:04:33Z", "position": 1,
        "build": null, "url": "http://127.0.0.1:8484/v1/events/01JD0000000000000000000001",
    }))
    .expect("a receipt")
}
