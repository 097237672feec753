//! What can be made to go wrong, one thing at a time.

/// One thing that goes wrong, once. Those for triggers wait for the next trigger, those for lists for the next list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The trigger has its effect; the connection breaks instead of an answer.
    LoseAnswer,
    /// The connection breaks and nothing has happened.
    LoseTrigger,
    /// 500, and the trigger has its effect all the same.
    ErrorAfterEffect,
    /// 500, and nothing has happened.
    ErrorWithoutEffect,
    /// 429 with `X-Retry-After`, a moment one second ahead.
    Throttle,
    /// 404: no such trigger any more.
    TriggerGone,
    /// The trigger is accepted and thrown away.
    Discard,
    /// The next build that starts never ends by itself.
    Stick,
    /// The next build that starts fails.
    Fail,
    /// The next build that starts vanishes from the list.
    Vanish,
    /// The next list is answered with 500.
    ListError,
    /// The next list is answered with 401.
    ListUnauthorized,
}

impl Fault {
    pub(super) fn is_of_trigger(self) -> bool {
        use Fault::{Discard, ErrorAfterEffect, ErrorWithoutEffect, LoseAnswer, LoseTrigger, Throttle, TriggerGone};
        matches!(
            self,
            LoseAnswer | LoseTrigger | ErrorAfterEffect | ErrorWithoutEffect | Throttle | TriggerGone | Discard
        )
    }

    pub(super) fn is_of_start(self) -> bool {
        matches!(self, Self::Stick | Self::Fail | Self::Vanish)
    }
}
