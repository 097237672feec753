//! PURE: how many builds an account may have at once, and how many it has.

#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) limit: usize,
    pub(super) taken: usize,
}

impl Account {
    pub(super) fn is_full(&self) -> bool {
        self.taken >= self.limit
    }
}
