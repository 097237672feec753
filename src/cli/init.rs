//! `coalesced init`: writes a first configuration with fresh secrets, and prints what to paste where.
//!
//! Only the owner can read the file, from the moment it is created. Each secret is printed once, here, and nowhere
//! else.

mod text;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::locate::Reach;
use super::terminal::OutputError;
use super::{CliError, Run};
use crate::config::{self, backend::docker_hub};
use crate::model::{GitRef, ImageName};

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// The image to build, as it is called on Docker Hub
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub image: Option<ImageName>,
    /// The repository to build from [default: the image's name at github.com]
    #[arg(long, value_name = "HOST/OWNER/NAME")]
    pub repository: Option<String>,
    /// The branch to build
    #[arg(long, value_name = "BRANCH", default_value = "main")]
    pub branch: String,
    /// The URL at which GitHub and your phone reach this daemon
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// The URL of Docker Hub's build trigger, if you have it already; treat it like a password
    #[arg(long, value_name = "URL")]
    pub trigger_url: Option<String>,
    /// Where to write the configuration
    #[arg(long, value_name = "FILE", default_value = config::FILE_HERE)]
    pub file: PathBuf,
    /// Replace the file if it exists; the secrets in it are lost
    #[arg(long)]
    pub force: bool,
}

/// The random bytes in a secret: as many as the SHA-256 that GitHub's signature is made with.
const SECRET_BYTES: usize = 32;
/// Read and write for the owner, nothing for others.
const OWNER_ONLY: u32 = 0o600;
/// Why an existing file is left alone.
const EXISTS: &str = "it exists already; --force replaces it, and the secrets in it are lost";
/// Placeholder for the image's name.
const IMAGE_EXAMPLE: &str = "namespace/name";

/// Writes the file, then prints what to paste to standard output.
impl Run for Args {
    const NEEDS_DAEMON: bool = false;

    async fn run(self, _: &Reach) -> Result<(), CliError> {
        init(&self, &mut io::stdout().lock())
    }
}

/// The values filled into the file and the printed text.
struct Facts {
    image: String,
    repository: String,
    branch: String,
    public_url: Option<String>,
    trigger_url: Option<String>,
    github_secret: String,
    phone_token: String,
    admin_token: String,
}

fn init(args: &Args, out: &mut impl Write) -> Result<(), CliError> {
    let facts = facts(args)?;
    write_file(&args.file, &text::configuration(&facts), args.force)?;
    out.write_all(text::next_steps(&facts, &args.file).as_bytes()).and_then(|()| out.flush()).map_err(OutputError)?;
    Ok(())
}

/// Checks every argument by the configuration's rules, so that the written file can be loaded.
fn facts(args: &Args) -> Result<Facts, CliError> {
    let usage = |option: &str, why: String| CliError::Usage(format!("{option}: {why}"));
    let image = args.image.as_ref().map_or(IMAGE_EXAMPLE, ImageName::as_str).to_owned();
    let repository = args.repository.clone().unwrap_or_else(|| format!("github.com/{image}"));
    let repository = config::repository(&repository).map_err(|why| usage("--repository", why))?;
    GitRef::branch(&args.branch).map_err(|why| usage("--branch", why.to_string()))?;
    let public_url = args.public_url.as_deref().map(config::public_url).transpose();
    if let Some(url) = &args.trigger_url {
        docker_hub::trigger_url(url, args.image.as_ref()).map_err(|why| usage("--trigger-url", why))?;
    }
    Ok(Facts {
        image,
        repository,
        branch: args.branch.clone(),
        public_url: public_url.map_err(|why| usage("--public-url", why))?,
        trigger_url: args.trigger_url.clone(),
        github_secret: fresh_secret()?,
        phone_token: fresh_secret()?,
        admin_token: fresh_secret()?,
    })
}

fn fresh_secret() -> Result<String, CliError> {
    let failed = |error| CliError::Io {
        what: "failed to get random bytes for secrets".to_owned(),
        source: io::Error::other(error),
    };
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(hex::encode(bytes))
}

