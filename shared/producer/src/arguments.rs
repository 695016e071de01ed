//! The command line, read by hand: a wrong word is said by name, and nothing is guessed. What is to be said is never
//! part of what is said about it.
use std::ffi::OsString;
use std::time::Duration;

use talkback_producer::duration;
use uuid::Uuid;

use talkback_producer::Priority;

/// What `talkback-send` can be told.
pub(crate) const HELP: &str = "\
talkback-send [OPTIONS] [TEXT | -]
talkback-send --flush

Says something in the station's chat: through Talkback or, where Talkback does not answer in time, itself; then Talkback
is told of it afterwards, and what cannot be told now waits in a folder for the next call.
Without TEXT, or with -, the message is what stands on the input.

  --source KEY         the routing key, by which Talkback finds the room (source.standard)
  --priority WORD      urgent, high or normal (what Talkback's route says)
  --patience TIME      how long Talkback has for the first part (15s). Nobody answering, it is posted from here after
                       this and a margin: 2s, or half of it where that is less
  --uid UUID           the uid (a new one). Who says the same again must say it under the same uid
  --exchange NAME      where it is published (source_exchange)
  --image URL          a picture; may be given again. With pictures, TEXT may be missing
  --flush              go on with what lies in the spool
  --help               this

Settings, by environment
  AMQP_URL              where RabbitMQ is
  GROUPME_BOT_ID        the bot of the room
  GROUPME_API_URL       https://api.groupme.com/v3
  GROUPME_ACCESS_TOKEN  a member's token, and
  GROUPME_GROUP_ID      its group: so the room can be looked at before something is said twice
  TALKBACK_SEND_DRESS   classic or plain, as the room has it (classic)
  TALKBACK_SEND_PACE    the shortest time between two posts in the long run (1s)
  TALKBACK_SEND_RECORDS the exchange of records (source_exchange)
  TALKBACK_SEND_SPOOL   the folder of what is not done with (talkback-send in XDG_STATE_HOME, or in ~/.local/state).
                        All who speak by one bot should share it, as one user

On the output stands one word and the uid: taken or success (by Talkback), posted (from here), kept, refused, failed.
Exit codes
  0  said: taken, success or posted
  1  not said, and will not be: refused or failed
  2  the command or a setting is wrong: nothing was tried
  3  not said yet, or not wholly, but kept: the next call, or --flush, goes on with it
  4  posted from here, and there is no record of it anywhere";

/// What to do.
#[derive(Clone, PartialEq)]
pub(crate) enum Command {
    /// Say one message.
    Say(Say),
    /// Go on with what lies in the spool.
    Flush,
    /// Show how it is used.
    Help,
}

/// What to say, and how.
#[derive(Clone, PartialEq)]
pub(crate) struct Say {
    pub(crate) source: String,
    pub(crate) priority: Option<Priority>,
    pub(crate) patience: Option<Duration>,
    pub(crate) uid: Option<Uuid>,
    pub(crate) exchange: Option<String>,
    pub(crate) images: Vec<String>,
    /// `None`: what stands on the input.
    pub(crate) text: Option<String>,
    /// The input was asked for.
    pub(crate) reads_input: bool,
}

/// Reads the words after the program's name. An error names the option, never its value: a text may stand in the wrong
/// place.
pub(crate) fn read(words: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut say = Say {
        source: "source.standard".to_owned(),
        priority: None,
        patience: None,
        uid: None,
        exchange: None,
        images: Vec::new(),
        text: None,
        reads_input: false,
    };
    let (mut flush, mut only_text) = (false, false);
    let mut words = words.map(|word| word.to_string_lossy().into_owned()).peekable();
    let is_alone = words.peek().is_none();
    while let Some(word) = words.next() {
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) if !only_text && name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (word.clone(), None),
        };
        let mut value = |what: &str| {
            let value = inline.clone().or_else(|| words.next());
            value.filter(|value| !value.is_empty()).ok_or_else(|| format!("{what}: its value is missing"))
        };
        match name.as_str() {
            _ if only_text => text(&mut say, word)?,
            "--" => only_text = true,
            "--help" | "-h" => return Ok(Command::Help),
            "--flush" => flush = true,
            "--source" => say.source = value("--source")?,
            "--exchange" => say.exchange = Some(value("--exchange")?),
            "--image" => say.images.push(value("--image")?),
            "--priority" => {
                let word = value("--priority")?;
                let known = [Priority::Urgent, Priority::High, Priority::Normal];
                let priority = known.into_iter().find(|known| known.as_str() == word);
                say.priority = Some(priority.ok_or("--priority: must be urgent, high or normal")?);
            }
            "--patience" => {
                let patience = duration(&value("--patience")?);
                say.patience = Some(patience.ok_or("--patience: must be a time such as 15s or 2m")?);
            }
            "--uid" => {
                let uid = Uuid::try_parse(&value("--uid")?).ok().filter(|uid| !uid.is_nil());
                say.uid = Some(uid.ok_or("--uid: must be a UUID")?);
            }
            "-" => say.reads_input = true,
            name if name.starts_with('-') && name.len() > 1 => {
                return Err("an option that is not known (a text that begins with - goes after --)".to_owned());
            }
            _ => text(&mut say, word)?,
        }
    }
    if say.reads_input && say.text.is_some() {
        return Err("TEXT and - are both there".to_owned());
    }
    if flush {
        let is_alone = say.text.is_none() && !say.reads_input && say.images.is_empty() && say.uid.is_none();
        return if is_alone {
            Ok(Command::Flush)
        } else {
            Err("--flush says nothing: leave the message out".to_owned())
        };
    }
    // Nothing at all at a terminal is a question, not a message.
    if is_alone && std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return Ok(Command::Help);
    }
    Ok(Command::Say(say))
}

