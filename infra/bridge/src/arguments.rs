//! The command line, read by hand: a wrong word is said by name, and nothing is guessed.
use std::time::Duration;

use talkback::broker::HeaderValue;

use crate::tick::Tick;

/// What `bridge` can be told.
pub const USAGE: &str = "\
bridge --invoke URL [--queue NAME --function NAME [--vhost NAME] [--batch 100] [--window 500ms] [--timeout 60s]]
       [--tick FUNCTION=60s]…
    Hands the messages of a queue to a function in batches, and invokes other functions by the clock.
    Says `ready` when the queue is being consumed. Stops on SIGTERM and SIGINT. --vhost goes before the URL's.
bridge publish --exchange NAME --key KEY [--header NAME=VALUE]… [--reply-to QUEUE] [--correlation-id ID]
       [--message-id ID] [--content-type TYPE]
    Publishes what stands on its input, and waits for the broker's confirm. A header that reads true, false or a whole
    number is sent as one.
AMQP_URL says where the broker is.";

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Bridge.
    Run(Run),
    /// Publish one message.
    Publish(Publish),
    /// Show how it is used.
    Help,
}

/// What to bridge.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Where functions are invoked.
    pub invoke: String,
    /// The queue, if there is one.
    pub queue: Option<Queue>,
    /// The clock's functions.
    pub ticks: Vec<Tick>,
}

/// A queue and its function.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// The queue.
    pub name: String,
    /// Its virtual host; the URL's where `None`.
    pub vhost: Option<String>,
    /// The function.
    pub function: String,
    /// The most messages of one invocation, at most 10,000.
    pub batch: u16,
    /// How long a batch waits for more.
    pub window: Duration,
    /// How long an invocation may take.
    pub limit: Duration,
}

/// What to publish.
#[derive(Clone, PartialEq, Default)]
pub struct Publish {
    /// The exchange; empty for the default one.
    pub exchange: String,
    /// The routing key.
    pub key: String,
    /// The headers.
    pub headers: Vec<(String, HeaderValue)>,
    /// Where an answer goes.
    pub reply_to: Option<String>,
    /// What an answer repeats.
    pub correlation_id: Option<String>,
    /// The message's id.
    pub message_id: Option<String>,
    /// What the body is.
    pub content_type: Option<String>,
}

impl std::fmt::Debug for Publish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Publish({}, {})", self.exchange, self.key)
    }
}

/// What is wrong with the command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// A word that is none of ours.
    #[error("{0} is no option")]
    Unknown(String),
    /// An option without its value.
    #[error("{0} needs a value")]
    NoValue(String),
    /// An option that is needed.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value that cannot be read.
    #[error("{0} must be {1}")]
    Value(&'static str, &'static str),
}

const DURATION: &str = "a time such as 500ms, 60s or 2m";

/// Reads the command line, without the program's name.
pub fn read(mut words: impl Iterator<Item = String>) -> Result<Command, Wrong> {
    let mut words = std::iter::from_fn(|| words.next()).peekable();
    match words.peek().map(String::as_str) {
        None | Some("--help" | "-h" | "help") => Ok(Command::Help),
        Some("publish") => read_publish(words.skip(1)).map(Command::Publish),
        Some(_) => read_run(words).map(Command::Run),
    }
}

fn read_run(mut words: impl Iterator<Item = String>) -> Result<Run, Wrong> {
    let (mut invoke, mut name, mut vhost, mut function) = (None, None, None, None);
    let (mut batch, mut window, mut limit) = (100, Duration::from_millis(500), Duration::from_secs(60));
    let mut ticks = Vec::new();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| Wrong::NoValue(word.clone()));
        match word.as_str() {
            "--invoke" => invoke = Some(value()?),
            "--queue" => name = Some(value()?),
            "--vhost" => vhost = Some(value()?),
            "--function" => function = Some(value()?),
            "--batch" => {
                let given = value()?.parse().ok().filter(|batch| (1..=10_000).contains(batch));
                batch = given.ok_or(Wrong::Value("--batch", "a number from 1 to 10000"))?;
            }
            "--window" => window = duration(&value()?).ok_or(Wrong::Value("--window", DURATION))?,
            "--timeout" => limit = duration(&value()?).ok_or(Wrong::Value("--timeout", DURATION))?,
            "--tick" => ticks.push(tick(&value()?).ok_or(Wrong::Value("--tick", "FUNCTION=TIME, as dispatcher=60s"))?),
            _ => return Err(Wrong::Unknown(word)),
        }
    }
    let queue = match (name, function) {
        (Some(name), Some(function)) => Some(Queue { name, vhost, function, batch, window, limit }),
        (Some(_), None) => return Err(Wrong::Missing("--function")),
        (None, Some(_)) => return Err(Wrong::Missing("--queue")),
        (None, None) if ticks.is_empty() => return Err(Wrong::Missing("--queue or --tick")),
        (None, None) => None,
    };
    Ok(Run { invoke: invoke.ok_or(Wrong::Missing("--invoke"))?, queue, ticks })
}

