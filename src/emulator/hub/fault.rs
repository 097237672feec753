//! Faults that can be injected, one at a time.

/// One fault, injected once. Faults of triggers wait for the next trigger, those of lists for the next list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The trigger takes effect; the connection breaks instead of an answer.
    LoseAnswer,
    /// The connection breaks without any effect.
    LoseTrigger,
    /// 500, but the trigger takes effect.
    ErrorAfterEffect,
    /// 500, without any effect.
    ErrorWithoutEffect,
    /// 429 with `X-Retry-After`, a time one second ahead.
    Throttle,
    /// 404: the trigger no longer exists.
    TriggerGone,
    /// The trigger is accepted and discarded.
    Discard,
    /// The next build to start never ends by itself.
    Stick,
    /// The next build to start fails.
    Fail,
    /// The next build to start vanishes from the list.
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
