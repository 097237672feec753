//! PURE: an account's limit on concurrent builds, and how many it has now.

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
