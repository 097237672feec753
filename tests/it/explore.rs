//! Every state of a small scope, and proof that wrong designs are found in it. `examples/explore.rs` goes further.

// Some of it is for the long run alone.
#[allow(dead_code, unused_imports)]
#[path = "explore/explorer.rs"]
pub(crate) mod explorer;

use self::explorer::{WRONGS, explore, small, story_of};

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
        let story = story_of(wrong, 2).unwrap_or_else(|| panic!("{wrong:?} was not noticed"));
        println!("{wrong:?}\n{story}");
    }
}
