//! Where invented histories begin.

use proptest::test_runner::RngSeed;

/// The same for every test run, fresh where `CASES` asks for many.
pub(crate) fn histories_seed() -> RngSeed {
    if std::env::var_os("CASES").is_none() {
        return RngSeed::Fixed(20_261_123);
    }
    let told = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    #[expect(clippy::disallowed_methods, reason = "fresh histories come from the clock, and are printed")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let seed = told.unwrap_or_else(|| u64::try_from(now.as_micros()).expect("a moment of this age"));
    println!("fresh histories, with the same CASES again by SEED={seed}");
    RngSeed::Fixed(seed)
}
