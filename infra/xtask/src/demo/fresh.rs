//! Makes an event of `events/` one of today and of this machine: new uids (the same for the same, so that pairs still
//! pair), the keys of what runs here, and pictures that lie here.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::secrets;

/// What runs here, as `up.json` tells.
pub(super) struct Here {
    /// The simulator's page, with a slash at its end.
    pub(super) page: String,
    send_key: String,
    callback_token: String,
    group_id: String,
}

impl Here {
    pub(super) fn read(record: &Value) -> Result<Here> {
        let page = text(record, "chat_url").unwrap_or_default();
        if !page.starts_with("http://127.0.0.1:") {
            bail!(
                "`up` speaks in a real chat: a demonstration would be read there by people. Start it without GROUPME_BOT_ID"
            );
        }
        let token = text(record, "callback_url")?.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Here {
            page,
            send_key: text(record, "send_key")?,
            callback_token: token,
            group_id: text(record, "group_id")?,
        })
    }
}

/// A text of `up.json`.
pub(super) fn text(record: &Value, name: &str) -> Result<String> {
    record.get(name).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("up.json has no {name}"))
}

/// Remembers what took the place of what.
pub(super) struct Fresh {
    here: Here,
    uids: BTreeMap<String, String>,
    numbers: BTreeMap<u64, u64>,
    pictures: usize,
}

/// What the events say in the place of secrets, and of the group.
const KEY: &str = "key-of-the-tests";
const TOKEN: &str = "callback-token-of-the-tests";
const GROUP: &str = "90210";

/// Pictures that the simulator has to fetch, in turn. The one that lies with the image service already is the last of
/// them: beside another it would look as if it had come twice.
const SAMPLES: [&str; 3] = ["tower.png", "on-air.gif", "turntable.jpg"];
/// And one that lies with the image service.
const KEPT: &str = "https://i.groupme.com/480x320.jpeg.sample";

impl Fresh {
    pub(super) fn new(here: Here) -> Fresh {
        Fresh { here, uids: BTreeMap::new(), numbers: BTreeMap::new(), pictures: 0 }
    }

    pub(super) fn here(&self) -> &Here {
        &self.here
    }

    /// Replaces what is replaced in any text, whatever its form: UUIDs, also cut short as the room shows them, and
    /// secrets.
    pub(super) fn renew_text(&mut self, text: &str) -> Result<String> {
        let mut renewed = text.replace(TOKEN, &self.here.callback_token).replace(KEY, &self.here.send_key);
        for old in uuids(text) {
            let new = match self.uids.get(&old) {
                Some(new) => new.clone(),
                None => uuid()?,
            };
            renewed = renewed.replace(&old, &new).replace(&footer(&old), &footer(&new));
            self.uids.insert(old, new);
        }
        Ok(renewed)
    }

