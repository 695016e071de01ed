//! Settings: what is enough, what is refused and by which name, and what the README and the example file must show.
use secrecy::ExposeSecret as _;

use super::*;
use crate::compose::Dress;
use crate::fetch::Site;
use crate::message::Priority;
use crate::route::{Action, Pattern};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// One room and one route.
const SMALL: &str = r##"
    [[rooms]]
    name = "staff"
    bot_id = "env:GROUPME_BOT_ID"
    group = "env:GROUPME_GROUP_ID"
    [[routes]]
    pattern = "source.#"
    rooms = ["staff"]
"##;

/// What is required and nothing else, with `extra` in the TOML and `changes` in the environment.
fn read(extra: &str, changes: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let config = format!("{SMALL}\n{extra}");
    let data_keys = format!("k1:{KEY}");
    let base = [
        ("DATABASE_URL", "postgres://talkback:pw@127.0.0.1/talkback"),
        ("TALKBACK_CONFIG", &config),
        ("TALKBACK_DATA_KEYS", &data_keys),
        ("TALKBACK_LOOKUP_KEY", KEY),
        ("GROUPME_BOT_ID", "bot-1"),
        ("GROUPME_GROUP_ID", "4711"),
    ];
    let vars = base.iter().chain(changes).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::from_vars(&vars.collect())
}

fn names(result: Result<Settings, SettingsError>) -> Vec<String> {
    result.unwrap_err().faults.into_iter().map(|fault| fault.name).collect()
}

#[test]
fn what_is_required_is_enough_and_the_rest_has_safe_defaults() {
    let settings = read("", &[]).unwrap();
    assert_eq!(settings.groupme.api_url, "https://api.groupme.com/v3");
    assert_eq!(settings.groupme.image_url, "https://image.groupme.com");
    assert!(settings.amqp_url.is_none() && settings.send_keys.is_empty() && settings.ack_url.is_none());
    assert!(settings.groupme.callback_tokens.is_empty() && settings.groupme.access_token.is_none());
    assert_eq!(settings.lanes, Lanes::default());
    assert_eq!(settings.media, Media::default());
    assert!(settings.media.allow.is_empty(), "no host is open by itself");
    assert_eq!(settings.zone, jiff::tz::TimeZone::UTC);
    let [room] = &settings.rooms[..] else { panic!() };
    assert_eq!((room.name.as_str(), room.channel.as_str(), room.group.as_str()), ("staff", "groupme", "4711"));
    assert_eq!((room.pace.as_millis(), room.burst, room.dress), (1_000, 3, Dress::Classic));
    assert_eq!((room.confirm, room.unknown), (true, Unknown::Resend));
    assert_eq!(room.bot_id.expose_secret(), "bot-1");
}

#[test]
fn everything_missing_is_said_at_once_and_an_empty_value_is_a_missing_one() {
    let required = ["DATABASE_URL", "TALKBACK_DATA_KEYS", "TALKBACK_LOOKUP_KEY", "TALKBACK_CONFIG"];
    assert_eq!(names(Settings::from_vars(&HashMap::new())), required);
    let empty = required.map(|name| (name, " "));
    assert_eq!(names(read("", &empty)), required);
    assert_eq!(names(read("", &[("GROUPME_BOT_ID", ""), ("DATABASE_URL", "")])), ["DATABASE_URL", "GROUPME_BOT_ID"]);
    let error = read("", &[("GROUPME_BOT_ID", "")]).unwrap_err().to_string();
    let want = "settings: GROUPME_BOT_ID: missing, and TALKBACK_CONFIG rooms[0].bot_id takes its value from it";
    assert_eq!(error, want);
}

