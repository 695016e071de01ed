//! The document of a request: read leniently as JSON (half surrogates, raw control characters), strictly as to its
//! fields. The password leaves it before anything else sees it.
use lambda_http::http::{HeaderMap, StatusCode, header};
use lambda_http::{Body, Request};
use secrecy::SecretString;
use serde_json::{Map, Value};
use talkback::json;

use crate::problem::{Fault, Problem};

/// The largest document that is read.
pub(crate) const LARGEST: usize = 64 * 1024;

/// The body of a request.
///
/// # Errors
/// 413 over 64 KiB.
pub(crate) fn bytes_of(request: &Request) -> Result<&[u8], Problem> {
    let bytes: &[u8] = match request.body() {
        Body::Text(text) => text.as_bytes(),
        Body::Binary(bytes) => bytes,
        _ => &[],
    };
    if bytes.len() > LARGEST {
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body may have 64 KiB"));
    }
    Ok(bytes)
}

/// The fields of a document, taken out one by one; what is wrong is gathered, so that it is all told at once.
pub(crate) struct Document {
    fields: Map<String, Value>,
    faults: Vec<Fault>,
    /// What the document says of the sender's key; empty where it is no string.
    pub(crate) password: Option<SecretString>,
}

impl Document {
    /// Opens the document of a request.
    ///
    /// # Errors
    /// 413 over 64 KiB, 415 if it is not said to be JSON in UTF-8, 400 if it is no JSON object.
    pub(crate) fn open(request: &Request) -> Result<Self, Problem> {
        let bytes = bytes_of(request)?;
        if !is_json(request.headers()) {
            let detail = "Content-Type must be application/json, in UTF-8 and not compressed";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let wrong = |what: String| Problem::new(StatusCode::BAD_REQUEST, format!("the document is {what}"));
        match json::parse(bytes) {
            Ok(Value::Object(fields)) => Ok(Self::of(fields)),
            Ok(_) => Err(wrong("no JSON object".to_owned())),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    pub(crate) fn of(mut fields: Map<String, Value>) -> Self {
        let password = match fields.remove("password") {
            None | Some(Value::Null) => None,
            Some(Value::String(password)) => Some(SecretString::from(password)),
            Some(_) => Some(SecretString::default()),
        };
        Self { fields, faults: Vec::new(), password }
    }

    /// As it came, but for the password: for a person to see, should it be refused later.
    pub(crate) fn raw(&self) -> Vec<u8> {
        Value::from(self.fields.clone()).to_string().into_bytes()
    }

    /// Takes a field out; null is absent.
    pub(crate) fn take(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field).filter(|value| !value.is_null())
    }

    /// Takes a field that must be a string.
    pub(crate) fn string(&mut self, field: &str) -> Option<String> {
        match self.take(field)? {
            Value::String(text) => Some(text),
            _ => self.none(field, "must be a string"),
        }
    }

    /// Takes a field that must be a list of strings.
    pub(crate) fn strings(&mut self, field: &str) -> Option<Vec<String>> {
        let Value::Array(list) = self.take(field)? else { return self.none(field, "must be a list of strings") };
        let texts: Option<Vec<String>> = list.into_iter().map(|item| Some(item.as_str()?.to_owned())).collect();
        texts.or_else(|| self.none(field, "must be a list of strings"))
    }

    /// Notes what is wrong with a field.
    pub(crate) fn fault(&mut self, field: &str, what: &str) {
        self.faults.push((field.to_owned(), what.to_owned()));
    }

    /// Notes what is wrong with a field that then counts as absent.
    pub(crate) fn none<T>(&mut self, field: &str, what: &str) -> Option<T> {
        self.fault(field, what);
        None
    }

    /// Whether something is wrong with a field.
    pub(crate) fn is_at_fault(&self, field: &str) -> bool {
        self.faults.iter().any(|(name, _)| name == field)
    }

    /// Ends the reading: what was not taken is unknown.
    ///
    /// # Errors
    /// 400 with everything that is wrong.
    pub(crate) fn end(mut self) -> Result<(), Problem> {
        let unknown: Vec<String> = self.fields.keys().map(|name| name.chars().take(64).collect()).collect();
        for name in unknown {
            self.faults.push((name, "is not a known field".to_owned()));
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::faults(self.faults)) }
    }
}

/// Whether the body is said to be what this door reads. A body in another encoding would be garbled in silence.
fn is_json(headers: &HeaderMap) -> bool {
    let told = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let content_type = told(header::CONTENT_TYPE);
    let mut parts = content_type.split(';').map(str::trim);
    let json = parts.next() == Some("application/json");
    let utf8 = parts
        .filter_map(|part| part.strip_prefix("charset="))
        .all(|set| ["utf-8", "utf8", "us-ascii"].contains(&set.trim_matches('"')));
    json && utf8 && ["", "identity"].contains(&told(header::CONTENT_ENCODING).trim())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::*;

    fn open(content_type: &str, body: impl Into<Body>) -> Result<Document, Problem> {
        let request = lambda_http::http::Request::builder().header("content-type", content_type).body(body.into());
        Document::open(&request.unwrap())
    }

    fn status(result: Result<Document, Problem>) -> Option<u16> {
        result.err().map(|problem| problem.into_response().status().as_u16())
    }

    #[test]
    fn only_json_in_utf8_is_opened() {
        for right in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\""] {
            assert_eq!(status(open(right, "{}")), None, "{right}");
        }
        for wrong in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "application/json; charset=latin1",
        ] {
            assert_eq!(status(open(wrong, "{}")), Some(415), "{wrong}");
        }
        let request = lambda_http::http::Request::builder()
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .body("{}".into());
        assert_eq!(status(Document::open(&request.unwrap())), Some(415));
        assert_eq!(status(Document::open(&Request::new("{}".into()))), Some(415));
    }

    #[test]
    fn what_is_no_object_or_too_large_is_refused() {
        for wrong in ["", "[]", "null", "\"text\"", "{", "{\"a\": 1} {}"] {
            assert_eq!(status(open("application/json", wrong)), Some(400), "{wrong}");
        }
        let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert_eq!(status(open("application/json", sized(LARGEST))), None);
        assert_eq!(status(open("application/json", sized(LARGEST + 1))), Some(413));
    }

    #[test]
    fn half_a_surrogate_pair_and_bytes_that_are_not_utf8_do_not_refuse_a_document() {
        let mut document = open("application/json", b"{\"body\": \"a\\ud83db\xFF\"}".to_vec()).ok().unwrap();
        assert_eq!(document.string("body").as_deref(), Some("a\u{FFFD}b\u{FFFD}"));
    }

    #[test]
    fn the_password_leaves_the_document_before_anything_else_sees_it() {
        let mut document = open("application/json", "{\"body\": \"b\", \"password\": \"hunter2\"}").ok().unwrap();
        assert_eq!(document.password.as_ref().unwrap().expose_secret(), "hunter2");
        assert!(document.take("password").is_none());
        assert_eq!(document.raw(), b"{\"body\":\"b\"}");
        let password = |body: &str| open("application/json", body).ok().unwrap().password;
        assert!(password("{\"password\": null}").is_none());
        assert_eq!(password("{\"password\": 7}").unwrap().expose_secret(), "");
    }

    #[test]
    fn everything_wrong_is_told_at_once_by_the_name_of_its_field() {
        let Value::Object(fields) = json!({ "a": 1, "b": ["x", 1], "c": "x", "d": null, "e": null, "f": 1 }) else {
            panic!()
        };
        let mut document = Document::of(fields);
        assert_eq!((document.string("a"), document.strings("b"), document.strings("c")), (None, None, None));
        assert_eq!((document.string("d"), document.take("missing")), (None, None));
        let response = document.end().unwrap_err().into_response();
        let problem: Value = serde_json::from_slice(response.body()).unwrap();
        let want = "`a` must be a string; `b` must be a list of strings; `c` must be a list of strings; \
                    `e` is not a known field; `f` is not a known field";
        assert_eq!(problem["detail"], want);
    }
}
