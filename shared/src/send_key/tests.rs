//! Send keys: who is known, and what each may use.
use super::*;

/// `printf secret | sha256sum`
const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
/// `printf other | sha256sum`
const OTHER: &str = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";

fn key(rest: &str) -> SendKey {
    SendKey::parse(&format!("web:{SECRET}{rest}")).unwrap()
}

#[test]
fn a_key_is_known_by_its_hash_alone() {
    let key = key("");
    assert!(key.matches("secret"));
    assert!(!key.matches("Secret") && !key.matches("") && !key.matches(SECRET));
    let upper = SendKey::parse(&format!("web:{}", SECRET.to_uppercase())).unwrap();
    assert!(upper.same_key(&key) && upper.matches("secret"));
}

#[test]
fn whose_key_it_is_is_found_among_all() {
    let keys = [key(""), SendKey::parse(&format!("ups:{OTHER}")).unwrap()];
    assert_eq!(find(&keys, "secret").unwrap().name, "web");
    assert_eq!(find(&keys, "other").unwrap().name, "ups");
    assert!(find(&keys, "neither").is_none() && find(&[], "secret").is_none());
}

#[test]
fn what_a_key_may_do_follows_its_hash() {
    let rights = |rest: &str| {
        let key = key(rest);
        (key.sources.len(), key.urgent, key.rooms, key.ok200)
    };
    assert_eq!(rights(""), (0, false, false, false));
    assert_eq!(rights(":urgent"), (0, true, false, false));
    assert_eq!(rights("::ok200:rooms"), (0, false, true, true));
    assert_eq!(rights(":ups.#|standard:urgent:rooms:ok200"), (2, true, true, true));
}

#[test]
fn a_wrong_entry_is_refused_by_the_field_that_is_wrong() {
    let half = &SECRET[..63];
    for (entry, error) in [
        (String::new(), SendKeyError::Name),
        (format!(":{SECRET}"), SendKeyError::Name),
        (format!("two words:{SECRET}"), SendKeyError::Name),
        ("web".to_owned(), SendKeyError::Hash),
        (format!("web:{half}"), SendKeyError::Hash),
        (format!("web:{half}g"), SendKeyError::Hash),
        (format!("web:{half}é"), SendKeyError::Hash),
        (format!("web:{SECRET}:a|"), SendKeyError::Patterns),
        (format!("web:{SECRET}:a*"), SendKeyError::Patterns),
        (format!("web:{SECRET}:source.ups.#"), SendKeyError::Patterns),
        (format!("web:{SECRET}:a:admin"), SendKeyError::Word),
        (format!("web:{SECRET}:a:urgent:urgent"), SendKeyError::Word),
        (format!("web:{SECRET}:urgent:a"), SendKeyError::Word),
        (format!("web:{SECRET}:a:"), SendKeyError::Word),
    ] {
        assert_eq!(SendKey::parse(&entry).unwrap_err(), error, "{entry}");
    }
}

#[test]
fn a_key_without_patterns_may_use_standard_and_one_word_below_it() {
    let key = key("");
    assert!(key.may_use("standard") && key.may_use("standard.weather"));
    for other in ["", "standard.a.b", "standards", "ups", "ups.onbattery", "Standard"] {
        assert!(!key.may_use(other), "{other}");
    }
}

#[test]
fn a_key_with_patterns_may_use_what_they_match_and_nothing_else() {
    let key = key(":ups.#|weather.*");
    for own in ["ups", "ups.onbattery", "ups.a.b", "weather.wind"] {
        assert!(key.may_use(own), "{own}");
    }
    for other in ["standard", "weather", "weather.a.b", "upsala"] {
        assert!(!key.may_use(other), "{other}");
    }
}

#[test]
fn no_key_may_speak_as_twilio_groupme_or_talkback() {
    let key = key(":#");
    assert!(key.may_use("anything.else"));
    for theirs in ["twilio", "twilio.sms.incoming", "groupme", "groupme.msg", "talkback", "talkback.expired"] {
        assert!(!key.may_use(theirs), "{theirs}");
    }
}

#[test]
fn a_key_has_one_source_for_what_names_none() {
    let own = |rest: &str| key(rest).own_source().map(|source| source.as_str().to_owned());
    for (rest, want) in [
        ("", "source.standard"),
        (":#", "source.standard"),
        (":*", "source.standard"),
        (":ups.#|standard.*|standard", "source.standard"),
        (":ups.#|weather.wind|weather.rain", "source.weather.wind"),
        (":weather.*", "source.weather.web"),
        (":weather.#", "source.weather.web"),
        (":*.weather.#", "source.web.weather.web"),
        // What no key may use is passed over.
        (":twilio.sms.incoming|ups", "source.ups"),
        (":twilio.#|groupme|ups.*", "source.ups.web"),
    ] {
        assert_eq!(own(rest).as_deref(), Some(want), "{rest}");
    }
    assert_eq!(own(":twilio.#|talkback"), None);
    assert_eq!(own(&format!(":{}", "s".repeat(250))), None, "no routing key is as long");
    let dotted = SendKey::parse(&format!("Web.2:{SECRET}:weather.*")).unwrap();
    assert_eq!(dotted.own_source().unwrap().as_str(), "source.weather.web-2");
}
