//! Sealed values open in their own place and nowhere else; look-up hashes tell purposes apart.
use super::*;

const K1: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const K2: &str = "HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const PLACE: Place<'static> = Place { table: "messages", column: "body", row: "17" };

fn keys(list: &str) -> Keys {
    Keys::parse(list).unwrap()
}

#[test]
fn what_was_sealed_opens_in_its_place_and_looks_different_each_time() {
    let keys = keys(&format!("k1:{K1}"));
    for plain in [&b""[..], b"hello", &[0; 4096]] {
        let sealed = keys.seal(PLACE, plain);
        assert_eq!(keys.open(PLACE, &sealed).unwrap(), plain);
        assert_ne!(keys.seal(PLACE, plain), sealed);
        assert!(plain.is_empty() || !sealed.windows(plain.len()).any(|window| window == plain));
    }
}

#[test]
fn a_value_moved_to_another_row_column_or_table_does_not_open() {
    let keys = keys(&format!("k1:{K1}"));
    let sealed = keys.seal(PLACE, b"hello");
    for place in [
        Place { row: "18", ..PLACE },
        Place { column: "sender", ..PLACE },
        Place { table: "rejected", ..PLACE },
        // The same letters, with the borders elsewhere.
        Place { table: "messagesbody", column: "", ..PLACE },
        Place { column: "body1", row: "7", ..PLACE },
    ] {
        assert!(matches!(keys.open(place, &sealed), Err(SealError::Forged { .. })), "{place:?}");
    }
}

#[test]
fn a_value_changed_or_cut_anywhere_does_not_open() {
    let keys = keys(&format!("k1:{K1}"));
    let sealed = keys.seal(PLACE, b"hello");
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(keys.open(PLACE, &changed).is_err(), "byte {at}");
        assert!(keys.open(PLACE, &sealed[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn the_newest_key_seals_and_an_older_one_still_opens() {
    let old = keys(&format!("k1:{K1}"));
    let new = keys(&format!("k2:{K2}, k1:{K1}"));
    let sealed = old.seal(PLACE, b"hello");
    assert_eq!(new.open(PLACE, &sealed).unwrap(), b"hello");
    let unknown = old.open(PLACE, &new.seal(PLACE, b"hello")).unwrap_err();
    assert_eq!(unknown, SealError::UnknownKey("k2".to_owned()));
    assert!(unknown.to_string().contains("key k2"));
}

#[test]
fn the_newest_key_proves_and_what_an_older_one_proved_is_still_known() {
    let old = keys(&format!("k1:{K1}"));
    let new = keys(&format!("k2:{K2}, k1:{K1}"));
    let proof = old.prove(b"hello");
    assert!(old.is_proven(b"hello", &proof) && new.is_proven(b"hello", &proof));
    assert!(!new.is_proven(b"hullo", &proof) && !new.is_proven(b"hello", &proof[1..]));
    assert_eq!(new.prove(b"hello"), keys(&format!("k9:{K2}")).prove(b"hello"), "by the newest, whatever its name");
    assert!(!old.is_proven(b"hello", &new.prove(b"hello")), "by no key that it has");
    // Nothing else that is made of the same key proves anything.
    let lookup = Lookup::parse(K1).unwrap();
    assert!(!old.is_proven(b"hello", &lookup.hash("record", b"hello")));
}

#[test]
fn two_keys_under_one_id_do_not_open_each_others_values() {
    let sealed = keys(&format!("k1:{K1}")).seal(PLACE, b"hello");
    assert!(matches!(keys(&format!("k1:{K2}")).open(PLACE, &sealed), Err(SealError::Forged { .. })));
}

#[test]
fn wrong_keys_are_named_by_position() {
    for (list, error) in [
        (String::new(), KeyError::Empty),
        (" , ".to_owned(), KeyError::Empty),
        (K1.to_owned(), KeyError::Entry(1)),
        (format!("k1:{K1},k2"), KeyError::Entry(2)),
        (format!(":{K1}"), KeyError::Entry(1)),
        (format!("{K1}:k1"), KeyError::Entry(1)),
        ("k1:AAEC".to_owned(), KeyError::Entry(1)),
        (format!("k1:{K1}AAAA"), KeyError::Entry(1)),
        (format!("k1:{K1},k1:{K2}"), KeyError::Twice(2)),
    ] {
        assert_eq!(Keys::parse(&list).unwrap_err(), error, "{list}");
    }
    assert!(Keys::parse(&format!("k1:{}", K1.trim_end_matches('='))).is_ok());
}

#[test]
fn equal_values_have_equal_hashes_under_one_purpose_and_key_only() {
    let lookup = Lookup::parse(K1).unwrap();
    let hash = lookup.hash("sender", b"+16175550123");
    assert_eq!(hash.len(), 32);
    assert_eq!(hash, lookup.hash("sender", b"+16175550123"));
    assert_ne!(hash, lookup.hash("content", b"+16175550123"));
    assert_ne!(lookup.hash("a", b"bc"), lookup.hash("ab", b"c"));
    assert_ne!(hash, Lookup::parse(K2).unwrap().hash("sender", b"+16175550123"));
    for short in ["", "AAEC", "not base64 at all, whatever its length may be"] {
        assert_eq!(Lookup::parse(short).unwrap_err(), KeyError::Lookup);
    }
}

#[test]
fn secrets_are_equal_only_whole() {
    assert!(same(b"token", b"token"));
    for other in [&b""[..], b"toke", b"tokens", b"Token"] {
        assert!(!same(other, b"token"));
    }
}
