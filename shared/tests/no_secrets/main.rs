//! What nobody may read in an error: every error path is fed a secret, a number and a body, and they are looked for in
//! Display, Debug and the whole chain of causes, and in the JSON log.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the functions that tests share are tests, too")]
mod doors;
mod servers;

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};

use talkback::config::Settings;
use talkback::message::Uid;
use talkback::route::{Pattern, RoutingKey};
use talkback::seal::{Keys, Lookup, Place};
use talkback::send_key::SendKey;
use talkback::telemetry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

const SECRET: &str = "hunter2-correct-horse";
const NUMBER: &str = "+16175550123";
const BODY: &str = "the cat é sits on the transmitter";
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What must be found nowhere; the number also without its country.
const HIDDEN: [&str; 5] = ["hunter2", "6175550123", "the cat", "transmitter", "AAECAwQFBgc"];

#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<u8>>>);

impl io::Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a story logs at its most talkative.
fn logged(story: impl FnOnce()) -> String {
    let capture = Capture::default();
    let writer = capture.clone();
    let layer = telemetry::layer("no-secrets", "trace".parse::<Targets>().unwrap(), move || writer.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), story);
    let text = capture.0.lock().unwrap().clone();
    String::from_utf8(text).unwrap()
}

fn assert_silent(path: &str, text: &str) {
    for hidden in HIDDEN {
        assert!(!text.contains(hidden), "{path} tells {hidden:?}: {text}");
    }
}

