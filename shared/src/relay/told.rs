//! What Twilio's front end tells to do: ban or unban a number. The same as the commands, once for each message.
use serde_json::json;

use super::Relay;
use super::plan::Offer;
use crate::chat::Author;
use crate::json::Object;
use crate::message::Priority;
use crate::route::{Action, Pattern, Route, RoutingKey};
use crate::source::Unreadable;
use crate::store::StoreError;
use crate::store::commands::{Done, Typed};

/// The keys, the fields that name the number, and the commands that do the same.
const TOLD: [(&str, &str, &str); 2] =
    [("source.twilio.ban", "ban_number", "ban"), ("source.twilio.unban", "unban_number", "unban")];

/// Stands for a group in the rows of commands: no group has such a name.
const GROUP: &str = "rabbitmq";

/// Which of them a key is.
fn kind(key: &RoutingKey) -> Option<&'static (&'static str, &'static str, &'static str)> {
    TOLD.iter().find(|(told, ..)| *told == key.as_str())
}

/// The number that is told, if that key tells one: E.164, which is a plus and 2 to 15 digits
/// (<https://www.itu.int/rec/T-REC-E.164>).
///
/// # Errors
/// No such number; the field is named.
pub(super) fn number(key: &RoutingKey, body: &[u8]) -> Result<Option<String>, Unreadable> {
    let Some((_, field, _)) = kind(key) else { return Ok(None) };
    let object = crate::json::parse(body).ok().and_then(Object::new);
    let number = object.and_then(|object| object.word(field)).map(|number| number.trim().to_owned());
    let digits = number.as_deref().and_then(|number| number.strip_prefix('+')).unwrap_or_default();
    if (2..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(number);
    }
    let detail = format!("`{field}` must be a number in E.164, such as +12075550123");
    Err(Unreadable { reason: "bad_field", detail })
}

/// Never posted, whatever the routes say: it is a number, and who it belongs to.
pub(super) fn route(key: &RoutingKey) -> Option<Route> {
    kind(key)?;
    Some(Route {
        pattern: Pattern::parse(key.as_str()).ok()?,
        action: Action::Block,
        rooms: Vec::new(),
        dress: None,
        priority: Priority::Normal,
        age: Priority::Normal.age(),
        patience: None,
    })
}

/// Whether that offer tells to do something: what comes behind it in a batch is accepted when it is done.
pub(super) fn tells(offer: &Offer) -> bool {
    kind(&offer.message.source).is_some()
}

impl Relay {
    /// Does what a stored message tells, once.
    pub(super) async fn obey_told(&self, offer: &Offer) -> Result<(), StoreError> {
        let (key, uid) = (&offer.message.source, offer.message.uid.key());
        let (Some((_, _, command)), Ok(Some(number))) = (kind(key), number(key, &offer.raw)) else { return Ok(()) };
        let by = Author { id: key.as_str().to_owned(), name: "Twilio's front end".to_owned() };
        self.store
            .typed(&Typed {
                group: GROUP,
                line: uid,
                room: "",
                command: Some(command),
                author_hash: &self.settings.lookup.hash("member", by.id.as_bytes()),
                author_sealed: &self.sealed(
                    "commands",
                    "author_sealed",
                    &format!("{GROUP}/{uid}"),
                    json!(by).to_string().as_bytes(),
                ),
            })
            .await?;
        let turn = self.store.begin().await?;
        let done = async {
            if turn.standing(GROUP, uid).await?.state != "due" {
                return Ok(());
            }
            if *command == "ban" {
                self.ban(&turn, (&self.address_hash(&number), Some(&number)), &by, "", None).await?;
            } else {
                let hash = self.address_hash(&number);
                turn.unban(&hash, &self.lifted_by(&hash, &by)).await?;
            }
            turn.done(GROUP, uid, &Done { outcome: "done", reply_sealed: None }).await
        }
        .await;
        turn.end(done).await
    }
}
