//! Private text: what a command answers may hold a person's number or name. The room shows it; in the database it is
//! sealed, and what was said and heard of it keeps its length and a keyed hash, by which a line confirms it.
use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Relay;
use super::accept::fingerprint;
use super::plan::{Door, Offer};
use crate::chat::Line;
use crate::compose::Draft;
use crate::seal::Place;
use crate::store::lanes::Claimed;

/// Whether what that offer says is only for the room.
pub(super) fn is_private(offer: &Offer) -> bool {
    offer.door == Door::Chat
}

fn row(uid: &str, room: &str, part: usize) -> String {
    format!("{uid}/{room}/{part}")
}

impl Relay {
    /// What a line in the room is matched by, where its text is private: a keyed hash.
    pub(crate) fn private_fingerprint(&self, text: &str) -> Vec<u8> {
        self.settings.lookup.hash("part", text.trim().as_bytes())
    }

    /// By which parts a line may be one of: shown or private.
    pub(crate) fn fingerprints(&self, line: &Line) -> Vec<Vec<u8>> {
        vec![line.fingerprint(), self.private_fingerprint(line.text())]
    }

    /// A part as the statements take it, with its text sealed. A picture is not private.
    pub(super) fn private_part(&self, uid: &str, room: &str, n: usize, draft: &Draft) -> Value {
        if draft.text.is_empty() {
            return super::accept::part(draft);
        }
        let sealed = self.sealed("parts", "text_sealed", &row(uid, room, n), draft.text.as_bytes());
        json!({
            "kind": draft.kind.as_str(), "text": "", "text_sealed": STANDARD.encode(sealed),
            "picture_url": draft.picture_url, "fingerprint": STANDARD.encode(self.private_fingerprint(&draft.text)),
        })
    }

    /// What a claimed part says; `None` where it is sealed with a key that is not there.
    pub(super) fn text_of<'c>(&self, claimed: &'c Claimed) -> Option<Cow<'c, str>> {
        let Some(sealed) = &claimed.text_sealed else { return Some(Cow::Borrowed(&claimed.text)) };
        let row = row(&claimed.uid, &claimed.room, usize::try_from(claimed.part).ok()?);
        let place = Place { table: "parts", column: "text_sealed", row: &row };
        let plain = self.settings.data_keys.open(place, sealed).ok()?;
        String::from_utf8(plain).ok().map(Cow::Owned)
    }

    /// What a line must have to be this part.
    pub(super) fn fingerprint_of(&self, claimed: &Claimed, text: &str) -> Vec<u8> {
        match claimed.text_sealed {
            Some(_) => self.private_fingerprint(text),
            None => fingerprint(text, claimed.picture_url.as_deref()),
        }
    }

    /// What is written down of a request: of private text only its length, in code points, and its keyed hash.
    pub(super) fn request_of(&self, claimed: &Claimed, request: Value) -> Value {
        let (Some(_), Some(text)) = (&claimed.text_sealed, request["text"].as_str()) else { return request };
        let hash = STANDARD.encode(self.private_fingerprint(text));
        json!({ "text_length": text.chars().count(), "text_hash": hash, "picture_url": request["picture_url"] })
    }
}
