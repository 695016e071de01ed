//! `up.json`, by which other programs find what runs, and what is told to the person who started it.

use std::fs;

use anyhow::Result;
use serde_json::{Value, json};

use crate::{checkout, progress::say, secrets};

/// Where everything answers.
pub(super) struct Addresses {
    pub(super) send_url: String,
    pub(super) send_key: String,
    pub(super) callback_url: String,
    /// The page of the simulator; `None` where another GroupMe is used.
    pub(super) chat_url: Option<String>,
    pub(super) group_id: String,
    pub(super) amqp_url: String,
    pub(super) database_url: String,
}

/// The file; only its owner can read it.
pub(super) fn file() -> std::path::PathBuf {
    checkout::station().join("up.json")
}

/// Removes the file, if it is there.
pub(super) fn remove() {
    drop(fs::remove_file(file()));
}

impl Addresses {
    /// Writes the file, in one rename.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(&self) -> Result<()> {
        let record = json!({
            "send_url": self.send_url,
            "send_key": self.send_key,
            "callback_url": self.callback_url,
            "chat_url": self.chat_url,
            "group_id": self.group_id,
            "amqp_url": self.amqp_url,
            "database_url": self.database_url,
        });
        secrets::write_private(&file(), &format!("{record:#}\n"))
    }

    /// Says where everything is, and three commands to try.
    pub(super) fn announce(&self) {
        let chat = self.chat_url.as_deref().unwrap_or("GroupMe itself");
        say("\nTalkback runs. Ctrl-C stops it.\n");
        say(format!("  the chat        {chat}"));
        say(format!("  POST /send      {}", self.send_url));
        say(format!("  as GroupMe      {}v3/bots/post (its bot_id: the key)", self.send_url.trim_end_matches("send")));
        say(format!("  health          {}", self.send_url.trim_end_matches("send").to_owned() + "health"));
        say(format!("  a key           {}", self.send_key));
        say(format!("  logs            {}", super::lines::folder().display()));
        say(format!("  all addresses   {} (the database's and the broker's with their passwords)", file().display()));
        say("\nThree commands to try, in another terminal, in this folder:\n");
        say("  # a message over HTTP");
        say(format!(
            "  curl -sS {} -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' -d '{}' -w '\\n'\n",
            self.send_url,
            self.send_key,
            json!({"body": "Hello from the control room"})
        ));
        say("  # a listener's text, as the Twilio front end publishes it");
        say(format!("  cargo xtask publish source.twilio.sms.incoming '{}'\n", listener_text()));
        match &self.chat_url {
            Some(page) => {
                say("  # a line typed in the chat (or type it in the page)");
                let line = json!({"group_id": self.group_id, "user_id": "1001", "name": "Visitor", "text": "!ping"});
                say(format!("  curl -sS {page}_sim/say -H 'Content-Type: application/json' -d '{line}' -w '\\n'\n"));
            }
            None => say("  # and type !ping in the chat\n"),
        }
        if self.chat_url.as_ref().is_some_and(|page| page.starts_with("http://127.0.0.1:")) {
            say("Or one of everything that can arrive, with what to look for: cargo xtask demo\n");
        }
    }
}

/// A text of a listener, with the fields that the Twilio front end sends.
fn listener_text() -> Value {
    json!({
        "MessageSid": "SM00000000000000000000000000000001", "From": "+12025550123", "To": "+12025550100",
        "Body": "Could you play something by Nina Simone?", "NumMedia": "0", "SenderName": "Unknown",
        "FromCity": "BRUNSWICK", "FromState": "ME", "FromCountry": "US", "source": "twilio", "type": "sms.incoming",
    })
}