fn text(say: &mut Say, word: String) -> Result<(), String> {
    match say.text.replace(word) {
        None => Ok(()),
        Some(_) => Err("TEXT must be one word to the shell: put it in quotes".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Command, String> {
        read(words.iter().map(OsString::from))
    }

    fn say(words: &[&str]) -> Say {
        match of(words) {
            Ok(Command::Say(say)) => say,
            Ok(_) => panic!("{words:?} says nothing"),
            Err(error) => panic!("{words:?}: {error}"),
        }
    }

    #[test]
    fn everything_that_the_help_offers_is_understood() {
        let uid = "0b5c3c6e-93a5-4d0e-9d6c-3b8e0e0e2f11";
        let all = say(&[
            "--source=notification.ups.onbattery",
            "--priority",
            "urgent",
            "--patience",
            "3s",
            "--uid",
            uid,
            "--exchange",
            "wbor-ups",
            "--image",
            "https://a",
            "--image",
            "https://b",
            "On battery.",
        ]);
        assert_eq!(all.source, "notification.ups.onbattery");
        assert_eq!((all.priority, all.patience), (Some(Priority::Urgent), Some(Duration::from_secs(3))));
        assert_eq!(all.uid.map(|uid| uid.to_string()).as_deref(), Some(uid));
        assert_eq!((all.exchange.as_deref(), all.images.len()), (Some("wbor-ups"), 2));
        assert_eq!(all.text.as_deref(), Some("On battery."));
        for option in ["--source", "--priority", "--patience", "--uid", "--exchange", "--image", "--flush", "--help"] {
            assert!(HELP.contains(option), "{option}");
        }
        assert!(of(&["--flush"]) == Ok(Command::Flush));
        assert!(of(&["-h", "x"]) == Ok(Command::Help));
    }

    #[test]
    fn a_text_may_look_like_an_option_after_two_dashes_and_the_input_is_asked_for_by_one() {
        assert_eq!(say(&["--", "--flush"]).text.as_deref(), Some("--flush"));
        assert_eq!(say(&["--", "-"]).text.as_deref(), Some("-"));
        assert!(say(&["-"]).reads_input);
        assert_eq!(say(&["a=b"]).text.as_deref(), Some("a=b"));
    }

    #[test]
    fn what_is_wrong_is_named_and_not_quoted() {
        let secret = "call +12075550142";
        for words in [
            vec!["--priority", secret],
            vec!["--patience", secret],
            vec!["--uid", secret],
            vec!["--source"],
            vec![secret, secret],
            vec![secret, "-"],
            vec!["--flush", secret],
            vec!["--call +12075550142"],
            vec!["--uid", "00000000-0000-0000-0000-000000000000"],
            vec!["--patience", "0s"],
            vec!["--patience", "2562047788015215h"],
        ] {
            let error = of(&words).err().unwrap_or_else(|| panic!("{words:?} is right"));
            assert!(!error.contains("2075550142"), "{error}");
        }
    }
}
