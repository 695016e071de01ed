//! The variables: each read once, by name.
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use secrecy::SecretString;

use super::document::{self, Faults, Reading, Section};
use super::{GroupMe, Settings, SettingsError, provider_url};
use crate::seal;
use crate::send_key::SendKey;

/// The environment of this process. What is not UTF-8 is kept with U+FFFD in it, so that it can be named as a fault.
pub(super) fn vars() -> HashMap<String, String> {
    let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

/// Reads every setting; goes on after a fault, so that all are told at once.
pub(super) fn read(vars: &HashMap<String, String>) -> Result<Settings, SettingsError> {
    let mut faults = Faults::default();
    let settings = Variables { vars, faults: &mut faults }.settings();
    match settings {
        Some(settings) if faults.0.is_empty() => Ok(settings),
        _ => Err(SettingsError { faults: faults.0 }),
    }
}

/// Only this machine: TLS is the reverse proxy's.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

struct Variables<'a> {
    vars: &'a HashMap<String, String>,
    faults: &'a mut Faults,
}

impl Variables<'_> {
    /// `None` only where a fault was noted.
    fn settings(mut self) -> Option<Settings> {
        let database_url = self.required("DATABASE_URL", |url| {
            #[cfg(feature = "store")]
            url.parse::<tokio_postgres::Config>().map_err(|_| "is not the address of a Postgres database")?;
            Ok::<_, &str>(SecretString::from(url))
        });
        let database_ca_file = self.optional("DATABASE_CA_FILE", |path| {
            let path = PathBuf::from(path);
            if path.is_file() { Ok(path) } else { Err("names no file") }
        });
        let amqp_url = self.optional("AMQP_URL", |url| {
            url.parse::<lapin::uri::AMQPUri>().map_err(|_| "is not an amqp:// or amqps:// address")?;
            Ok::<_, &str>(SecretString::from(url))
        });
        let send_keys = self.send_keys();
        let data_keys = self.required("TALKBACK_DATA_KEYS", seal::Keys::parse);
        let lookup = self.required("TALKBACK_LOOKUP_KEY", seal::Lookup::parse);
        let groupme = GroupMe {
            api_url: self.base_url("GROUPME_API_URL", "https://api.groupme.com/v3"),
            image_url: self.base_url("GROUPME_IMAGE_URL", "https://image.groupme.com"),
            access_token: self.secret("GROUPME_ACCESS_TOKEN"),
            callback_tokens: self.callback_tokens(),
        };
        let ack_url = self.optional("ACK_URL", provider_url::check);
        let twilio_account_sid = self.optional("TWILIO_ACCOUNT_SID", |sid| Ok::<_, &str>(sid.to_owned()));
        let twilio_auth_token = self.secret("TWILIO_AUTH_TOKEN");
        if twilio_account_sid.is_some() != twilio_auth_token.is_some() {
            let missing = if twilio_auth_token.is_some() { "TWILIO_ACCOUNT_SID" } else { "TWILIO_AUTH_TOKEN" };
            self.faults.add(missing, "missing, and its counterpart is set");
        }
        let listen = self.optional("TALKBACK_LISTEN", |address| {
            address.parse().map_err(|_| "must be an address and a port, such as 127.0.0.1:8080")
        });
        let metrics = self.optional("TALKBACK_METRICS", |form| match form {
            "embedded" => Ok(true),
            "none" => Ok(false),
            _ => Err("must be embedded or none"),
        });
        self.optional("RUST_LOG", |filter| {
            filter.parse::<tracing_subscriber::filter::Targets>().map_err(|_| "must be a level or a list of directives")
        });
        let file = self.required("TALKBACK_CONFIG", document_of)?;
        let mut reading = Reading { vars: self.vars, faults: self.faults };
        let file = super::file::read(Section::root(file), &mut reading);
        Some(Settings {
            database_url: database_url?,
            database_ca_file,
            amqp_url,
            send_keys,
            data_keys: data_keys?,
            lookup: lookup?,
            groupme,
            ack_url,
            twilio_account_sid,
            twilio_auth_token,
            rooms: file.rooms,
            routes: file.routes,
            exchanges: file.exchanges,
            queue_keys: file.queue_keys,
            lanes: file.lanes,
            media: file.media,
            zone: file.zone,
            retention: file.retention,
            records: file.records,
            chat: file.chat,
            send_rate: file.send_rate,
            embedded_metrics: metrics.unwrap_or(false),
            listen: listen.unwrap_or(LISTEN),
        })
    }

    /// A variable's value; an empty one is missing.
    fn optional<T, E: ToString>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let value = self.vars.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())?;
        if value.contains('\u{FFFD}') {
            self.faults.add(name, "is not UTF-8");
            return None;
        }
        read(value).map_err(|error| self.faults.add(name, error.to_string())).ok()
    }

    fn required<T, E: ToString>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let set = self.vars.get(name).is_some_and(|value| !value.trim().is_empty());
        if !set {
            self.faults.add(name, "missing");
        }
        self.optional(name, read)
    }

    fn secret(&mut self, name: &str) -> Option<SecretString> {
        self.optional(name, |value| Ok::<_, &str>(SecretString::from(value)))
    }

    fn base_url(&mut self, name: &str, default: &str) -> String {
        self.optional(name, provider_url::check_base).unwrap_or_else(|| default.to_owned())
    }

    fn callback_tokens(&mut self) -> Vec<SecretString> {
        let tokens = self.optional("GROUPME_CALLBACK_TOKEN", |list| {
            let tokens: Vec<&str> = list.split(',').map(str::trim).filter(|token| !token.is_empty()).collect();
            if tokens.iter().any(|token| token.chars().count() < 16) {
                return Err("each token must have at least 16 characters");
            }
            Ok(tokens.into_iter().map(SecretString::from).collect())
        });
        tokens.unwrap_or_default()
    }

    fn send_keys(&mut self) -> Vec<SendKey> {
        let name = "TALKBACK_SEND_KEYS";
        let list = self.optional(name, |list| Ok::<_, &str>(list.to_owned())).unwrap_or_default();
        let mut keys: Vec<SendKey> = Vec::new();
        let entries = list.split(',').enumerate().filter(|(_, entry)| !entry.trim().is_empty());
        for (place, entry) in entries {
            let number = place + 1;
            match SendKey::parse(entry) {
                Err(error) => self.faults.add(name, format!("entry {number}: {error}")),
                Ok(key) if keys.iter().any(|known| known.name == key.name || known.same_key(&key)) => {
                    self.faults.add(name, format!("entry {number}: an earlier one has its name or its key"));
                }
                Ok(key) => keys.push(key),
            }
        }
        keys
    }
}

/// The TOML itself where the value holds a line break or `=`, else that of the file it names.
fn document_of(value: &str) -> Result<toml::Table, String> {
    if value.contains(['\n', '=']) {
        return document::parse(value);
    }
    let text = std::fs::read_to_string(value).map_err(|error| format!("names no readable file ({})", error.kind()))?;
    document::parse(&text)
}
