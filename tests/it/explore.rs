//! Every state of a small scope, and proof that wrong designs are found in it. `examples/explore.rs` goes further.

// Some of it is for the long run alone.
#[allow(dead_code, unused_imports)]
#[path = "explore/explorer.rs"]
pub(crate) mod explorer;

use self::explorer::{Scope, WRONGS, explore, small};

#[test]
fn no_state_of_a_small_scope_breaks_a_promise() {
    for scope in small() {
        let count = explore(&scope, 2, |_, _| {}).unwrap_or_else(|story| panic!("{story}"));
        println!("{}: {count:?}", scope.name);
    }
}

#[test]
fn wrong_designs_are_found() {
    for wrong in WRONGS {
        let found =
            small().into_iter().find_map(|scope| explore(&Scope { wrong: Some(wrong), ..scope }, 2, |_, _| {}).err());
        let story = found.unwrap_or_else(|| panic!("{wrong:?} was not noticed"));
        println!("{wrong:?}\n{story}");
    }
}
