//! The dress that the station's people know, and what holds for every message in it.
use proptest::prelude::*;
use talkback::compose::{self, Draft, Dress, Limits, Medium, PartKind, Said};
use talkback::message::{Media, Uid};
use talkback::picture::Missing;
use talkback::route::RoutingKey;
use talkback::text::Text;
use unicode_segmentation::UnicodeSegmentation;

const GROUPME: Limits = Limits { post: 1000, cut: 900 };
const UID: &str = "1a2b3c4d-93a5-4d0e-9d6c-3b8e0e0e2f11";
const FOOTER: &str = "\n---UID---\n1a2b3c4d\n---------";
const HOSTED: &str = "https://i.groupme.com/640x480.jpeg.0f3c";
const ELSEWHERE: &str = "https://camera.example.org/now.jpg";

struct Message {
    uid: Uid,
    body: Text,
    media: Vec<Medium>,
}

/// A message whose pictures cannot be brought to the chat, for want of a token.
fn message(uid: &str, body: &str, pictures: &[&str]) -> Message {
    let media = |url: &&str| Medium::of(&Media { url: (*url).to_owned(), content_type: None }, false);
    let uid = Uid::parse(uid, &RoutingKey::parse("source.standard").unwrap()).unwrap();
    Message { uid, body: Text::clean(body), media: pictures.iter().map(media).collect() }
}

fn compose(message: &Message, dress: Dress, limits: Limits) -> Vec<Draft> {
    let said = Said { short_uid: message.uid.short(), body: message.body.as_str(), media: &message.media };
    compose::compose(&said, dress, limits)
}

fn said(drafts: &[Draft]) -> Vec<(&'static str, &str)> {
    drafts.iter().map(|draft| (draft.kind.as_str(), draft.text.as_str())).collect()
}

#[test]
fn a_short_message_is_one_post_in_quotes_with_its_uid_below() {
    let drafts = compose(&message(UID, "hello", &[]), Dress::Classic, GROUPME);
    assert_eq!(said(&drafts), [("text", "\"hello\"\n---UID---\n1a2b3c4d\n---------")]);
}

#[test]
fn a_long_message_is_labelled_and_only_its_last_part_has_the_footer() {
    let body = format!("{}{}", "a".repeat(900), "b".repeat(10));
    let drafts = compose(&message(UID, &body, &[]), Dress::Classic, GROUPME);
    let first = format!("(1/2):\n\"{}\"", "a".repeat(900));
    let last = format!("(2/2):\n\"{}\"{FOOTER}", "b".repeat(10));
    assert_eq!(said(&drafts), [("text", first.as_str()), ("text", last.as_str())]);
}

#[test]
fn a_text_of_900_characters_is_one_part_and_of_901_two() {
    let parts = |length: usize| compose(&message(UID, &"é".repeat(length), &[]), Dress::Classic, GROUPME).len();
    assert_eq!((parts(900), parts(901)), (1, 2));
}

#[test]
fn pictures_follow_the_text_and_are_counted_in_its_footer() {
    let drafts = compose(&message(UID, "look", &[HOSTED, HOSTED]), Dress::Classic, GROUPME);
    let text = "\"look\"\n---UID---\n1a2b3c4d\n2 media items attached\n---------";
    assert_eq!(said(&drafts), [("text", text), ("picture", ""), ("picture", "")]);
    assert_eq!(drafts[1].picture_url.as_deref(), Some(HOSTED));
    let drafts = compose(&message(UID, "look", &[HOSTED]), Dress::Classic, GROUPME);
    assert!(drafts[0].text.contains("\n1 media item attached\n"));
}

#[test]
fn pictures_without_text_are_closed_by_a_post_that_counts_them_and_names_the_uid() {
    let drafts = compose(&message(UID, " \n", &[HOSTED, HOSTED]), Dress::Classic, GROUPME);
    let closing = format!("2 pictures were sent, without any text.{FOOTER}");
    assert_eq!(said(&drafts), [("picture", ""), ("picture", ""), ("closing", closing.as_str())]);
}

#[test]
fn pictures_that_cannot_be_sent_are_told_in_one_notice_without_their_urls() {
    let wrong = [
        ELSEWHERE,
        "https://i.groupme.com.example.org/x",
        "http://i.groupme.com/x",
        "https://i.groupme.com/",
        "https://i.groupme.com/a/b.gif",
        "x",
    ];
    let drafts = compose(&message(UID, "look", &[&wrong[..], &[HOSTED]].concat()), Dress::Classic, GROUPME);
    let kinds: Vec<&str> = drafts.iter().map(|draft| draft.kind.as_str()).collect();
    assert_eq!(kinds, ["text", "picture", "notice"]);
    assert!(drafts[0].text.contains("\n1 media item attached\n"));
    assert!(drafts[2].text.starts_with("6 pictures could not be sent: "), "{}", drafts[2].text);
    assert!(!drafts[2].text.contains("://") && !drafts[2].text.contains("example.org"));
}