#[test]
fn each_wrong_key_of_the_toml_is_named_by_its_path() {
    let toml = r##"
        surprise = 1
        [[rooms]]
        name = "staff"
        bot_id = "env:GROUPME_BOT_ID"
        group = 7
        pace = "soon"
        burst = 0
        colour = "red"
        [[rooms]]
        name = "two words"
        channel = "pigeon"
        bot_id = "b-2"
        group = "8"
        dress = "gala"
        confirm = "yes"
        unknown = "shrug"
        [[routes]]
        pattern = "source.a*"
        rooms = ["attic"]
        priority = "mild"
        age = "-1s"
        [[routes]]
        pattern = "source.b"
        [[routes]]
        pattern = "source.c"
        action = "block"
        rooms = ["staff"]
        [[exchanges]]
        name = "x"
        type = "ring"
        [lanes]
        lease = "15s"
        statement_timeout = "1us"
        lanes = 1.5
        set_aside_delays = ["1m", 2]
        [time]
        zone = "Mars/Base"
        [media]
        max_bytes = "big"
        timeout = "0s"
        patience = 10
        allow = ["pictures.example.org", "https://pictures.example.org/"]
        [retention]
        messages = "long"
        [records]
        publish = "yes"
        exchange = ""
        topic = "a"
        [queue_keys]
        q = ""
    "##;
    let names = names(read("", &[("TALKBACK_CONFIG", toml)]));
    let keys: Vec<&str> = names.iter().map(|name| name.trim_start_matches("TALKBACK_CONFIG ")).collect();
    let want = [
        "rooms[0].group",
        "rooms[0].pace",
        "rooms[0].burst",
        "rooms[0].colour",
        "rooms[1].name",
        "rooms[1].channel",
        "rooms[1].dress",
        "rooms[1].confirm",
        "rooms[1].unknown",
        "routes[0].pattern",
        "routes[0].rooms[0]",
        "routes[0].priority",
        "routes[0].age",
        "routes[1].rooms",
        "routes[2].rooms",
        "exchanges[0].patterns",
        "exchanges[0].type",
        "records.publish",
        "records.exchange",
        "records.topic",
        "queue_keys.q",
        "lanes.set_aside_delays",
        "lanes.lanes",
        "lanes.lease",
        "lanes.statement_timeout",
        "media.max_bytes",
        "media.timeout",
        "media.patience",
        "media.allow[1]",
        "time.zone",
        "retention.messages",
        "surprise",
    ];
    assert_eq!(keys, want);
}

#[test]
fn a_room_cannot_share_its_name_or_its_bot() {
    let again = "[[rooms]]\nname = \"staff\"\nbot_id = \"env:GROUPME_BOT_ID\"\ngroup = \"1\"";
    assert_eq!(names(read(again, &[])), ["TALKBACK_CONFIG rooms[1].name", "TALKBACK_CONFIG rooms[1].bot_id"]);
}

#[test]
fn the_times_of_the_lanes_must_fit_together() {
    let tenth = "[lanes]\nlease = \"2s\"\nhttp = \"1s\"\nmargin = \"500ms\"\nstatement_timeout = \"800ms\"";
    assert_eq!(read(tenth, &[]).unwrap().lanes.margin.as_millis(), 500);
    for (lanes, key) in [
        ("http = \"15s\"", "lease"),
        ("pause_min = \"2m\"", "pause_max"),
        ("stay = \"15s\"", "stay"),
        ("stay_unknown_deadline = \"15s\"", "stay_unknown_deadline"),
        ("statement_timeout = \"20s\"", "statement_timeout"),
        ("retry_ttl = \"1us\"", "retry_ttl"),
    ] {
        assert_eq!(names(read(&format!("[lanes]\n{lanes}"), &[])), [format!("TALKBACK_CONFIG lanes.{key}")], "{lanes}");
    }
}

#[test]
fn who_publishes_records_needs_a_broker_and_an_exchange() {
    let exchange = "[[exchanges]]\nname = \"first\"\npatterns = [\"#\"]\n";
    let amqp = [("AMQP_URL", "amqp://u:p@127.0.0.1")];
    let published = |toml: &str, vars: &[(&str, &str)]| read(toml, vars).map(|settings| settings.records);
    assert_eq!(published(exchange, &[]), Ok(None));
    assert_eq!(published("[records]\npublish = false\nexchange = \"x\"", &[]), Ok(None));
    let to = |exchange: &str| Ok(Some(Records { exchange: exchange.to_owned() }));
    assert_eq!(published(&format!("{exchange}[records]\npublish = true"), &amqp), to("first"));
    assert_eq!(published(&format!("{exchange}[records]\npublish = true\nexchange = \"x\""), &amqp), to("x"));
    let nowhere = read("[records]\npublish = true", &[]).unwrap_err().to_string();
    let want = "settings: TALKBACK_CONFIG records.exchange: missing, and there is no [[exchanges]] to take the first of; \
                AMQP_URL: missing, and TALKBACK_CONFIG records.publish needs it";
    assert_eq!(nowhere, want);
    let long = format!("[records]\npublish = true\nexchange = \"{}\"", "x".repeat(256));
    assert_eq!(names(read(&long, &amqp)), ["TALKBACK_CONFIG records.exchange"]);
}

#[test]
fn how_long_a_message_is_worth_posting_follows_its_priority_where_the_route_is_silent() {
    let mut routes = String::new();
    for (pattern, more) in
        [("a", ""), ("b", "priority = \"high\""), ("c", "priority = \"urgent\""), ("d", "age = \"90s\"")]
    {
        routes += &format!("[[routes]]\npattern = \"{pattern}\"\nrooms = [\"staff\"]\n{more}\n");
    }
    let routes = read(&routes, &[]).unwrap().routes.0;
    let ages: Vec<u64> = routes[1..].iter().map(|route| route.age.as_secs()).collect();
    assert_eq!(ages, [24 * 3600, 3600, 15 * 60, 90]);
}

