//! Secrets leave what is kept of an input before it is sealed: those we know, wherever they stand, and what stands in
//! fields that are named like secrets. On bytes, not on JSON: what could not be read is kept too.
use secrecy::ExposeSecret as _;

use super::Relay;

/// Fields that hold secrets: of a bot, of a key, of a member.
const FIELDS: [&str; 4] = ["bot_id", "password", "token", "access_token"];

/// What stands in the place of a secret.
const STRUCK: &[u8] = b"***";

impl Relay {
    /// The bytes without the secrets that this configuration knows, and without those of others in fields that are
    /// named so, at any depth.
    pub(crate) fn strike_out(&self, raw: &[u8]) -> Vec<u8> {
        let settings = &self.settings;
        let bots = settings.rooms.iter().map(|room| &room.bot_id);
        let tokens = settings.groupme.callback_tokens.iter().chain(&settings.groupme.access_token);
        let secrets = bots.chain(tokens).chain(&settings.twilio_auth_token);
        let without_fields = FIELDS.iter().fold(raw.to_vec(), |raw, field| without_field(&raw, field));
        secrets.fold(without_fields, |raw, secret| without(raw, secret.expose_secret().as_bytes()))
    }
}

/// Every occurrence struck out. A secret of less than four bytes is none.
fn without(raw: Vec<u8>, secret: &[u8]) -> Vec<u8> {
    if secret.len() < 4 || find(&raw, secret).is_none() {
        return raw;
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.as_slice();
    while let Some(at) = find(rest, secret) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(STRUCK);
        rest = &rest[at + secret.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Every value of `"field":` struck out: a string to its closing quote or to the end, anything else to the next
/// delimiter.
fn without_field(raw: &[u8], field: &str) -> Vec<u8> {
    let name = format!("\"{field}\"").into_bytes();
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = find(rest, &name) {
        let (before, after) = rest.split_at(at + name.len());
        out.extend_from_slice(before);
        rest = after;
        let Some(value) = value_of(rest) else { continue };
        out.extend_from_slice(&rest[..value.start]);
        if !value.is_empty() {
            // What was JSON stays JSON.
            let quoted = out.ends_with(b"\"");
            out.extend_from_slice(if quoted { STRUCK } else { b"\"***\"" });
        }
        rest = &rest[value.end..];
    }
    out.extend_from_slice(rest);
    out
}

/// Where the value lies in what follows a field's name; `None` where no colon follows: it was no name.
fn value_of(rest: &[u8]) -> Option<std::ops::Range<usize>> {
    let skip = |from: usize| rest[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count() + from;
    let colon = skip(0);
    if rest.get(colon) != Some(&b':') {
        return None;
    }
    let start = skip(colon + 1);
    if rest.get(start) != Some(&b'"') {
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
        let length = rest[start..].iter().position(ends).unwrap_or(rest.len() - start);
        // A list or a table begins here: what is in it has names of its own. A null tells nothing.
        let scalar = !matches!(rest.get(start), Some(b'{' | b'[')) && &rest[start..start + length] != b"null";
        return Some(if scalar { start..start + length } else { start..start });
    }
    let mut escaped = false;
    let closes = |byte: &u8| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    };
    let inner = start + 1;
    let length = rest[inner..].iter().position(closes).unwrap_or(rest.len() - inner);
    Some(inner..inner + length)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(raw: &str) -> String {
        String::from_utf8(without_field(raw.as_bytes(), "bot_id")).unwrap()
    }

    #[test]
    fn a_field_is_struck_out_at_any_depth_and_also_in_what_is_no_json() {
        for (raw, wanted) in [
            (r#"{"bot_id": "s3cret", "text": "x"}"#, r#"{"bot_id": "***", "text": "x"}"#),
            (r#"{"a": [{"bot_id":"s3cret"}], "bot_id" : "s3cret"}"#, r#"{"a": [{"bot_id":"***"}], "bot_id" : "***"}"#),
            (r#"{"bot_id": "s3\"cret\\", "b": 1}"#, r#"{"bot_id": "***", "b": 1}"#),
            (r#"{"bot_id": 12345, "b": 1}"#, r#"{"bot_id": "***", "b": 1}"#),
            (r#"{"bot_id": 12345}"#, r#"{"bot_id": "***"}"#),
            (r#"{"bot_id": "s3cret"#, r#"{"bot_id": "***"#),
            (r#"{"bot_id": s3cret"#, r#"{"bot_id": "***""#),
            (r#"broken "bot_id": "s3cret" broken"#, r#"broken "bot_id": "***" broken"#),
        ] {
            assert_eq!(struck(raw), wanted);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for raw in [
            r#"{"bot_id": null, "b": "x"}"#,
            r#"{"bot_id": "", "b": "x"}"#,
            r#"{"text": "the \"bot_id\" is gone"}"#,
            r#"["bot_id", "x"]"#,
            r#"{"bot_id": {"other": 1}}"#,
            r#"{"bot_ids": "x"}"#,
            r#"{"bot_id""#,
            r#"{"bot_id":"#,
            "",
        ] {
            assert_eq!(struck(raw), raw);
        }
    }

    #[test]
    fn a_known_secret_is_struck_out_wherever_it_stands() {
        let raw = without(b"xs3cret-s3cret\xffs3cre".to_vec(), b"s3cret");
        assert_eq!(raw, b"x***-***\xffs3cre");
        assert_eq!(without(b"abc".to_vec(), b""), b"abc");
    }
}