#[test]
fn a_message_of_one_picture_that_cannot_be_sent_still_says_so_and_names_its_uid() {
    let drafts = compose(&message(UID, "", &[ELSEWHERE]), Dress::Classic, GROUPME);
    assert_eq!(drafts.len(), 1);
    assert_eq!(drafts[0].kind, PartKind::Notice);
    assert!(drafts[0].text.starts_with("1 picture could not be sent: ") && drafts[0].text.ends_with(FOOTER));
}

#[test]
fn a_picture_that_is_still_to_be_brought_counts_as_if_it_were_there() {
    let coming = Medium::of(&Media { url: ELSEWHERE.to_owned(), content_type: None }, true);
    assert!(coming == Medium::Coming);
    let look = Message { media: vec![coming, Medium::There(HOSTED.to_owned())], ..message(UID, "look", &[]) };
    let drafts = compose(&look, Dress::Classic, GROUPME);
    let pictures: Vec<Option<&str>> = drafts[1..].iter().map(|draft| draft.picture_url.as_deref()).collect();
    assert_eq!(pictures, [None, Some(HOSTED)]);
    assert!(drafts[0].text.contains("\n2 media items attached\n"));
}

#[test]
fn one_notice_says_how_many_pictures_are_missing_and_why() {
    let notice = |missing: &[Missing]| {
        let media = missing.iter().map(|missing| Medium::Missing(*missing)).collect();
        let drafts = compose(&Message { media, ..message(UID, "look", &[]) }, Dress::Classic, GROUPME);
        assert_eq!(drafts.len(), 2);
        drafts[1].text.clone()
    };
    assert_eq!(notice(&[Missing::TooLarge]), "1 picture could not be sent: too large.");
    assert_eq!(notice(&[Missing::TooLarge; 3]), "3 pictures could not be sent: too large.");
    assert_eq!(
        notice(&[Missing::NoPicture, Missing::TooLarge, Missing::NoPicture]),
        "3 pictures could not be sent: 2 no gif, jpeg or png; 1 too large."
    );
    // Each reason is told as what it is.
    let told: std::collections::BTreeSet<String> = Missing::ALL.iter().map(|missing| notice(&[*missing])).collect();
    assert_eq!(told.len(), Missing::ALL.len());
}

#[test]
fn plain_dress_adds_nothing_but_labels() {
    let drafts = compose(&message(UID, "say \"hi\"", &[HOSTED]), Dress::Plain, GROUPME);
    assert_eq!(said(&drafts), [("text", "say \"hi\""), ("picture", "")]);
    let drafts = compose(&message(UID, &"a".repeat(901), &[]), Dress::Plain, GROUPME);
    assert_eq!(drafts[1].text, "(2/2):\na");
    assert_eq!(said(&compose(&message(UID, "", &[HOSTED]), Dress::Plain, GROUPME)), [("picture", "")]);
}

#[test]
fn white_space_that_alone_fills_a_part_is_no_post() {
    let body = format!("before{}after{}", "\n".repeat(5000), " ".repeat(3000));
    for dress in [Dress::Classic, Dress::Plain] {
        let drafts = compose(&message(UID, &body, &[]), dress, GROUPME);
        assert!(
            drafts.len() <= 3
                && drafts.iter().all(|draft| draft.text.contains("before") || draft.text.contains("after"))
        );
    }
}

#[test]
fn a_hundred_parts_are_labelled_as_what_they_are() {
    let drafts = compose(&message(UID, &"word ".repeat(20_000), &[]), Dress::Classic, GROUPME);
    let count = drafts.len();
    assert!(count > 100);
    for (i, draft) in drafts.iter().enumerate() {
        assert!(draft.text.starts_with(&format!("({}/{count}):\n\"", i + 1)));
    }
}

#[test]
fn a_label_of_more_digits_takes_its_room_from_the_text() {
    let uid = "u".repeat(64);
    // Around ten parts, with every length of the last one: some fill it to the brim.
    for length in (4350..4850).step_by(2) {
        let drafts = compose(&message(&uid, &"😀".repeat(length), &[HOSTED]), Dress::Classic, GROUPME);
        let longest = drafts.iter().map(|draft| draft.text.encode_utf16().count()).max();
        assert!(longest <= Some(1000), "{length} emoji: {longest:?}");
    }
}

