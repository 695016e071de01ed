//! The chat as console: who may, what is done once, what is refused, and who is banned. Through the real callback, queue
//! and database.
mod acting;
mod bans;
mod hostile;
mod mutes;
mod told;

use groupme_sim::{Line, SenderType};
use serde_json::{Value, json};

use crate::station::{GROUP, MEMBER, PATIENCE, Setup, Station, usual_rooms};

pub const ADA: (&str, &str) = ("7", "Ada");
pub const BO: (&str, &str) = ("8", "Bo");

/// A listener's text, from this number.
pub fn text_from(number: &str, uid: &str, text: &str) -> Value {
    let body = json!({
        "MessageSid": "SM1", "From": number, "To": "+12075550199", "Body": text, "NumMedia": "0",
        "FromCity": "PORTLAND", "FromState": "ME", "FromZip": "04101", "FromCountry": "US",
        "SenderName": "Grace Hopper", "wbor_message_id": uid, "source": "twilio", "type": "sms.incoming",
    });
    Station::message("source.twilio.sms.incoming", &body)
}

/// A station with more in its configuration.
pub fn with(tables: &str) -> Setup {
    Setup { rooms: format!("{}\n{tables}\n", usual_rooms("5ms", 50)), ..Setup::default() }
}

/// The same, and a member's token: what acts is proved first.
pub fn proving(tables: &str) -> Setup {
    Setup { vars: vec![("GROUPME_ACCESS_TOKEN", MEMBER.to_owned())], ..with(tables) }
}

impl Station {
    /// A member types that, and the bot answers.
    pub async fn typed(&self, (id, name): (&str, &str), text: &str) -> String {
        let line = self.sim.say(GROUP, id, name, text).await;
        let answer = |lines: &[Line]| {
            let mut later = lines.iter().skip_while(|one| one.id != line);
            later.find(|one| one.sender_type == SenderType::Bot).and_then(|one| one.text.clone())
        };
        if let Err(instead) = self.sim.wait_for(|lines| answer(lines).is_some(), PATIENCE).await {
            panic!("an answer to {text}: {instead}");
        }
        answer(&self.sim.lines(GROUP)).unwrap()
    }

    /// What came of the commands, in their order.
    pub async fn outcomes(&self) -> Vec<String> {
        self.column("select coalesce(command, '?') || ' ' || coalesce(outcome, state) from commands order by at").await
    }
}