#[test]
fn addresses_to_send_to_are_https_but_on_this_machine() {
    for name in ["GROUPME_API_URL", "GROUPME_IMAGE_URL", "ACK_URL"] {
        for good in ["https://api.example/v3/", "http://127.0.0.1:9001", "http://[::1]:9001", "http://localhost/v3"] {
            assert!(read("", &[(name, good)]).is_ok(), "{name} {good}");
        }
        for wrong in [
            "http://api.example/v3",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "ftp://localhost",
            "https://user:pw@api.example",
            "https://token@api.example",
            "api.example",
            "https://",
            "http://10.0.0.1",
        ] {
            assert_eq!(names(read("", &[(name, wrong)])), [name], "{wrong}");
        }
    }
    let slashed = read("", &[("GROUPME_API_URL", "https://api.example/v3//")]).unwrap();
    assert_eq!(slashed.groupme.api_url, "https://api.example/v3");
    assert_eq!(names(read("", &[("GROUPME_API_URL", "https://api.example/v3?token=t")])), ["GROUPME_API_URL"]);
}

#[test]
fn lists_are_read_whole_and_their_faults_named_by_position() {
    let hash = "ab".repeat(32);
    let keys = format!("web:{hash}, ups:{}:ups.#:urgent", "cd".repeat(32));
    let tokens = "0123456789abcdef, fedcba9876543210";
    let settings = read("", &[("TALKBACK_SEND_KEYS", &keys), ("GROUPME_CALLBACK_TOKEN", tokens)]).unwrap();
    assert_eq!(settings.send_keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["web", "ups"]);
    let tokens: Vec<_> = settings.groupme.callback_tokens.iter().map(|token| token.expose_secret()).collect();
    assert_eq!(tokens, ["0123456789abcdef", "fedcba9876543210"]);

    let again = format!("web:{hash},other:{hash},x");
    let error = read("", &[("TALKBACK_SEND_KEYS", &again), ("GROUPME_CALLBACK_TOKEN", "short")]).unwrap_err();
    let said: Vec<_> = error.faults.iter().map(|fault| fault.what.split(':').next().unwrap_or("")).collect();
    assert_eq!(said, ["entry 2", "entry 3", "each token must have at least 16 characters"]);
}

#[test]
fn addresses_of_servers_are_checked_and_the_other_half_of_a_pair_is_asked_for() {
    let wrong = [("DATABASE_URL", "mysql://h/d"), ("AMQP_URL", "http://h"), ("DATABASE_CA_FILE", "/no/such/file")];
    assert_eq!(names(read("", &wrong)), ["DATABASE_URL", "DATABASE_CA_FILE", "AMQP_URL"]);
    assert_eq!(names(read("", &[("TWILIO_ACCOUNT_SID", "AC1")])), ["TWILIO_AUTH_TOKEN"]);
    assert_eq!(names(read("", &[("TWILIO_AUTH_TOKEN", "t")])), ["TWILIO_ACCOUNT_SID"]);
    assert_eq!(names(read("", &[("RUST_LOG", "a=b=c"), ("AMQP_URL", "amqp://\u{FFFD}")])), ["AMQP_URL", "RUST_LOG"]);
    assert!(read("", &[("AMQP_URL", "amqps://u:p@mq.example/%2f")]).is_ok());
}

#[test]
fn the_toml_may_stand_in_the_variable_or_in_a_file() {
    let missing = read("", &[("TALKBACK_CONFIG", "/no/such/talkback.toml")]).unwrap_err();
    assert!(missing.to_string().contains("names no readable file"), "{missing}");
    let broken = read("", &[("TALKBACK_CONFIG", "a = 1\nb = \"secret")]).unwrap_err();
    assert_eq!(broken.to_string(), "settings: TALKBACK_CONFIG: no TOML, at line 2");
}

