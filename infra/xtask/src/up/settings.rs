//! What the functions are told by their environment. What the caller has set wins; what it has not is made, and
//! kept in `secrets.toml` if it is secret. Only the database and the broker are always our own: a stray
//! DATABASE_URL must not have this machine's experiments migrated into a station's records.

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::{checkout, key, progress::say, secrets, secrets::Secrets};

/// The group of the simulated chat.
const GROUP: &str = "10000001";

/// What is said to programs. No `Debug`: most of it is secret.
pub(super) struct Settings {
    /// The functions' environment beside what they inherit.
    pub(super) environment: BTreeMap<String, String>,
    /// The key that may send everything.
    pub(super) send_key: String,
    /// The last segment of the callback's URL.
    pub(super) callback_token: String,
    /// The simulator's configuration, unless another GroupMe is used.
    pub(super) simulated: Option<Simulated>,
}

/// The simulated chat.
pub(super) struct Simulated {
    pub(super) bot_id: String,
    pub(super) group_id: String,
    pub(super) access_token: String,
}

/// A variable that the caller has set and not left empty.
pub(super) fn given(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// The configuration that is used where none is given.
fn example() -> PathBuf {
    checkout::root().join("infra/talkback.toml")
}

/// The configuration with this host in `[media] allow`; `None` if that is not empty.
fn allowing(text: &str, host: &str) -> Option<String> {
    let (before, after) = text.split_once("\nallow = []")?;
    Some(format!(
        "# infra/talkback.toml as `cargo xtask up` found it, with pictures of the simulator allowed.\n\
         {before}\nallow = [\"{host}\"]{after}"
    ))
}

impl Settings {
    /// Reads what is given and makes the rest.
    ///
    /// # Errors
    /// If what is given cannot go together, or secrets cannot be kept.
    pub(super) fn make(secrets: &mut Secrets) -> Result<Settings> {
        for name in ["DATABASE_URL", "AMQP_URL", "DATABASE_CA_FILE"] {
            if given(name).is_some() {
                say(format!("{name} is set, and not used: `up` has a database and a broker of its own."));
            }
        }
        let mut environment = BTreeMap::new();
        let mut set = |name: &str, value: String| environment.insert(name.to_owned(), value);

        let send_key = secrets.get_or_make("send_key", secrets::token)?;
        let allowed = key::Allowed {
            sources: ["standard", "standard.*", "ups", "ups.*", "demo", "demo.*"].map(str::to_owned).into(),
            urgent: true,
            rooms: true,
            ok200: false,
        };
        let ours = key::entry("up", &send_key, &allowed);
        set(
            "TALKBACK_SEND_KEYS",
            given("TALKBACK_SEND_KEYS").map_or(ours.clone(), |theirs| format!("{theirs},{ours}")),
        );

        set("TALKBACK_CONFIG", given("TALKBACK_CONFIG").unwrap_or_else(|| example().to_string_lossy().into_owned()));
        set("RUST_LOG", given("RUST_LOG").unwrap_or_else(|| "info".to_owned()));
        let mut given_or_made = |name: &str, make: fn() -> Result<String>| match given(name) {
            Some(value) => Ok(value),
            None => secrets.get_or_make(&name.to_lowercase(), make),
        };
        set("TALKBACK_DATA_KEYS", given_or_made("TALKBACK_DATA_KEYS", || Ok(format!("k1:{}", secrets::key()?)))?);
        set("TALKBACK_LOOKUP_KEY", given_or_made("TALKBACK_LOOKUP_KEY", secrets::key)?);
        let tokens = given_or_made("GROUPME_CALLBACK_TOKEN", secrets::token)?;
        let callback_token = tokens.split(',').map(str::trim).find(|token| !token.is_empty()).unwrap_or("").to_owned();
        set("GROUPME_CALLBACK_TOKEN", tokens);

        let another = given("GROUPME_API_URL").is_some() || given("GROUPME_BOT_ID").is_some();
        let local = given("GROUPME_API_URL").is_none_or(|url| url.starts_with("http://"));
        if another && (!local || given("GROUPME_API_URL").is_none()) {
            let missing: Vec<&str> =
                ["GROUPME_BOT_ID", "GROUPME_GROUP_ID"].into_iter().filter(|name| given(name).is_none()).collect();
            if !missing.is_empty() {
                bail!("the real GroupMe is to be used: then {} must be set too", missing.join(" and "));
            }
        }
        let bot_id = given_or_made("GROUPME_BOT_ID", || Ok(secrets::hex(&secrets::random::<13>()?)))?;
        set("GROUPME_BOT_ID", bot_id.clone());
        let group_id = given("GROUPME_GROUP_ID").unwrap_or_else(|| GROUP.to_owned());
        set("GROUPME_GROUP_ID", group_id.clone());
        let simulated = if another {
            None
        } else {
            let access_token = given_or_made("GROUPME_ACCESS_TOKEN", secrets::token)?;
            set("GROUPME_ACCESS_TOKEN", access_token.clone());
            Some(Simulated { bot_id, group_id, access_token })
        };
        // A proxy for the world is none for our own machine.
        let proxied = given("NO_PROXY").or_else(|| given("no_proxy")).map_or(String::new(), |list| list + ",");
        set("NO_PROXY", format!("{proxied}127.0.0.1,localhost"));
        Ok(Settings { environment, send_key, callback_token, simulated })
    }

    /// Lets the functions fetch pictures from the simulator, which nobody may do from this machine otherwise. A
    /// configuration of the caller's own, or an example that names hosts already, stays as it is.
    ///
    /// # Errors
    /// If the configuration cannot be read or written.
    pub(super) fn allow_pictures_of(&mut self, page: &str) -> Result<()> {
        if given("TALKBACK_CONFIG").is_some() {
            return Ok(());
        }
        let example = example();
        let text = fs::read_to_string(&example).with_context(|| format!("cannot read {}", example.display()))?;
        let host = page.trim_start_matches("http://").trim_end_matches('/');
        let Some(allowing) = allowing(&text, host) else { return Ok(()) };
        let file = checkout::station().join("talkback.toml");
        secrets::write_private(&file, &allowing)?;
        self.set("TALKBACK_CONFIG", file.to_string_lossy());
        Ok(())
    }

    /// Adds what is known only when a server runs.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.insert(name.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_one_that_a_host_can_be_allowed_in() {
        let text = fs::read_to_string(example()).unwrap();
        let allowing_one = allowing(&text, "127.0.0.1:9001").unwrap();
        assert!(allowing_one.contains("\nallow = [\"127.0.0.1:9001\"]"));
        assert_eq!(allowing(&allowing_one, "127.0.0.1:9002"), None, "what is named already stays");
    }
}
