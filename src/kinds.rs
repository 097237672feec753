//! The kinds of back-ends and sources, put together with the configuration that names them.
//!
//! They meet only here: a kind reads its own table, so its file is above `config`, which knows the kinds only from
//! its arguments. Must never name a kind: `backend.rs` and `source.rs` have one line for each.

use std::path::Path;

use crate::config::{self, Config, ConfigError, Kinds};
use crate::{backend, source};

/// Every kind that a configuration may name.
pub(crate) fn kinds() -> Kinds {
    Kinds {
        backends: backend::KINDS.iter().map(|kind| *kind as _).collect(),
        sources: source::KINDS.iter().map(|kind| kind.name).collect(),
    }
}

impl Config {
    /// Reads and checks the file at `path`, with this process's environment.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        config::load(&kinds(), path)
    }

    /// Checks the text of a configuration. Errors call it `file_name`, relative paths in it
    /// start from `base_dir`, and `variable` is the environment.
    pub fn parse(
        text: &str,
        file_name: &str,
        base_dir: &Path,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        config::parse(&kinds(), text, file_name, base_dir, variable, false)
    }
}

/// The kinds as a section of the manual, each with its minimal table.
pub(crate) fn manual() -> String {
    let backends = backend::KINDS.iter().map(|kind| {
        let example = format!("kind = \"{}\"\n{}", kind.name(), kind.example()).replace('-', "\\-");
        format!(".TP\nA back\\-end of kind {}\n.nf\n{example}\n.fi\n", kind.name())
    });
    let sources: Vec<&str> = source::KINDS.iter().map(|kind| kind.name).collect();
    let backends: String = backends.collect();
    format!(".SH \"KINDS OF BACK-ENDS AND SOURCES\"\n{backends}.TP\nSources\nof kind {}.\n", sources.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::config::Effective;

    use super::*;

    fn parsed(text: &str) -> Config {
        Config::parse(text, "c.toml", Path::new(""), &|_| None).unwrap_or_else(|error| panic!("{error}\nin:\n{text}"))
    }

    #[test]
    fn every_kind_of_back_end_reads_its_example_and_shows_it_without_its_secrets() {
        for kind in backend::KINDS {
            let (name, example) = (kind.name(), kind.example());
            let config = parsed(&format!("[image.\"a/b\".backend]\nkind = \"{name}\"\n{example}\n"));
            let image = config.rules.images.values().next().expect("an image");
            assert_eq!(image.backend.kind(), name);
            let shown = Effective::of(&config).to_toml().expect("TOML");
            assert!(shown.contains(&format!("kind = \"{name}\"")), "{shown}");
            for line in example.lines().filter(|line| line.contains("SECRET")) {
                let key = line.split('=').next().unwrap_or_default().trim();
                assert!(shown.contains(&format!("{key} = \"(secret)\"")), "{key} in {shown}");
            }
            assert!(!shown.contains("SECRET"), "{shown}");
            assert_eq!(backend::Backend::for_images(&config.rules, &BTreeMap::new()).expect("connected").len(), 1);
            assert!(manual().contains(&format!("kind = \"{name}\"")));
        }
    }

    #[test]
    fn every_kind_of_source_is_read_and_shown() {
        for kind in source::KINDS {
            let name = kind.name;
            let config = parsed(&format!("[source.here]\nkind = \"{name}\"\nsecrets = [\"test-token-0123456789\"]\n"));
            assert_eq!(config.rules.sources["here"].kind, name);
            let by_its_name = parsed(&format!("[source.{name}]\nsecrets = [\"test-token-0123456789\"]\n"));
            assert_eq!(by_its_name.rules.sources[name].kind, name);
            assert!(Effective::of(&config).to_toml().expect("TOML").contains(&format!("kind = \"{name}\"")));
        }
    }

    /// Only what the example file names is there. A kind missing there is still in the manual.
    #[test]
    fn the_example_and_the_readme_name_no_kind_that_is_not_there() {
        let known: Vec<&str> =
            backend::KINDS.iter().map(|kind| kind.name()).chain(source::KINDS.iter().map(|kind| kind.name)).collect();
        for text in [include_str!("../systemd/coalesced.example.toml"), include_str!("../README.md")] {
            let kinds = text.lines().filter_map(|line| line.trim_start().strip_prefix("kind = \"")?.split('"').next());
            let kinds: Vec<&str> = kinds.collect();
            assert!(!kinds.is_empty());
            for kind in kinds {
                assert!(known.contains(&kind), "{kind}");
            }
        }
    }
}
