//! The exit codes of the interface, as scripts read them. Names nothing else of the command line.

/// What was asked for failed: a red build, an unknown event, a journal that is not sound.
pub(super) const FAILED: u8 = 1;
/// The command line is wrong; clap ends with it, too.
pub(super) const USAGE: u8 = 2;
/// `EX_UNAVAILABLE` of `sysexits.h`: the daemon is unreachable.
pub(super) const UNREACHABLE: u8 = 69;
/// `EX_IOERR`: input or output failed.
pub(super) const IO: u8 = 74;
/// `EX_NOPERM`: not allowed.
pub(super) const NOT_ALLOWED: u8 = 77;
/// `EX_CONFIG`: the configuration is wrong.
pub(super) const CONFIG: u8 = 78;