/// Text as people and machines make it, shuffled: words, lines, paragraphs, emoji that join, flags, marks in heaps.
pub(crate) fn prose() -> impl Strategy<Value = String> {
    let bits = prop_oneof![
        8 => "[a-zA-Z]{1,12} ",
        2 => "[a-z]{1,8}[.!?] ",
        1 => "[a-z0-9/]{20,80}",
        1 => Just("\n".to_owned()),
        1 => Just("\n\n".to_owned()),
        1 => Just("\r\n \t".to_owned()),
        1 => Just("👨\u{200D}👩\u{200D}👧\u{200D}👦".to_owned()),
        1 => Just("🇩🇪🇫🇷".to_owned()),
        1 => Just("🏴\u{E0067}\u{E0062}\u{E0077}\u{E006C}\u{E0073}\u{E007F}".to_owned()),
        1 => Just("क्\u{200D}षि می\u{200C}خواهم ".to_owned()),
        1 => "[今日漢字かなカナ。]{1,20}",
        1 => "e\u{301}[\u{300}-\u{310}]{0,40}",
        1 => "[\u{1F600}-\u{1F64F}]{1,30}",
        1 => any::<String>(),
    ];
    (prop::collection::vec(bits, 0..60), 1_usize..8).prop_map(|(bits, times)| bits.concat().repeat(times))
}

/// The body, put together again from its posts.
fn undressed(texts: &[&str], dress: Dress, footer: &str) -> String {
    let count = texts.len();
    let mut body = String::new();
    for (i, text) in texts.iter().enumerate() {
        let label = if count > 1 { format!("({}/{count}):\n", i + 1) } else { String::new() };
        let text = text.strip_prefix(label.as_str()).expect("a label");
        let text = if i + 1 == count { text.strip_suffix(footer).expect("a footer") } else { text };
        body += match dress {
            Dress::Classic => text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).expect("quotes"),
            Dress::Plain => text,
        };
    }
    body
}

proptest! {
    #[test]
    fn nothing_of_a_message_is_lost_and_no_post_is_too_long(
        body in prose(),
        uid in "[!-~]{1,64}",
        pictures in 0_usize..3,
        others in 0_usize..3,
        classic in any::<bool>(),
    ) {
        let dress = if classic { Dress::Classic } else { Dress::Plain };
        let urls = [vec![HOSTED; pictures], vec![ELSEWHERE; others]].concat();
        let message = message(&uid, &body, &urls);
        let drafts = compose(&message, dress, GROUPME);
        prop_assert_eq!(drafts.is_empty(), message.body.is_blank() && urls.is_empty());
        prop_assert_eq!(drafts.iter().filter(|draft| draft.kind == PartKind::Picture).count(), pictures);
        for draft in &drafts {
            prop_assert!(draft.text.chars().count() <= 1000 && draft.text.encode_utf16().count() <= 1000);
            prop_assert_eq!(draft.text.trim().is_empty(), draft.kind == PartKind::Picture);
        }

        let texts: Vec<&str> =
            drafts.iter().filter(|draft| draft.kind == PartKind::Text).map(|draft| draft.text.as_str()).collect();
        prop_assert_eq!(texts.is_empty(), message.body.is_blank());
        if !texts.is_empty() {
            let attached = ["", "\n1 media item attached", "\n2 media items attached"][pictures];
            let footer = format!("\n---UID---\n{}{attached}\n---------", message.uid.short());
            let footer = if classic { footer.as_str() } else { "" };
            let again = undressed(&texts, dress, footer);
            prop_assert_eq!(said_of(&again), said_of(message.body.as_str()));
        }
    }

    #[test]
    fn no_grapheme_that_fits_is_cut(body in prose()) {
        let message = message(UID, &body, &[]);
        let drafts = compose(&message, Dress::Plain, GROUPME);
        let texts: Vec<&str> = drafts.iter().map(|draft| draft.text.as_str()).collect();
        let whole: Vec<&str> = message.body.as_str().graphemes(true).collect();
        let cut: Vec<String> = if texts.len() > 1 {
            let bodies = texts.iter().map(|text| text.split_once("):\n").expect("a label").1);
            bodies.flat_map(|text| text.graphemes(true).map(str::to_owned)).collect()
        } else {
            texts.iter().flat_map(|text| text.graphemes(true).map(str::to_owned)).collect()
        };
        let longest = whole.iter().map(|grapheme| grapheme.encode_utf16().count()).max().unwrap_or(0);
        if !message.body.is_blank() && longest < 900 {
            prop_assert_eq!(cut.iter().filter(|g| !g.trim().is_empty()).collect::<Vec<_>>(),
                whole.iter().filter(|g| !g.trim().is_empty()).collect::<Vec<_>>());
        }
    }
}

/// A body as far as it must come back: whole; only of one with white space enough to fill a part, just the words.
fn said_of(body: &str) -> String {
    let longest = body.split(|c: char| !c.is_whitespace()).map(|blank| blank.chars().count()).max();
    if longest.unwrap_or(0) < 400 { body.to_owned() } else { body.split_whitespace().collect() }
}
