# `just` lists what there is.
default:
    @just --list

# The main job, with nothing set up.
demo:
    cargo run --release -- demo

test:
    cargo test

# What CI runs, in the same order.
ci:
    .ci/run

# Write the scenarios' answers anew; commit the diff only if you understand it.
scenarios:
    UPDATE_EXPECT=1 cargo test --test it scenarios

# Many more invented histories than a test run takes.
properties CASES="100000":
    CASES={{CASES}} cargo test --test it properties
