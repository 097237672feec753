//! The walls of the house: which room may name which, where a kind may be named, how files begin and how long they are.
//! How long a function may be is clippy's to say (`.clippy.toml`).
//!
//! - `code`: the sources as text, without comments
//! - `paths`: what each file names, as paths of modules
//! - `rooms`: the table of rooms, and that nothing goes in circles
//! - `kinds`: a kind of source or back-end is spelled in its own files
//! - `files`: lengths, heads, words, the changelog
//! - `walls`: what is named in one room only

mod code;
mod files;
mod kinds;
mod paths;
mod rooms;
mod walls;
