//! Reproducible pseudo-random numbers: splitmix64 (Steele, Lea and Flood, 2014).
//!
//! For jitter, simulation and tests. Never for secrets: one number reveals all that follow.

/// The increment of the state per number, before mixing.
pub const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of splitmix64: each bit of the answer depends on all bits of `z`.
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A source of such numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STRIDE);
        mix(self.0)
    }

    /// Below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// A random index below `length`, which is not zero.
    pub fn index(&mut self, length: usize) -> usize {
        // What is below a length is a length.
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    pub fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    /// A random element of a non-empty slice.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_numbers_are_those_of_the_reference() {
        // From `splitmix64.c` by Sebastiano Vigna, with the seed 1234567.
        let mut random = Random::new(1_234_567);
        let first = [random.draw(), random.draw(), random.draw()];
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }
}
