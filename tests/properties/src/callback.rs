//! GroupMe's callback, through its door: a line of one of our groups or a refusal, and never a bot that is obeyed.
use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use groupme_callback::{Refusal, open};
use lambda_http::http::Method;
use lambda_http::{Body, Request, RequestExt as _};
use serde_json::Value;
use talkback::chat::Line;
use talkback::command;
use talkback::config::Settings;

const GROUP: &str = "90210";
const TOKEN: &str = "callback-token-of-the-properties";

/// A relay's settings: one room, and nothing that listens anywhere.
pub(crate) static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let rooms = format!(
        "[[rooms]]\nname = \"staff\"\nbot_id = \"b07e57b07e57b07e57b07e57aa\"\ngroup = \"{GROUP}\"\n\
         [[routes]]\npattern = \"#\"\nrooms = [\"staff\"]\n"
    );
    // Port 1 answers nobody.
    let vars = [
        ("DATABASE_URL", "postgres://nobody:nothing@127.0.0.1:1/nowhere".to_owned()),
        ("TALKBACK_CONFIG", rooms),
        ("TALKBACK_DATA_KEYS", format!("k1:{}", STANDARD.encode([7; 32]))),
        ("TALKBACK_LOOKUP_KEY", STANDARD.encode([9; 32])),
        ("TALKBACK_SEND_KEYS", format!("tests:{}:standard|standard.*:urgent:rooms", sha256(crate::http::KEY))),
        ("GROUPME_CALLBACK_TOKEN", TOKEN.to_owned()),
        ("GROUPME_API_URL", "http://127.0.0.1:1/v3".to_owned()),
        ("GROUPME_IMAGE_URL", "http://127.0.0.1:1".to_owned()),
    ];
    let vars: HashMap<String, String> = vars.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Settings::from_vars(&vars).unwrap_or_else(|error| panic!("{error}"))
});

fn sha256(text: &str) -> String {
    talkback::relay::accept::fingerprint(text, None).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn request(method: Method, token: &str, body: &[u8]) -> Request {
    let mut request = Request::new(Body::Binary(body.to_vec()));
    *request.method_mut() = method;
    request.with_raw_http_path(format!("/groupme/callback/{token}"))
}

pub(crate) fn holds(bytes: &[u8]) {
    let settings = &SETTINGS;
    let refused = |method, token| open(settings, &request(method, token, bytes)).err();
    for wrong in ["", "callback-token-of-the-propertieS", "callback-token-of-the-properties/x"] {
        assert_eq!(refused(Method::POST, wrong), Some(Refusal::WrongToken), "a stranger is heard");
    }
    assert_eq!(refused(Method::DELETE, TOKEN), Some(Refusal::WrongMethod));
    assert!(matches!(open(settings, &request(Method::GET, TOKEN, bytes)), Ok(None)));
    let document = talkback::json::parse(bytes);
    let line = match open(settings, &request(Method::POST, TOKEN, bytes)) {
        Ok(None) => panic!("a post is no question"),
        Err(Refusal::TooLarge) => return assert!(bytes.len() > 64 * 1024),
        Err(Refusal::Malformed) => return assert!(document.as_ref().ok().and_then(Line::read).is_none()),
        Err(Refusal::ForeignGroup) => {
            let line = document.as_ref().ok().and_then(Line::read);
            return assert!(line.is_some_and(|line| line.group() != GROUP), "a line of ours is refused");
        }
        Err(other) => panic!("{other:?}"),
        Ok(Some(line)) => line,
    };
    let Ok(document) = document else { panic!("a line that is no JSON") };
    is_right(&line, &document);
    is_obeyed_only_if_a_person_said_it(&line, &document);
}

fn is_right(line: &Line, document: &Value) {
    assert_eq!(line.group(), GROUP);
    assert!((1..=128).contains(&line.id().len()) && !line.id().contains('\0'), "the database refuses the line");
    let kind = line.sender_type();
    assert!((1..=32).contains(&kind.len()) && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    let length = document["text"].as_str().map(|text| text.chars().count());
    assert_eq!(line.text_length().and_then(|length| usize::try_from(length).ok()), length);
    assert_eq!(line.fingerprint().len(), 32);
    // White space at the ends makes no difference: GroupMe takes it away.
    if let (Some(text), None) = (document["text"].as_str(), document["attachments"].as_array()) {
        let mut padded = document.clone();
        padded["text"] = Value::from(format!(" {text}\n"));
        assert_eq!(Line::read(&padded).map(|line| line.fingerprint()), Some(line.fingerprint()));
    }
    let _ = line.created_at();
}

/// A bot that reads its own posts could answer itself for ever.
fn is_obeyed_only_if_a_person_said_it(line: &Line, document: &Value) {
    assert!(!(line.is_bot() && line.is_person()));
    let person = document["sender_type"] == "user" && document["system"] != Value::Bool(true);
    assert!(person || !line.is_person(), "obeys what no person said");
    for kind in ["bot", "system", "service", "calendar", "BOT", "users", ""] {
        let mut other = document.clone();
        other["sender_type"] = Value::from(kind);
        assert!(Line::read(&other).is_some_and(|line| !line.is_person()), "obeys a {kind}");
    }
    // Nor may two senders at once be a person.
    let mut other = document.clone();
    other["sender_id"] = Value::from("somebody else");
    assert!(Line::read(&other).is_some_and(|line| !line.is_person()) || document["user_id"] == "somebody else");
    let Some(word) = command::word(line.text()) else { return };
    assert!(line.text().trim_start().starts_with('!') && !word.is_empty());
    assert!(command::words::split(line.text()).iter().all(|word| line.text().contains(word.as_str())));
    if command::find(&word).is_none() {
        let answer = command::unknown(&word).text;
        assert!(!answer.trim().is_empty() && command::word(&answer).is_none());
        crate::text::is_composed(talkback::text::Text::clean(&answer).as_str());
        crate::quoted::quotes_nothing_of(document, &answer, "the answer");
    }
}
