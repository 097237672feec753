//! The sentence of each notice: short, no full stop, as in `sentences`. The image is shown next to it.

use super::reasons;
use crate::notice::NoticeKind;

pub fn notice(kind: &NoticeKind) -> String {
    match kind {
        NoticeKind::Blocked { reason } => {
            format!("blocked: the back-end refuses triggers until you fix this: {}", reasons::refused(reason))
        }
        NoticeKind::StillRefused { since, reason } => {
            format!("no build has been possible since {since}: {}", reasons::in_vain(reason))
        }
        NoticeKind::Unblocked => "triggers are accepted again".to_owned(),
        NoticeKind::Failed { build } => format!("build {build} failed"),
        NoticeKind::Recovered { build } => format!("build {build} succeeded: builds work again"),
        NoticeKind::Lost { build, reason } => format!("build {build} was lost: {}", reasons::ended(reason)),
        NoticeKind::Unverified { build } => {
            format!("could not find out whether build {build} started; triggering it again")
        }
        NoticeKind::Unreadable { detail } => {
            format!("can't read the back-end's builds, so builds can't be confirmed: {detail}")
        }
        NoticeKind::RemoteUnreadable { detail } => {
            let detail = detail.as_deref().unwrap_or("no answer came");
            format!("can't read the remote's refs, so missed pushes can't be detected: {detail}")
        }
        NoticeKind::RemoteReadable => "the remote's refs can be read again".to_owned(),
        NoticeKind::NotCancelled { build, detail: Some(detail) } => {
            format!("the back-end refused to cancel build {build}: {detail}")
        }
        NoticeKind::NotCancelled { build, detail: None } => {
            format!("build {build} goes on: this back-end can't cancel builds")
        }
    }
}