fn example() -> Settings {
    read("", &[("TALKBACK_CONFIG", concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/talkback.toml"))]).unwrap()
}

#[test]
fn the_example_file_loads_and_sends_each_source_where_it_says() {
    let settings = example();
    assert_eq!(settings.rooms.len(), 1);
    let exchanges: Vec<(&str, &[String])> =
        settings.exchanges.iter().map(|exchange| (exchange.name.as_str(), exchange.patterns.as_slice())).collect();
    let wanted: [(&str, &[String]); 4] = [
        ("source_exchange", &["source.#".to_owned()]),
        ("wbor-ups", &["notification.ups.#".to_owned()]),
        ("wbor-endec", &["notification.wbor-endec.#".to_owned()]),
        ("notifications", &["notification.#".to_owned()]),
    ];
    assert_eq!(exchanges, wanted);
    // `cargo xtask up` begins with an empty broker.
    assert!(settings.exchanges.iter().all(|exchange| exchange.declare));
    let source =
        |key: &str| settings.routes.0.iter().find(|route| route.pattern == Pattern::parse(key).unwrap()).unwrap();
    let texts = source("source.twilio.sms.incoming");
    assert_eq!((texts.priority, texts.patience.map(|p| p.as_secs())), (Priority::Normal, Some(15)));
    let priority =
        |key: &str| settings.routes.find(&RoutingKey::parse(key).unwrap()).map(|route| (route.action, route.priority));
    for urgent in ["notification.ups", "notification.ups.onbattery", "notification.wbor-endec"] {
        assert_eq!(priority(urgent), Some((Action::Post, Priority::Urgent)));
    }
    assert_eq!(priority("notification.failsafe-status"), Some((Action::Post, Priority::High)));
    assert_eq!(source("source.#").action, Action::Post);
    for blocked in ["source.twilio.sms.outgoing", "source.twilio.ban", "source.twilio.unban"] {
        assert_eq!(source(blocked).action, Action::Block);
    }
}

#[test]
fn the_example_file_shows_every_time_of_the_lanes_and_every_limit_of_pictures_with_its_default() {
    let text = include_str!("../../../infra/talkback.toml");
    let table: toml::Table = text.parse().unwrap();
    let shown = |table_name: &str| -> Vec<String> { table[table_name].as_table().unwrap().keys().cloned().collect() };
    // Each key is called as its field is.
    let fields = |shown: String| -> Vec<String> {
        let fields = shown.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
        let keys = fields.map(|(name, _)| name).filter(|name| !name.starts_with(' '));
        let mut keys: Vec<String> = keys.map(str::to_owned).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(shown("lanes"), fields(format!("{:#?}", Lanes::default())));
    assert_eq!(example().lanes, Lanes::default());
    assert_eq!(shown("media"), fields(format!("{:#?}", Media::default())));
    assert_eq!(example().media, Media::default());
}

#[test]
fn pictures_that_no_function_could_hold_or_wait_for_are_refused() {
    let most = read("[media]\nmax_bytes = 50000000\npatience = \"30s\"", &[]).unwrap();
    assert_eq!((most.media.max_bytes, most.media.patience.as_secs()), (50_000_000, 30));
    let faults = names(read("[media]\nmax_bytes = 50000001\npatience = \"31s\"", &[]));
    assert_eq!(faults, ["TALKBACK_CONFIG media.max_bytes", "TALKBACK_CONFIG media.patience"]);
}

#[test]
fn hosts_are_opened_one_by_one() {
    let settings =
        read("[media]\nallow = [\"127.0.0.1:8081\", \"Pictures.Example.org\"]\ntimeout = \"2s\"", &[]).unwrap();
    let want = ["127.0.0.1:8081", "pictures.example.org"].map(|text| Site::parse(text).unwrap());
    assert_eq!(settings.media.allow, want);
    assert_eq!(settings.media.timeout.as_secs(), 2);
}

#[test]
fn the_readme_has_the_table_of_settings() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let (_, after) = readme.split_once("<!-- settings -->\n").unwrap();
    let (rows, _) = after.split_once("<!-- /settings -->").unwrap();
    assert_eq!(rows, readme_rows(), "the table between the settings markers of README.md must be:\n{}", readme_rows());
}

#[test]
fn nobody_else_reads_the_environment() {
    let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut folders = vec![root.join("shared/src"), root.join("functions")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs")
                && !path.starts_with(root.join("shared/src/config"))
            {
                files += 1;
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(!text.contains("env::var"), "{} reads the environment", path.display());
            }
        }
    }
    assert!(files > 10, "only {files} files were looked at");
}

#[test]
fn what_is_kept_is_said_in_days_or_for_ever() {
    let days = |days: u64| Some(std::time::Duration::from_secs(days * 86_400));
    let usual = read("", &[]).unwrap().retention;
    assert_eq!((usual.messages, usual.calls, usual.callbacks), (None, days(400), days(400)));
    assert_eq!((usual.events, usual.rejected), (days(400), days(400)));
    let said = "[retention]\nmessages = \"90d\"\ncalls = \"48h\"\ncallbacks = \"forever\"\nevents = \"36500d\"";
    let said = read(said, &[]).unwrap().retention;
    assert_eq!((said.messages, said.calls, said.callbacks), (days(90), days(2), None));
    assert_eq!((said.events, said.rejected), (days(36_500), days(400)));
    for wrong in ["0d", "-1d", "d", "23h", "1.5d", "36501d", "99999999999999999999d", "876001h", "never", "400"] {
        let toml = format!("[retention]\ncalls = \"{wrong}\"");
        assert_eq!(names(read(&toml, &[])), ["TALKBACK_CONFIG retention.calls"], "{wrong}");
    }
}