/// Creates the complete file or nothing; an existing one is replaced by a rename, and only if forced.
fn write_file(path: &Path, content: &str, force: bool) -> Result<(), CliError> {
    let failed = |source| CliError::Io { what: format!("failed to write {}", path.display()), source };
    if !force {
        return create(path, content).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => failed(io::Error::new(source.kind(), EXISTS)),
            _ => failed(source),
        });
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    create(&beside, content).map_err(failed)?;
    fs::rename(&beside, path).map_err(|source| {
        // Best effort: the error to report is the rename's.
        let _ = fs::remove_file(&beside);
        failed(source)
    })
}

/// Creates a file that must not exist, not even as a link; at no moment can anyone but its owner open it.
fn create(path: &Path, content: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
    let written = file.write_all(content.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Best effort: half a configuration would only be in the way of the next attempt.
        let _ = fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use clap::Parser;

    use super::*;
    use crate::config::{Config, ConfigError};

    const TRIGGER: &str = "https://hub.docker.com/api/build/v1/source/test-source/trigger/test-token-trigger/call/";

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str], file: &Path) -> Args {
        let mut args = Line::try_parse_from([&["init"], line].concat()).expect("arguments").args;
        file.clone_into(&mut args.file);
        args
    }

    fn run_in(line: &[&str], file: &Path) -> Result<String, CliError> {
        let mut out = Vec::new();
        init(&args(line, file), &mut out)?;
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn with_a_trigger_url_the_file_is_right_as_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("c.toml");
        let line = [
            &["--image", "mrraph/blog", "--repository", "github.com/MrRaph/blog", "--branch", "release/\"1\""][..],
            &["--public-url", "https://builds.example.org/", "--trigger-url", TRIGGER],
        ];
        let printed = run_in(&line.concat(), &file).expect("written");
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);

        let config = Config::load(&file).expect("a configuration");
        let image = &config.rules.images[&"mrraph/blog".parse().expect("an image")];
        assert_eq!(image.repository.as_deref(), Some("github.com/mrraph/blog"));
        assert_eq!(config.rules.buttons["phone"].git_ref.short(), "release/\"1\"");
        assert!(image.branches.as_ref().expect("branches").is_match("release/\"1\""));
        for secret in [&config.rules.sources["github"].secrets[0], &config.rules.buttons["phone"].token] {
            assert_eq!(secret.expose().len(), 2 * SECRET_BYTES);
            assert_eq!(printed.matches(secret.expose()).count(), 1, "each secret is printed once");
        }
        assert_ne!(config.rules.sources["github"].secrets[0].expose(), config.rules.buttons["phone"].token.expose());
        assert!(printed.contains("https://builds.example.org/hooks/github"), "{printed}");
        assert!(printed.contains("https://builds.example.org/buttons/phone"), "{printed}");
        assert!(!printed.contains(TRIGGER), "what the operator knows isn't shown");
    }

    #[test]
    fn until_the_trigger_url_is_pasted_check_says_where_to_get_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("c.toml");
        run_in(&[], &file).expect("written");
        let Err(ConfigError::Mistakes(mistakes)) = Config::load(&file) else { panic!("it must be refused") };
        let [mistake] = mistakes.as_slice() else { panic!("{mistakes:?}") };
        assert!(mistake.text.contains("Build triggers"), "{mistake}");
        let text = fs::read_to_string(&file).expect("a file");
        assert!(text.lines().nth(mistake.line - 1).expect("the line").starts_with("trigger_url"));
    }

    #[test]
    fn a_file_that_exists_is_replaced_only_when_forced() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("c.toml");
        fs::write(&file, "mine").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("permissions");
        let refused = run_in(&[], &file).expect_err("it exists");
        assert_eq!((refused.exit_code(), fs::read_to_string(&file).expect("a file")), (74, "mine".to_owned()));
        run_in(&["--force"], &file).expect("forced");
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_wrong_argument_is_a_usage_error_and_writes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("c.toml");
        let cases = [
            ["--repository", "blog"],
            ["--branch", "a..b"],
            ["--public-url", "ftp://x"],
            ["--trigger-url", "http://hub.docker.com/test-token-trigger"],
        ];
        for line in cases {
            let refused = run_in(&line, &file).expect_err(line[1]);
            assert_eq!(refused.exit_code(), 2, "{refused}");
            assert!(refused.to_string().starts_with(line[0]), "{refused}");
            assert!(!refused.to_string().contains("test-token"), "{refused}");
        }
        assert!(!file.exists());
    }
}
