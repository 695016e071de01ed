//! The sanitizer and the splitter. The first two bytes are the limits in code points and UTF-16 units, the rest a text.
use talkback::compose::{Dress, Medium, Said, compose};
use talkback::picture::Missing;
use talkback::text::{Text, split};
use unicode_segmentation::UnicodeSegmentation as _;

pub(crate) fn holds(bytes: &[u8]) {
    let Some(([points, units], text)) = bytes.split_first_chunk() else { return };
    let raw = String::from_utf8_lossy(text);
    let text = Text::clean(&raw);
    is_clean(&raw, &text);
    is_split(text.as_str(), usize::from(*points).max(1), usize::from(*units).max(2));
    is_composed(text.as_str());
}

/// Panics unless the text is clean, and was changed only where it was not.
pub(crate) fn is_clean(raw: &str, text: &Text) {
    let hidden = |c: char| c == '\r' || (c.is_control() && c != '\n' && c != '\t');
    assert!(!text.as_str().chars().any(hidden), "control characters are left");
    assert_eq!(&Text::clean(text.as_str()), text, "cleaning clean text changes it");
    assert!(text.as_str().chars().count() <= raw.chars().count(), "cleaning adds something");
    // Only a CR before a newline is taken away; everything else stays or has something in its place.
    let crlf = raw.matches("\r\n").count();
    assert_eq!(text.as_str().chars().count() + crlf, raw.chars().count(), "cleaning loses something");
    // Letters, digits and punctuation of every script are what people said.
    let mut kept = text.as_str().chars();
    for c in raw.replace("\r\n", "\n").chars() {
        let kept = kept.next();
        assert!(!(c.is_alphanumeric() || c.is_ascii_punctuation()) || kept == Some(c), "{c:?} became {kept:?}");
    }
}

/// Panics unless the pieces are the text, each within its limits, and cut where nothing breaks.
fn is_split(text: &str, points: usize, units: usize) {
    let pieces = split(text, points, units);
    assert_eq!(pieces.concat(), text, "the pieces are not the text");
    let borders: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).collect();
    let mut at = 0;
    for piece in &pieces {
        assert!(!piece.is_empty(), "an empty piece");
        assert!(piece.chars().count() <= points && piece.encode_utf16().count() <= units, "a piece is too long");
        // Cut inside a grapheme only if it is too long for a piece.
        if let Err(next) = borders.binary_search(&at) {
            let end = borders.get(next).copied().unwrap_or(text.len());
            let whole = &text[borders[next - 1]..end];
            assert!(whole.chars().count() > points || whole.encode_utf16().count() > units, "{whole:?} was cut");
        }
        at += piece.len();
    }
    // As few as may be: two neighbours never fit into one, unless a better border lay between them; a text that fits is
    // one piece.
    if text.chars().count() <= points && text.encode_utf16().count() <= units {
        assert!(pieces.len() <= 1, "cut without need");
    }
}

/// Panics unless each post is within the limits of its channel, and the posts say the whole body.
pub(crate) fn is_composed(body: &str) {
    let Some(limits) = talkback::channel::limits("groupme") else { panic!("there is no channel groupme") };
    for dress in [Dress::Classic, Dress::Plain] {
        for media in [&[][..], &[Medium::Coming, Medium::Missing(Missing::TooLarge)]] {
            let drafts = compose(&Said { short_uid: "0a1b2c3d", body, media }, dress, limits);
            assert!(drafts.is_empty() == (body.trim().is_empty() && media.is_empty()), "{} posts", drafts.len());
            for draft in &drafts {
                let length = draft.text.chars().count().max(draft.text.encode_utf16().count());
                assert!(length <= limits.post, "a post of {length}");
            }
            // What was said is all there: not a visible character is missing, none is doubled.
            let visible = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
            let texts = drafts.iter().filter(|draft| draft.kind.as_str() == "text");
            let (count, said) = texts.fold((0, 0), |(count, said), draft| (count + 1, said + visible(&draft.text)));
            let labels: usize =
                if count > 1 { (1..=count).map(|n| visible(&format!("({n}/{count}):"))).sum() } else { 0 };
            let (quotes, footer) = match dress {
                Dress::Classic if count > 0 && media.is_empty() => (2 * count, visible("---UID---0a1b2c3d---------")),
                Dress::Classic if count > 0 => (2 * count, visible("---UID---0a1b2c3d1mediaitemattached---------")),
                _ => (0, 0),
            };
            assert_eq!(said, visible(body) + labels + quotes + footer, "{dress:?}");
        }
    }
}
