//! From inside: the settings, and everything they name.
use std::time::Duration;

use talkback::broker::BrokerError;
use talkback::command::words::count;
use talkback::config::Settings;
use talkback::relay::Relay;
use talkback::store::gauges::Gauges;
use tokio::time::timeout;

use super::Finding::{Ill, Unknown, Well};
use super::{Report, age, clock, groupme, heard, ran};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

const MIGRATE: &str = "migrate: invoke the function `migrate`, or run `talkback-host migrate`";

pub(super) async fn look() -> Report {
    let mut report = Report::default();
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(error) => {
            for fault in error.faults {
                report.note(
                    "settings",
                    Ill(fault.to_string(), "set it; the README has every setting in a table".to_owned()),
                );
            }
            return report;
        }
    };
    let relay = match Relay::new(settings, "operator") {
        Ok(relay) => relay,
        Err(error) => {
            report.note(
                "settings",
                Ill(error.to_string(), "set it right; the README has every setting in a table".to_owned()),
            );
            return report;
        }
    };
    let of = |number: usize, what| count(i64::try_from(number).unwrap_or(i64::MAX), what);
    let (rooms, keys) = (of(relay.settings.rooms.len(), "room"), of(relay.settings.send_keys.len(), "send key"));
    report.note("settings", Well(format!("{rooms}, {keys}")));
    if relay.settings.send_keys.is_empty() {
        let remedy = "`cargo xtask key NAME` makes one; set TALKBACK_SEND_KEYS".to_owned();
        report.note("send keys", Ill("none: nothing is served".to_owned(), remedy));
    }
    if relay.settings.groupme.callback_tokens.is_empty() {
        let remedy = "set GROUPME_CALLBACK_TOKEN, and the bot's callback URL with it at its end".to_owned();
        report.note("callback", Ill("no token: every callback is refused".to_owned(), remedy));
    }
    let migrated = database(&relay, &mut report).await;
    broker(&relay, &mut report).await;
    groupme::look(&relay.settings, None, &mut report).await;
    if migrated {
        running(&relay, &mut report).await;
    }
    report
}

/// Whether it can be asked for more.
async fn database(relay: &Relay, report: &mut Report) -> bool {
    let version = match timeout(PATIENCE, relay.store.version()).await {
        Ok(Ok(version)) => version,
        Ok(Err(error)) => {
            let remedy = "start it, or correct DATABASE_URL (and DATABASE_CA_FILE): see the function's log".to_owned();
            report.note("database", Ill(error.to_string(), remedy));
            return false;
        }
        Err(_) => {
            let remedy = "is it frozen, or is a firewall in between? its port must be reachable from here".to_owned();
            report.note("database", Ill(format!("no answer in {} s", PATIENCE.as_secs()), remedy));
            return false;
        }
    };
    let server = format!("PostgreSQL {}", version.server);
    let (finding, asks) = match version.applied {
        None => (Ill(format!("{server}, not migrated"), MIGRATE.to_owned()), false),
        Some(applied) if applied < version.known => {
            let behind = format!("{server}, migrated to V{applied} where this version has V{}", version.known);
            (Ill(behind, MIGRATE.to_owned()), false)
        }
        Some(applied) if applied > version.known => {
            let ahead = format!(
                "{server}, migrated to V{applied} by a newer version than this one, which knows V{}",
                version.known
            );
            (Ill(ahead, "update this checkout, or what runs".to_owned()), false)
        }
        Some(applied) => match relay.store.writable().await {
            Ok(()) => (Well(format!("{server}, migrated to V{applied}, can be written")), true),
            Err(error) => (
                Ill(format!("{server}: {error}"), "make it writable: is it a replica, or is its disk full?".to_owned()),
                true,
            ),
        },
    };
    report.note("database", finding);
    report.note("clock", clock("the database", version.ahead));
    asks
}

async fn broker(relay: &Relay, report: &mut Report) {
    let Some(broker) = &relay.broker else {
        let why = "AMQP_URL is not set: nothing comes by RabbitMQ, and producers get no replies".to_owned();
        return report.note("broker", Unknown(why));
    };
    let finding = match timeout(PATIENCE, broker.health()).await {
        Ok(Ok(health)) if health.dead > 0 => Ill(
            format!("{} dead letters", health.dead),
            "the dispatcher tries each again and keeps what fails in the table `rejected`; is it running?".to_owned(),
        ),
        Ok(Ok(health)) => Well(format!(
            "a message is through the stamp queue in {} ms; {} wait, {} are to be tried again",
            health.way.as_millis(),
            health.waiting,
            health.retrying
        )),
        Ok(Err(error @ BrokerError::Missing { .. })) => Ill(format!("topology: {error}"), MIGRATE.to_owned()),
        Ok(Err(error)) => {
            Ill(error.to_string(), "start it, correct AMQP_URL, or mend what it names and migrate".to_owned())
        }
        Err(_) => {
            Ill(format!("no answer in {} s", PATIENCE.as_secs()), "is it frozen, or out of memory or disk?".to_owned())
        }
    };
    report.note("broker", finding);
    broker.close().await;
}

/// What the database tells of those who work with it.
async fn running(relay: &Relay, report: &mut Report) {
    match timeout(PATIENCE, relay.store.gauges(&relay.room_names())).await {
        Ok(Ok(gauges)) => tell(&gauges, report),
        _ => report.note("rooms", Unknown("the database did not say".to_owned())),
    }
}

fn tell(gauges: &Gauges, report: &mut Report) {
    for room in &gauges.rooms {
        let name = &room.room;
        let waits = gauges.queues.iter().find(|(queue, ..)| queue == name).map_or((0, 0.0), |(_, n, age)| (*n, *age));
        let finding = match (room.suspended, room.paused) {
            (true, since) => Ill(
                format!("{name}: GroupMe has not known its bot for {}", age(since)),
                "correct bot_id, and `cargo xtask resume ROOM`".to_owned(),
            ),
            (false, since) if since > 0.0 => Ill(
                format!("{name}: paused for {}", age(since)),
                "`cargo xtask resume ROOM` when its bot is back".to_owned(),
            ),
            _ if waits.1 > 300.0 => Ill(
                format!("{name}: {} wait, the oldest for {}", waits.0, age(waits.1)),
                "see `dispatcher` below, and GroupMe's answers: `select * from api_calls order by id desc limit 20`"
                    .to_owned(),
            ),
            _ => Well(format!("{name}: open, {} wait", waits.0)),
        };
        report.note("room", finding);
        report.note("callbacks", heard(name, room.callback_age));
        if room.failed + room.unconfirmed > 0 {
            let wrong = format!("{name}: {} failed and {} were never seen within a day", room.failed, room.unconfirmed);
            report.note(
                "messages",
                Ill(wrong, "type !failed in the chat, and !replay UID for those to send again".to_owned()),
            );
        }
    }
    for function in ["dispatcher", "rabbitmq-consumer"] {
        let last = gauges.functions.iter().find(|(name, _)| name == function).map(|(_, age)| *age);
        report.note(function, ran(function, last));
    }
}