    /// Replaces what can be told only by the name of its field.
    pub(super) fn renew_fields(&mut self, value: &mut Value) -> Result<()> {
        match value {
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.renew_fields(item)),
            Value::Object(fields) => {
                let said_in_chat = fields.contains_key("sender_type");
                let media_types = fields.clone();
                for (name, value) in fields.iter_mut() {
                    self.renew_field(name, value, &media_types, said_in_chat)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn renew_field(
        &mut self,
        name: &str,
        value: &mut Value,
        beside: &Map<String, Value>,
        said_in_chat: bool,
    ) -> Result<()> {
        match (name, &mut *value) {
            ("uid" | "wbor_message_id", Value::Number(number)) => {
                let old = number.as_u64().context("a uid that is no whole number")?;
                let new = match self.numbers.get(&old) {
                    Some(new) => *new,
                    None => u64::from(u32::from_be_bytes(secrets::random::<4>()?)),
                };
                self.numbers.insert(old, new);
                *value = json!(new);
            }
            // A line that was heard already is heard no more.
            ("id", Value::String(id)) if said_in_chat => {
                *id = format!("9{}", u64::from_be_bytes(secrets::random::<8>()?))
            }
            ("group_id", Value::String(group)) if group == GROUP => group.clone_from(&self.here.group_id),
            // And one that was said long ago is not obeyed.
            ("created_at", Value::Number(time)) if said_in_chat => *time = jiff::Timestamp::now().as_second().into(),
            // Whenever this is sent, it is still worth posting.
            ("expires_at", Value::String(time)) => "2099-01-01T00:00:00Z".clone_into(time),
            ("images", Value::Array(images)) => {
                for url in images.iter_mut().filter(|url| url.is_string()) {
                    self.renew_picture(url, "");
                }
            }
            ("picture_url" | "raw_img" | "url", url @ Value::String(_)) => self.renew_picture(url, ""),
            (name, url @ Value::String(_)) if name.starts_with("MediaUrl") => {
                let media_type = beside.get(&name.replace("Url", "ContentType")).and_then(Value::as_str);
                self.renew_picture(url, media_type.unwrap_or_default());
            }
            (_, value) => self.renew_fields(value)?,
        }
        Ok(())
    }

    fn renew_picture(&mut self, url: &mut Value, media_type: &str) {
        let Some(old) = url.as_str().filter(|url| url.starts_with("https://")) else { return };
        if old.starts_with("https://i.groupme.com/") {
            *url = json!(KEPT);
            return;
        }
        let sample = if media_type.starts_with("video/") {
            "film.mp4"
        } else {
            self.pictures += 1;
            SAMPLES[(self.pictures - 1) % SAMPLES.len()]
        };
        *url = json!(format!("{}_sim/samples/{sample}", self.here.page));
    }
}

/// The footer of a dressed text, in JSON.
fn footer(uid: &str) -> String {
    format!(r"---UID---\n{}\n", short(uid))
}

/// What the room shows of a uid.
pub(super) fn short(uid: &str) -> &str {
    uid.split('-').next().unwrap_or(uid)
}

/// All UUIDs in a text, each once.
fn uuids(text: &str) -> Vec<String> {
    let is_uuid = |word: &str| {
        word.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
    };
    let mut found: Vec<String> = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter(|word| is_uuid(word))
        .map(str::to_owned)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// A random UUID (version 4).
fn uuid() -> Result<String> {
    let mut bytes = secrets::random::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = secrets::hex(&bytes);
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Fresh {
        let record = json!({
            "chat_url": "http://127.0.0.1:9001/", "callback_url": "http://127.0.0.1:9000/groupme/callback/tok",
            "send_key": "our-key", "group_id": "10000001",
        });
        Fresh::new(Here::read(&record).unwrap())
    }

    #[test]
    fn the_same_uid_is_renewed_alike_everywhere_and_differs_the_next_time() {
        let old = "000000c1-5f0e-4c1b-9a43-6d2f8c7e1b0a";
        let text = format!(r#"{{"uid": "{old}", "text": "\"x\"\n---UID---\n000000c1\n---------", "n": 1000000}}"#);
        let mut fresh_one = fresh();
        let (first, again) = (fresh_one.renew_text(&text).unwrap(), fresh_one.renew_text(&text).unwrap());
        assert_eq!(first, again);
        let renewed: Value = serde_json::from_str(&first).unwrap();
        let uid = renewed["uid"].as_str().unwrap();
        assert!(uid != old && renewed["text"].as_str().unwrap().contains(&format!("\n{}\n", short(uid))), "{first}");
        assert_eq!(renewed["n"], 1_000_000);
        assert_ne!(fresh().renew_text(&text).unwrap(), first);
        assert_eq!(uuids(&uuid().unwrap()).len(), 1);
    }

    #[test]
    fn numbers_secrets_groups_and_pictures_become_those_of_this_machine() {
        let mut fresh = fresh();
        assert_eq!(fresh.renew_text("Bearer key-of-the-tests").unwrap(), "Bearer our-key");
        assert_eq!(fresh.renew_text("/groupme/callback/callback-token-of-the-tests").unwrap(), "/groupme/callback/tok");
        let mut value = json!({
            "uid": 4711, "group_id": "90210", "images": ["https://camera.example.org/now.jpg", null, "https://i.groupme.com/1x1.gif.a"],
            "MediaUrl0": "https://api.twilio.com/ME1", "MediaContentType0": "image/jpeg",
            "MediaUrl1": "https://api.twilio.com/ME2", "MediaContentType1": "video/mp4",
            "nested": [{"wbor_message_id": 4711, "id": "17", "sender_type": "user"}, {"id": "kept"}],
        });
        fresh.renew_fields(&mut value).unwrap();
        assert_ne!(value["uid"], 4711);
        assert_eq!(value["nested"][0]["wbor_message_id"], value["uid"]);
        assert!(value["nested"][0]["id"] != "17" && value["nested"][1]["id"] == "kept");
        assert_eq!(value["group_id"], "10000001");
        let sample = |name: &str| json!(format!("http://127.0.0.1:9001/_sim/samples/{name}"));
        assert_eq!(value["MediaUrl0"], sample("tower.png"));
        assert_eq!(value["MediaUrl1"], sample("film.mp4"));
        assert_eq!(value["images"], json!([sample("on-air.gif"), null, KEPT]));
    }

    #[test]
    fn nothing_is_demonstrated_in_a_real_chat() {
        let record =
            json!({"chat_url": "https://web.groupme.com/", "callback_url": "", "send_key": "", "group_id": ""});
        assert!(Here::read(&record).is_err());
    }
}
