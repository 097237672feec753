//! The words of `coalesced init`: the commented configuration and the steps that are left to a person.

use std::fmt::Write;
use std::path::Path;

use super::{Facts, IMAGE_EXAMPLE};
use crate::config::TRIGGER_URL_PLACEHOLDER;

/// What stands for the daemon's address until it is known.
const ADDRESS_EXAMPLE: &str = "https://YOUR-ADDRESS";

/// The configuration file.
pub(super) fn configuration(facts: &Facts) -> String {
    let Facts { image, github_secret, phone_token, admin_token, .. } = facts;
    let public_url = match &facts.public_url {
        Some(url) => format!("public_url = {}", quoted(url)),
        None => "# public_url = \"https://builds.example.org\"".to_owned(),
    };
    let repository = quoted(&facts.repository);
    let branch = quoted(&facts.branch);
    let branch_glob = quoted(&globset::escape(&facts.branch));
    let trigger_url = quoted(facts.trigger_url.as_deref().unwrap_or(TRIGGER_URL_PLACEHOLDER));
    format!(
        r#"# The configuration of coalesced. It holds secrets: keep it readable by its owner alone (chmod 600).
# 'coalesced check' says whether it is right and shows every default.

# Where it listens. Put a reverse proxy with TLS before it: secrets come in here.
listen = "127.0.0.1:8484"

# The address under which the outside reaches it; receipts link to it.
{public_url}

[defaults]
# A build starts when nothing was pushed for this long …
quiet = "30s"
# … but never later than this after the first push that waits.
max_wait = "10m"

[image."{image}"]
# Pushes to this repository ask for builds of the image.
repository = {repository}
branches = [{branch_glob}]
# tags = ["v*"]
# A private repository needs a token that may read it, so that pushes which never arrive are found, too.
# remote_token = {{ file = "remote-token" }}

[image."{image}".backend]
kind = "docker_hub"
# The URL of the build trigger, from Docker Hub. Whoever knows it can start builds.
trigger_url = {trigger_url}
# With a login it sees what really runs; without, starts and ends are assumed.
# username = "your-docker-hub-name"
# token = {{ file = "docker-hub-token" }}

# GitHub's webhook: POST /hooks/github
[source.github]
secrets = ["{github_secret}"]

# A button for the phone: POST /buttons/phone
[button.phone]
token = "{phone_token}"
image = "{image}"
branch = {branch}

# For the page and the command line.
[token.admin]
secret = "{admin_token}"
scope = "admin"
"#
    )
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// What to do on three web sites; each secret stands here once.
pub(super) fn next_steps(facts: &Facts, file: &Path) -> String {
    let Facts { image, repository, github_secret, phone_token, .. } = facts;
    let file = file.display();
    let address = facts.public_url.as_deref().unwrap_or(ADDRESS_EXAMPLE);
    let mut text = format!("Wrote {file}. It holds secrets, and only you can read it.\n");
    if facts.public_url.is_none() {
        let _infallible =
            writeln!(text, "Below, {ADDRESS_EXAMPLE} stands for the address under which this daemon is reached.");
    }
    if image == IMAGE_EXAMPLE {
        let _infallible = writeln!(text, "Put your image's name in the place of {image}, there and below.");
    }
    let trigger_step = if facts.trigger_url.is_some() {
        "   - The build trigger's URL is in the configuration already.".to_owned()
    } else {
        format!(
            "   - Under Build triggers, make one, and paste its URL into {file}\n     \
             in the place of {TRIGGER_URL_PLACEHOLDER}."
        )
    };
    let _infallible = write!(
        text,
        r"
1. GitHub: https://{repository}/settings/hooks, Add webhook

   Payload URL    {address}/hooks/github
   Content type   application/json
   Secret         {github_secret}
   Events         Just the push event

2. Docker Hub: the page of {image}, Builds, Configure automated builds

{trigger_step}
   - Switch Autobuild off for every build rule. Else each push starts a build behind this daemon's back.
   - In GitHub's list of webhooks, delete the one to hub.docker.com (or cloud.docker.com) for the same reason.
     It comes back when the automated builds are saved again: look once more then.
   - To let the daemon see its builds, put your user name and an access token beside trigger_url.

3. IFTTT: a new applet, If Button widget, Then Webhooks, Make a web request

   URL                  {address}/buttons/phone
   Method               POST
   Content Type         application/json
   Additional Headers   Authorization: Bearer {phone_token}
   Body                 (empty)

Then: coalesced check --config {file}
      coalesced serve --config {file}
"
    );
    text
}
