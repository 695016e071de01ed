//! What a simulated GroupMe is made of: its bots, the member's token, its port. Also the shape of the binary's
//! configuration file.

use serde::Deserialize;

/// How to start a [`Sim`](crate::Sim).
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimConfig {
    /// The bots; the groups are those that the bots are in.
    #[serde(default)]
    pub bots: Vec<Bot>,
    /// The member's token that reads rooms and uploads pictures; without one, nobody may.
    #[serde(default)]
    pub access_token: Option<String>,
    /// The port on 127.0.0.1; 0 means any free one.
    #[serde(default)]
    pub port: u16,
}

/// A bot in a group.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bot {
    /// The secret by which the bot posts; it appears in no callback.
    pub bot_id: String,
    /// The group that it is in.
    pub group_id: String,
    /// The name under which its lines appear.
    pub name: String,
    /// Where every line of the group is sent to; plain http only.
    #[serde(default)]
    pub callback_url: Option<String>,
}

/// What is wrong with a callback URL, if something is.
pub(crate) fn check_callback_url(url: &str) -> Result<(), &'static str> {
    if url.starts_with("http://") { Ok(()) } else { Err("a callback URL must be plain http") }
}