/// An error of ours is silent however it is shown.
fn assert_error_silent(path: &str, error: &(dyn Error + 'static)) {
    assert_silent(path, &format!("{error} {error:?} {error:#?}"));
    for cause in std::iter::successors(error.source(), |&cause| cause.source()) {
        assert_silent(path, &format!("{cause} {cause:?}"));
    }
    assert_log_silent(path, error);
    let line = logged(|| tracing::error!(%error, debug = ?error, "failed"));
    assert!(line.contains("failed"), "{path} logged nothing");
    assert_silent(path, &line);
}

/// An error of a library is silent where we log it.
fn assert_log_silent(path: &str, error: &(dyn Error + 'static)) {
    let line = logged(|| tracing::error!(error, "failed"));
    assert!(line.contains("\"error\":"), "{path} logged no error: {line}");
    assert_silent(path, &line);
}

/// Each of the three alone, and all in one.
fn poisons() -> Vec<String> {
    let all = format!("{SECRET} {NUMBER} {BODY}");
    vec![SECRET.to_owned(), NUMBER.to_owned(), BODY.to_owned(), all]
}

fn vars(changes: &[(&str, &str)]) -> HashMap<String, String> {
    let toml = "[[rooms]]\nname = \"staff\"\nbot_id = \"b\"\ngroup = \"g\"";
    let data_keys = format!("k1:{KEY}");
    let base = [
        ("DATABASE_URL", "postgres://u@h/d"),
        ("TALKBACK_CONFIG", toml),
        ("TALKBACK_DATA_KEYS", &data_keys),
        ("TALKBACK_LOOKUP_KEY", KEY),
    ];
    base.iter().chain(changes).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_wrong_setting_is_named_and_not_quoted() {
    for poison in poisons() {
        let wrong_values = [
            poison.clone(),
            format!("https://u:{poison}@h/"),
            format!("postgres://u:{poison}@h:port/d"),
            format!("amqp://u:{poison}@h:port/"),
            format!("{poison}:{KEY}"),
            format!("{poison}:{}", "zz".repeat(32)),
            format!("x:{poison}"),
            format!("x:{}:{poison}*", "ab".repeat(32)),
            format!("x:{}:a:{poison}", "ab".repeat(32)),
        ];
        let names = talkback::config::SETTINGS.iter().map(|(name, ..)| *name);
        for name in names {
            for value in &wrong_values {
                // Some take any text; what they do refuse must not be quoted.
                match Settings::from_vars(&vars(&[(name, value)])) {
                    Err(error) => assert_error_silent(name, &error),
                    Ok(settings) => assert_silent(name, &format!("{settings:?}")),
                }
            }
        }
    }
    let error = Settings::from_vars(&vars(&[("TALKBACK_LOOKUP_KEY", SECRET)])).unwrap_err();
    assert!(error.to_string().contains("TALKBACK_LOOKUP_KEY"), "{error}");
}

#[test]
fn a_wrong_value_in_the_toml_is_named_and_not_quoted() {
    for poison in poisons() {
        let mut documents = vec![
            format!("a = \"{poison}"),
            format!("[[rooms]]\nname = {poison}"),
            format!("a = 1\n{poison} = = 2"),
            format!("a = \"\"\"\n{poison}"),
        ];
        let keys = ["name", "channel", "bot_id", "group", "pace", "burst", "dress", "confirm", "unknown"];
        documents.extend(keys.map(|key| format!("[[rooms]]\n{key} = \"{poison}\"")));
        documents.extend(keys.map(|key| format!("[[rooms]]\n{key} = [\"{poison}\"]")));
        documents.push(format!("[[rooms]]\nbot_id = \"env:{poison}\""));
        let keys = ["pattern", "action", "rooms", "priority", "age", "patience", "dress"];
        documents.extend(keys.map(|key| format!("[[routes]]\n{key} = \"{poison}**\"")));
        documents.push(format!("[[routes]]\nrooms = [\"{poison}\"]"));
        documents.extend(["rooms", "routes", "lanes", "time", "media"].map(|key| format!("{key} = \"{poison}\"")));
        documents.push(format!("[media]\nallow = [\"{poison}/\"]\ntimeout = \"{poison}\""));
        documents.push(format!("[time]\nzone = \"{poison}\""));
        documents.push(format!("[lanes]\nlease = \"{poison}\"\nlanes = \"{poison}\"\nset_aside_delays = \"{poison}\""));
        for document in documents {
            let error = Settings::from_vars(&vars(&[("TALKBACK_CONFIG", &document)])).unwrap_err();
            assert_error_silent(&document, &error);
        }
    }
}

#[test]
fn what_holds_secrets_does_not_show_them() {
    let toml = format!(
        "[[rooms]]\nname = \"staff\"\nbot_id = \"{SECRET}\"\ngroup = \"g\"\n[[exchanges]]\nname = \"x\"\npatterns = [\"#\"]"
    );
    let settings = Settings::from_vars(&vars(&[
        ("TALKBACK_CONFIG", &toml),
        ("DATABASE_URL", &format!("postgres://u:{SECRET}@h/d")),
        ("AMQP_URL", &format!("amqp://u:{SECRET}@h/%2f")),
        ("GROUPME_ACCESS_TOKEN", SECRET),
        ("GROUPME_CALLBACK_TOKEN", SECRET),
        ("ACK_URL", &format!("https://h/?token={SECRET}")),
    ]));
    let settings = settings.unwrap();
    let all = (&settings, &settings.data_keys, &settings.lookup, &settings.rooms, &settings.database_url);
    assert_silent("settings", &format!("{all:?} {all:#?}"));
}

#[test]
fn keys_and_sealed_values_are_not_quoted() {
    for poison in poisons() {
        assert_error_silent("data keys", &Keys::parse(&format!("{poison}:{poison}")).unwrap_err());
        assert_error_silent("data keys", &Keys::parse(&format!("{poison}:{KEY},k:")).unwrap_err());
        assert_error_silent("look-up key", &Lookup::parse(&poison).unwrap_err());
        assert_error_silent("send key", &SendKey::parse(&format!("web:{poison}:a")).unwrap_err());
        let keys = Keys::parse(&format!("k1:{KEY}")).unwrap();
        let place = Place { table: "senders", column: "name", row: &poison };
        let mut sealed = keys.seal(place, poison.as_bytes());
        assert_error_silent("another row", &keys.open(Place { row: NUMBER, ..place }, &sealed[1..]).unwrap_err());
        *sealed.last_mut().unwrap() ^= 1;
        assert_error_silent("a forged value", &keys.open(place, &sealed).unwrap_err());
        assert_error_silent("no sealed value", &keys.open(place, poison.as_bytes()).unwrap_err());
    }
}

#[test]
fn a_refused_uid_key_or_pattern_is_not_quoted() {
    let source = RoutingKey::parse("source.standard").unwrap();
    for poison in poisons() {
        let long = format!("{poison}\n").repeat(20);
        assert_error_silent("uid", &Uid::parse(&long, &source).unwrap_err());
        assert_error_silent("routing key", &RoutingKey::parse(&long).unwrap_err());
        assert_error_silent("pattern", &Pattern::parse(&format!("a.{poison}*")).unwrap_err());
    }
}

#[test]
fn the_log_does_not_quote_the_json_that_could_not_be_read() {
    for poison in poisons() {
        let error = serde_json::from_str::<u32>(&format!("\"{poison}\"")).unwrap_err();
        assert!(error.to_string().contains(&poison), "serde_json does quote: {error}");
        assert_log_silent("serde_json", &error);
        assert_log_silent("serde_json inside", &io::Error::other(error));
    }
}

#[test]
fn the_log_does_not_quote_the_address_that_could_not_be_reached() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/bots/post?token={SECRET}&to={NUMBER}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(async { reqwest::Client::new().get(&url).send().await.unwrap_err() });
    assert!(error.to_string().contains(SECRET), "reqwest does quote: {error}");
    assert_log_silent("reqwest", &error);
    assert_log_silent("reqwest inside", &io::Error::other(error));
}

#[test]
fn a_panic_is_logged_by_its_place_and_not_by_what_it_quotes() {
    let before = std::panic::take_hook();
    telemetry::init("no-secrets");
    let inside = BODY.find('é').unwrap() + 1;
    let lines = logged(|| {
        let cut = std::panic::catch_unwind(|| BODY[..inside].len());
        assert!(cut.is_err());
        let fixed = std::panic::catch_unwind(|| panic!("the lane has two holders"));
        assert!(fixed.is_err());
    });
    std::panic::set_hook(before);
    assert_silent("panic", &lines);
    assert!(lines.contains("no_secrets/main.rs:") && lines.contains("the lane has two holders"), "{lines}");
}