fn read_publish(mut words: impl Iterator<Item = String>) -> Result<Publish, Wrong> {
    let (mut exchange, mut key) = (None, None);
    let mut publish = Publish::default();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| Wrong::NoValue(word.clone()));
        match word.as_str() {
            "--exchange" => exchange = Some(value?),
            "--key" => key = Some(value?),
            "--header" => publish.headers.push(header(&value?).ok_or(Wrong::Value("--header", "NAME=VALUE"))?),
            "--reply-to" => publish.reply_to = Some(value?),
            "--correlation-id" => publish.correlation_id = Some(value?),
            "--message-id" => publish.message_id = Some(value?),
            "--content-type" => publish.content_type = Some(value?),
            _ => return Err(Wrong::Unknown(word)),
        }
    }
    publish.exchange = exchange.ok_or(Wrong::Missing("--exchange"))?;
    publish.key = key.ok_or(Wrong::Missing("--key"))?;
    Ok(publish)
}

fn tick(text: &str) -> Option<Tick> {
    let (function, every) = text.split_once('=')?;
    let every = duration(every).filter(|every| !every.is_zero())?;
    Some(Tick { function: function.to_owned(), every }).filter(|tick| !tick.function.is_empty())
}

fn header(text: &str) -> Option<(String, HeaderValue)> {
    let (name, value) = text.split_once('=')?;
    let value = match (value, value.parse::<i64>()) {
        ("true", _) => HeaderValue::Bool(true),
        ("false", _) => HeaderValue::Bool(false),
        (_, Ok(number)) => HeaderValue::Int(number),
        (text, Err(_)) => HeaderValue::Text(text.to_owned()),
    };
    Some((name.to_owned(), value)).filter(|(name, _)| !name.is_empty())
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_words(words: &str) -> Result<Command, Wrong> {
        read(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_whole_line_is_read() {
        let line = "--queue talkback --vhost / --invoke http://127.0.0.1:9000 --function rabbitmq-consumer --batch 10 \
                    --window 200ms --tick dispatcher=60s --tick other=2m";
        let queue = Queue {
            name: "talkback".to_owned(),
            vhost: Some("/".to_owned()),
            function: "rabbitmq-consumer".to_owned(),
            batch: 10,
            window: Duration::from_millis(200),
            limit: Duration::from_secs(60),
        };
        let tick =
            |function: &str, seconds| Tick { function: function.to_owned(), every: Duration::from_secs(seconds) };
        let run = Run {
            invoke: "http://127.0.0.1:9000".to_owned(),
            queue: Some(queue),
            ticks: vec![tick("dispatcher", 60), tick("other", 120)],
        };
        assert_eq!(read_words(line), Ok(Command::Run(run)));
    }

    #[test]
    fn a_publish_is_read_with_its_headers() {
        let line = "publish --exchange e --key k --header alreadysent=true --header n=-5 --header t=a=b --reply-to q \
                    --correlation-id c";
        let headers = vec![
            ("alreadysent".to_owned(), HeaderValue::Bool(true)),
            ("n".to_owned(), HeaderValue::Int(-5)),
            ("t".to_owned(), HeaderValue::Text("a=b".to_owned())),
        ];
        let publish = Publish {
            exchange: "e".to_owned(),
            key: "k".to_owned(),
            headers,
            reply_to: Some("q".to_owned()),
            correlation_id: Some("c".to_owned()),
            ..Publish::default()
        };
        assert!(read_words(line) == Ok(Command::Publish(publish)));
    }

    #[test]
    fn a_wrong_word_is_named() {
        for (line, said) in [
            ("--quue talkback", "--quue is no option"),
            ("--queue", "--queue needs a value"),
            ("--queue q --invoke http://h", "--function is missing"),
            ("--queue q --function f", "--invoke is missing"),
            ("--invoke http://h", "--queue or --tick is missing"),
            ("--batch 0", "--batch must be a number from 1 to 10000"),
            ("--window soon", "--window must be a time such as 500ms, 60s or 2m"),
            ("--tick dispatcher", "--tick must be FUNCTION=TIME, as dispatcher=60s"),
            ("--tick dispatcher=0s", "--tick must be FUNCTION=TIME, as dispatcher=60s"),
            ("publish --exchange e", "--key is missing"),
            ("publish --exchange e --key k --header x", "--header must be NAME=VALUE"),
        ] {
            assert_eq!(read_words(line).unwrap_err().to_string(), said);
        }
    }
}
