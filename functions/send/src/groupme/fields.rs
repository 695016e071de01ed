//! The fields of a request to GroupMe, wherever they stand: in a body of JSON whatever its type is said to be (curl's
//! `-d '{…}'` says it is a form), in a body that is a form, or in the query. GroupMe takes all three, and its callers
//! use all three.
use std::borrow::Cow;

use lambda_http::Request;
use lambda_http::http::{HeaderMap, StatusCode, header};
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use serde_json::{Map, Value};
use talkback::json;

use crate::document::bytes_of;
use crate::problem::Problem;

/// The fields of one request; unknown ones are ignored, as by GroupMe.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Gathers them; what the body says goes before what the query says.
    ///
    /// # Errors
    /// 413 over 64 KiB, 415 for a body in another form or encoding, 400 if it is JSON that cannot be read.
    pub(crate) fn open(request: &Request) -> Result<Self, Problem> {
        let bytes = bytes_of(request)?;
        let mut fields = Map::from_iter(form(request.uri().query().unwrap_or_default()));
        fields.extend(body(bytes, request.headers())?);
        Ok(Self(fields))
    }

    /// Takes the secret out, before anything else sees it; `None` where it is no string.
    pub(crate) fn take_bot_id(&mut self) -> Option<SecretString> {
        match self.0.remove("bot_id")? {
            Value::String(id) => Some(SecretString::from(id)),
            _ => None,
        }
    }

    /// As they came, but for what was taken out.
    pub(crate) fn raw(&self) -> Vec<u8> {
        Value::from(self.0.clone()).to_string().into_bytes()
    }

    /// One of them; null is absent.
    pub(crate) fn get(&self, field: &str) -> Option<Value> {
        self.0.get(field).filter(|value| !value.is_null()).cloned()
    }
}

fn body(bytes: &[u8], headers: &HeaderMap) -> Result<Map<String, Value>, Problem> {
    let told = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let content_type = told(header::CONTENT_TYPE);
    if !["", "identity"].contains(&told(header::CONTENT_ENCODING).trim()) || content_type.starts_with("multipart/") {
        let detail = "the body must be JSON or a URL-encoded form, and not compressed";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{FEFF}').trim();
    let wrong = |what: &str| Problem::new(StatusCode::BAD_REQUEST, format!("the body is {what}"));
    if text.is_empty() {
        Ok(Map::new())
    } else if text.starts_with(['{', '[', '"']) || content_type.starts_with("application/json") {
        match json::parse(bytes).map_err(|error| wrong(&error.to_string()))? {
            Value::Object(fields) => Ok(fields),
            _ => Err(wrong("no JSON object")),
        }
    } else {
        Ok(form(text).collect())
    }
}

/// The pairs of a form. Of `attachments[][type]` only the first word counts: lists cannot be told in a form.
fn form(text: &str) -> impl Iterator<Item = (String, Value)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name);
        let name = name.split('[').next().unwrap_or_default().to_owned();
        (name, Value::from(decoded(value)))
    })
}

fn decoded(text: &str) -> String {
    let spaced: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use lambda_http::Body;

    use super::*;
    use crate::document::LARGEST;

    fn open(uri: &str, content_type: &str, body: impl Into<Body>) -> Result<Fields, Problem> {
        let request = lambda_http::http::Request::post(uri).header("content-type", content_type).body(body.into());
        Fields::open(&request.unwrap())
    }

    fn fields(uri: &str, content_type: &str, body: impl Into<Body>) -> Value {
        Value::Object(open(uri, content_type, body).unwrap_or_else(|problem| panic!("{problem:?}")).0)
    }

    fn status(result: Result<Fields, Problem>) -> Option<u16> {
        result.err().map(|problem| problem.into_envelope().status().as_u16())
    }

    const URI: &str = "/v3/bots/post";
    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn json_is_read_whatever_it_is_said_to_be() {
        for said in ["application/json", "application/json; charset=utf-8", FORM, "text/plain", ""] {
            assert_eq!(fields(URI, said, " {\"text\": \"a=b&c\"}"), json!({ "text": "a=b&c" }), "{said}");
        }
        assert_eq!(
            fields(URI, FORM, b"\xEF\xBB\xBF{\"text\": \"a\\ud83d\xFF\"}".to_vec()),
            json!({ "text": "a\u{FFFD}\u{FFFD}" })
        );
    }

    #[test]
    fn a_form_and_a_query_are_read_and_the_body_goes_before_the_query() {
        let want = json!({ "bot_id": "k", "text": "Now playing: É & + more" });
        assert_eq!(fields(URI, FORM, "bot_id=k&text=Now+playing%3A+%C3%89+%26+%2B+more"), want);
        assert_eq!(fields("/v3/bots/post?bot_id=k&text=Now%20playing:+%C3%89+%26+%2B+more", "", ""), want);
        assert_eq!(fields("/v3/bots/post?bot_id=k&text=no", "application/json", "{\"text\": \"yes\"}")["text"], "yes");
        assert_eq!(fields("/v3/bots/post?bot_id=k", "", "")["bot_id"], "k");
        assert_eq!(fields(URI, FORM, "text=a&&b&text=%FF%zz"), json!({ "text": "\u{FFFD}%zz", "b": "" }));
        assert_eq!(fields(URI, FORM, "attachments[][type]=image&text=a")["attachments"], "image");
        assert_eq!(fields(URI, "application/json", ""), json!({}));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for wrong in ["[]", "\"text\"", "{", "{\"a\": 1} {}"] {
            assert_eq!(status(open(URI, FORM, wrong)), Some(400), "{wrong}");
        }
        assert_eq!(status(open(URI, "application/json", "text=a")), Some(400));
        assert_eq!(status(open(URI, "multipart/form-data; boundary=x", "--x")), Some(415));
        assert_eq!(status(open(URI, FORM, "x".repeat(LARGEST))), None);
        assert_eq!(status(open(URI, FORM, "x".repeat(LARGEST + 1))), Some(413));
        let zipped = lambda_http::http::Request::post(URI).header("content-encoding", "gzip").body("{}".into());
        assert_eq!(status(Fields::open(&zipped.unwrap())), Some(415));
    }

    #[test]
    fn the_bot_id_leaves_the_fields_before_anything_else_sees_it() {
        let mut fields = open(URI, "", "{\"bot_id\": \"hunter2\", \"text\": \"t\"}").ok().unwrap();
        assert_eq!(fields.take_bot_id().unwrap().expose_secret(), "hunter2");
        assert_eq!(fields.raw(), b"{\"text\":\"t\"}");
        assert!(fields.take_bot_id().is_none());
        assert!(open(URI, "", "{\"bot_id\": 7}").ok().unwrap().take_bot_id().is_none());
    }
}
