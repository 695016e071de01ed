//! What a story says: messages of one to three parts, each word of which is said only once in all.
use std::time::Duration;

use serde_json::{Value, json};
use talkback::broker::Props;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::chance::Chance;
use super::emulator::client;
use super::works::{PATIENCE, Works, room};
use crate::station::KEY;

/// Words of messages with one, two and three parts.
const WORDS: [u64; 3] = [8, 150, 240];

/// The door a message goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    Queue,
    Http,
}

/// One message.
#[derive(Clone)]
pub struct Message {
    pub uid: String,
    pub room: usize,
    pub door: Door,
    pub words: Vec<String>,
    /// Where its picture lies, if it brings one.
    pub picture: Option<String>,
    pub priority: &'static str,
}

impl Message {
    /// The message of this number.
    pub fn new(number: usize, rooms: usize, chance: &mut Chance) -> Self {
        let count = chance.one_of(&WORDS);
        Self {
            uid: chance.uuid(),
            room: usize::try_from(chance.within(0..rooms as u64)).unwrap(),
            door: chance.one_of(&[Door::Queue, Door::Queue, Door::Http]),
            words: (0..count).map(|word| format!("m{number:03}w{word:03}")).collect(),
            picture: None,
            priority: chance.one_of(&["normal", "normal", "normal", "normal", "normal", "high", "urgent"]),
        }
    }

    /// One of a part, mostly through the queue: a backlog that a quick chat is busy with.
    pub fn short(number: usize, rooms: usize, chance: &mut Chance) -> Self {
        let mut message = Self::new(number, rooms, chance);
        if !number.is_multiple_of(8) {
            message.words.truncate(4);
            message.door = Door::Queue;
        }
        message
    }

    /// The same as an alarm, or surely none.
    pub fn urgent(self, urgent: bool) -> Self {
        let priority = match self.priority {
            _ if urgent => "urgent",
            "urgent" => "normal",
            other => other,
        };
        Self { priority, ..self }
    }

    pub fn priority(&self) -> &'static str {
        self.priority
    }

    /// The same, with a picture.
    pub fn with_picture(self, url: String) -> Self {
        Self { picture: Some(url), ..self }
    }

    pub fn body(&self) -> Value {
        json!({
            "images": self.picture.iter().collect::<Vec<_>>(),
            "body": self.words.join(" "), "source": "standard", "wbor_message_id": self.uid,
            "rooms": [room(self.room)], "priority": self.priority,
        })
    }

    /// Sends it until its door has said yes, as a producer would.
    pub async fn send(self, works: &Works) {
        match self.door {
            Door::Queue => works.publish("source.standard", &self.body(), &Props::default()).await,
            Door::Http => self.post(&works.emulator.url()).await,
        }
    }

    /// An answer that does not come is asked for again: a killed function gives none.
    async fn post(&self, base: &str) {
        let (client, end) = (client(), Instant::now() + PATIENCE);
        let mut again = interval(Duration::from_millis(100));
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            again.tick().await;
            let request = client.post(format!("{base}/send")).bearer_auth(KEY).timeout(Duration::from_secs(6));
            match request.json(&self.body()).send().await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => {
                    let status = answer.status();
                    assert!(status.is_server_error(), "{status}: {}", answer.text().await.unwrap_or_default());
                }
                Err(_) => {}
            }
            assert!(Instant::now() < end, "POST /send never said yes");
        }
    }
}
