//! The text of `coalesced init`: the commented configuration, and the steps for a person to take.

use std::fmt::Write;
use std::path::Path;

use super::{Facts, IMAGE_EXAMPLE};
use crate::config::backend::docker_hub::TRIGGER_URL_PLACEHOLDER;

/// Placeholder for the daemon's URL.
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
        r#"# Configuration of coalesced. It holds secrets: only its owner may read it (chmod 600).
# 'coalesced check' finds mistakes and shows all defaults.

# Put an HTTPS reverse proxy in front of this address: requests carry secrets.
listen = "127.0.0.1:8484"

# The URL at which others reach it; used in links to receipts.
{public_url}

[defaults]
# Debounce: a build starts when nothing was pushed for this long …
quiet = "30s"
# … but at the latest this long after the first push that is waiting.
max_wait = "10m"

[image."{image}"]
# Pushes to this repository build the image.
repository = {repository}
branches = [{branch_glob}]
# tags = ["v*"]
# To find missed pushes, a private repository needs a token that may read it.
# remote_token = {{ file = "remote-token" }}

[image."{image}".backend]
kind = "docker_hub"
# The URL of Docker Hub's build trigger. Treat it like a password: anyone who knows it can start builds.
trigger_url = {trigger_url}
# With a login it sees Docker Hub's builds; without one, their start and end are estimated.
# username = "your-docker-hub-name"
# token = {{ file = "docker-hub-token" }}

# GitHub's webhook: POST /hooks/github
[source.github]
secrets = ["{github_secret}"]

# A button on a phone: POST /buttons/phone
[button.phone]
token = "{phone_token}"
image = "{image}"
branch = {branch}

# Full access to the API (/v1) from other machines.
[token.admin]
secret = "{admin_token}"
scope = "admin"
"#
    )
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// What to do on three web sites; each secret is printed once.
pub(super) fn next_steps(facts: &Facts, file: &Path) -> String {
    let Facts { image, repository, github_secret, phone_token, .. } = facts;
    let file = file.display();
    let address = facts.public_url.as_deref().unwrap_or(ADDRESS_EXAMPLE);
    let mut text = format!("Wrote {file}. It holds secrets; only you can read it.\n");
    if facts.public_url.is_none() {
        let _infallible =
            writeln!(text, "Below, replace {ADDRESS_EXAMPLE} with the URL at which others reach this daemon.");
    }
    if image == IMAGE_EXAMPLE {
        let _infallible = writeln!(text, "Replace {image} with the name of your image, in the file and below.");
    }
    let trigger_step = if facts.trigger_url.is_some() {
        "   - The trigger URL is in the configuration already.".to_owned()
    } else {
        format!(
            "   - Under Build triggers, create one and paste its URL into {file}\n     \
             in place of {TRIGGER_URL_PLACEHOLDER}."
        )
    };
    let _infallible = write!(
        text,
        r"
1. GitHub: https://{repository}/settings/hooks > Add webhook

   Payload URL    {address}/hooks/github
   Content type   application/json
   Secret         {github_secret}
   Events         Just the push event

2. Docker Hub: repository {image} > Builds > Configure automated builds

{trigger_step}
   - Switch Autobuild off for every build rule. Otherwise Docker Hub builds each push itself, too.
   - For the same reason, delete the webhook to hub.docker.com (or cloud.docker.com) at GitHub.
     It comes back each time you save the automated builds: delete it again then.
   - To let the daemon see its builds, add your username and an access token next to trigger_url.

3. IFTTT: new applet > If: Button widget > Then: Webhooks, Make a web request

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
