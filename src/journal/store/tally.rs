//! A sum over all entries, kept in its own entry and updated by every batch, so that opening detects missing or stale
//! entries.
//!
//! sled checks each piece of its log, but skips some that it can't read: entries from the middle are then missing or
//! stale. The sum knows what should be there. It doesn't protect against forgery, and doesn't need to. The
//! [`witness`](super::witness) detects a log that ends too early as a whole.

/// The entry that holds it; not part of the sum.
pub(super) const KEY: &[u8] = b"n";
const BYTES: usize = 24;

/// The contents of a database in three numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// How many batches were ever written.
    pub(super) batches: u64,
    pub(super) entries: u64,
    /// The wrapping sum of a number per entry: the order of entries doesn't matter.
    sum: u64,
}

impl Tally {
    /// Adds an existing entry.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        if key != KEY {
            self.entries = self.entries.wrapping_add(1);
            self.sum = self.sum.wrapping_add(number_of(key, value));
        }
    }

    /// An entry is overwritten, added or removed.
    pub(super) fn replace(&mut self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        if let Some(old) = old {
            self.entries = self.entries.wrapping_sub(1);
            self.sum = self.sum.wrapping_sub(number_of(key, old));
        }
        if let Some(new) = new {
            self.add(key, new);
        }
    }

    /// Whether both describe the same entries.
    pub(super) fn agrees_with(self, other: Self) -> bool {
        (self.entries, self.sum) == (other.entries, other.sum)
    }

    pub(super) fn encode(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        for (place, number) in bytes.chunks_exact_mut(8).zip([self.batches, self.entries, self.sum]) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    /// None if it is not a tally.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| bytes[at..at + 8].try_into().ok().map(u64::from_be_bytes);
        Some(Self { batches: number(0)?, entries: number(8)?, sum: number(16)? })
    }
}

/// A number that distinguishes entries that differ by accident: eight bytes at a time, by invertible steps, so that no
/// change of a single word is lost. Includes the lengths.
fn number_of(key: &[u8], value: &[u8]) -> u64 {
    let mut number = 0;
    for part in [key, value] {
        number = mixed(number, part.len() as u64);
        let (words, rest) = part.as_chunks::<8>();
        for word in words {
            number = mixed(number, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        number = mixed(number, u64::from_le_bytes(last));
    }
    number
}

/// One step. The golden ratio's fraction in 64 bits is odd and has no pattern in its bits.
fn mixed(number: u64, word: u64) -> u64 {
    let product = (number.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_one_by_one_agrees_with_what_is_there() {
        let mut kept = Tally::default();
        kept.replace(b"a", None, Some(b"1"));
        kept.replace(b"b", None, Some(b"2"));
        kept.replace(b"a", Some(b"1"), Some(b"3"));
        kept.replace(b"b", Some(b"2"), None);
        kept.replace(b"c", None, None);
        let of = |entries: &[(&[u8], &[u8])]| {
            let mut tally = Tally::default();
            for (key, value) in entries {
                tally.add(key, value);
            }
            tally
        };
        assert!(kept.agrees_with(of(&[(KEY, b"of itself"), (b"a", b"3")])));
        assert!(!kept.agrees_with(of(&[(b"a", b"1")])), "an entry is old");
        assert!(!kept.agrees_with(of(&[])), "an entry is gone");
        assert!(!kept.agrees_with(of(&[(b"a", b"3"), (b"b", b"2")])), "an entry is back");
        assert!(!of(&[(b"ab", b"c")]).agrees_with(of(&[(b"a", b"bc")])));
        assert!(!of(&[(b"a", b"1")]).agrees_with(of(&[(b"a", b"1\0")])));
        let counted = Tally { batches: 7, ..kept };
        assert_eq!(Tally::decode(&counted.encode()), Some(counted));
        assert_eq!(Tally::decode(b"short"), None);
    }

    #[test]
    fn every_bit_of_an_entry_counts() {
        let entry: Vec<u8> = (0..=60).collect();
        let whole = number_of(b"key", &entry);
        let seen: std::collections::BTreeSet<u64> = (0..entry.len() * 8)
            .map(|bit| {
                let mut other = entry.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                number_of(b"key", &other)
            })
            .collect();
        assert_eq!(seen.len(), entry.len() * 8, "no two changes are taken for each other");
        assert!(!seen.contains(&whole));
        assert!(
            (0..entry.len()).all(|length| number_of(b"key", &entry[..length]) != whole),
            "an entry that is cut off"
        );
    }
}
