//! The chat as console: who may, what is done once, what is refused, and who is banned. Through the real callback, queue
//! and database.
mod acting;
mod bans;
mod hostile;
mod lists;
mod mutes;
mod proofs;
mod published;
mod races;
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
            let later = lines.iter().skip_while(|one| one.id != line).filter(|one| one.sender_type == SenderType::Bot);
            // What somebody sent bears its uid.
            later.filter_map(|one| one.text.clone()).find(|text| !text.contains("---UID---"))
        };
        if let Err(instead) = self.sim.wait_for(|lines| answer(lines).is_some(), PATIENCE).await {
            panic!("an answer to {text}: {instead}");
        }
        answer(&self.sim.lines(GROUP)).unwrap()
    }

    /// A member types that, and it is done; what is answered is not waited for.
    pub async fn done(&self, (id, name): (&str, &str), text: &str) {
        let before = self.column("select count(*)::text from commands").await[0].parse::<usize>().unwrap();
        self.sim.say(GROUP, id, name, text).await;
        let count = (before + 1).to_string();
        self.until("select count(*)::text from commands where state = 'told'", &[&count]).await;
    }

    /// Keeps the accept of the message of this uid waiting in the middle, until what is given is rolled back: it has seen
    /// of the rest of the database all that it will see.
    pub async fn hold_up(&self, uid: &str) -> tokio_postgres::Client {
        let db = self.db().await;
        db.batch_execute("begin").await.unwrap();
        let same = "insert into messages (uid, given_uid, short_uid, source, door, verdict, priority, accepted_by)
                    values ($1, $1, $1, 'source.x', 'http', 'blocked', 0, 'x')";
        db.execute(same, &[&uid]).await.unwrap();
        db
    }

    /// Waits until so many statements wait for a lock.
    pub async fn locked(&self, count: &str) {
        let waiting = "select count(*)::text from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'";
        self.until(waiting, &[count]).await;
    }

    /// What came of the commands, in their order.
    pub async fn outcomes(&self) -> Vec<String> {
        self.column("select coalesce(command, '?') || ' ' || coalesce(outcome, state) from commands order by at").await
    }
}
