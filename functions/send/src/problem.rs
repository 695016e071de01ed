//! Errors that name the fields: RFC 9457 problem documents, or GroupMe's envelope where GroupMe is spoken. No value of a caller's document is ever in one, but the
//! names of fields, sources and rooms that were asked for with a valid key.
use std::borrow::Cow;
use std::time::Duration;

use lambda_http::http::{HeaderName, HeaderValue, StatusCode};
use lambda_http::{Body, Response};
use serde::Serialize;

use talkback::telemetry::metrics::REQUESTS_REFUSED;

use crate::answer;
use crate::groupme;
use crate::look_up::Candidate;

/// What is wrong with one field.
pub(crate) type Fault = (String, String);

/// A problem as RFC 9457 has it, with the fields that are wrong.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ProblemDocument {
    /// Always `about:blank`: the status says which problem it is.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong, for a person to read.
    detail: String,
    /// The fields that are wrong, by their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<String>,
    /// The messages that may be meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<Candidate>,
}

/// GroupMe's envelope around an error.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct GroupMeError {
    /// Always null.
    response: (),
    /// What is wrong.
    meta: GroupMeMeta,
}

/// What an envelope says of the request.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct GroupMeMeta {
    /// The HTTP status.
    code: u16,
    /// What is wrong, one text for each fault; one about a field begins with its name.
    errors: Vec<String>,
}

/// Why a request is not done.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    said: Vec<String>,
    fields: Vec<String>,
    header: Option<(&'static str, Cow<'static, str>)>,
    candidates: Vec<Candidate>,
}

impl Problem {
    /// A problem with the request as a whole.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, said: vec![detail.into()], fields: Vec::new(), header: None, candidates: Vec::new() }
    }

    /// A problem with one field; `what` goes on where its name ends.
    pub(crate) fn field(status: StatusCode, field: &str, what: &str) -> Self {
        Self { fields: vec![field.to_owned()], ..Self::new(status, format!("`{field}` {what}")) }
    }

    /// 400 for all faults of a document at once.
    pub(crate) fn faults(faults: Vec<Fault>) -> Self {
        let said = faults.iter().map(|(field, what)| format!("`{field}` {what}")).collect();
        let fields = faults.into_iter().map(|(field, _)| field).collect();
        Self { status: StatusCode::BAD_REQUEST, said, fields, header: None, candidates: Vec::new() }
    }

    /// 401, the same for every reason: which part of a credential was right is nobody's to know.
    pub(crate) fn unauthorized() -> Self {
        let header = ("www-authenticate", "Bearer realm=\"talkback\"".into());
        let detail = "a valid key is needed, as `Authorization: Bearer …` or as `password`; both must be the same";
        Self { header: Some(header), ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// 404 for an address where nothing stands.
    pub(crate) fn unknown_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "there is POST /send, GET /messages/{uid}, GET /health, GET /stats and POST /v3/bots/post",
        )
    }

    /// 405.
    pub(crate) fn wrong_method(allow: &'static str) -> Self {
        let header = ("allow", allow.into());
        let detail = format!("this address takes {allow}");
        Self { header: Some(header), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    /// 409, without detail: what is stored under the uid may be another sender's.
    pub(crate) fn conflict() -> Self {
        Self { fields: vec!["uid".to_owned()], ..Self::new(StatusCode::CONFLICT, "this uid is taken") }
    }

    /// 409: several messages are meant; the caller may choose.
    pub(crate) fn ambiguous(candidates: Vec<Candidate>) -> Self {
        let what = "is that of several messages: ask by the full one, and with ?source= where that is the same";
        Self { candidates, ..Self::field(StatusCode::CONFLICT, "uid", what) }
    }

    /// 503: nothing is known to be stored; the same request may be sent again.
    pub(crate) fn unavailable() -> Self {
        Self::retry("the message could not be stored; send it again, with the same uid or Idempotency-Key", "5")
    }

    /// 503: the message is stored or is not, but the store cannot be read.
    pub(crate) fn unreadable() -> Self {
        Self::retry("the store cannot be read now", "5")
    }

    /// 503: nobody can be let in.
    pub(crate) fn no_keys() -> Self {
        Self::retry("no send key is configured (TALKBACK_SEND_KEYS)", "60")
    }

    /// 429: the key has sent too much; the same request may be sent again.
    pub(crate) fn too_many(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let header = ("retry-after", seconds.to_string().into());
        let detail = "this key has sent too many messages; send it again later, with the same uid or Idempotency-Key";
        Self { header: Some(header), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    fn retry(detail: &str, after: &'static str) -> Self {
        let header = ("retry-after", after.into());
        Self { header: Some(header), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// What is counted of it: a door that refuses many is being tried.
    pub(crate) fn counted(&self) -> Option<&'static str> {
        match self.status.as_u16() {
            401 | 403 => Some("key"),
            413 => Some("size"),
            429 => Some("limit"),
            _ => None,
        }
    }

    /// The answer in the form of what stands at this address.
    pub(crate) fn answer_at(self, path: &str) -> Response<Body> {
        if let Some(reason) = self.counted() {
            REQUESTS_REFUSED.increment(&[reason]);
        }
        if groupme::stands_at(path) { self.into_envelope() } else { self.into_response() }
    }

    /// The answer.
    pub(crate) fn into_response(self) -> Response<Body> {
        let document = ProblemDocument {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: self.said.join("; "),
            fields: self.fields,
            candidates: self.candidates,
        };
        with(answer::typed(self.status, "application/problem+json", &document), self.header)
    }

    /// The answer as GroupMe would give it.
    pub(crate) fn into_envelope(self) -> Response<Body> {
        let envelope =
            GroupMeError { response: (), meta: GroupMeMeta { code: self.status.as_u16(), errors: self.said } };
        with(answer::json(self.status, &envelope), self.header)
    }
}

fn with(mut response: Response<Body>, header: Option<(&'static str, Cow<'static, str>)>) -> Response<Body> {
    if let Some((name, value)) = header {
        // Words and numbers of ours: each is a header's value.
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document(problem: Problem) -> (Response<Body>, Value) {
        let response = problem.into_response();
        let Body::Text(text) = response.body() else { panic!("no text") };
        let value = serde_json::from_str(text).unwrap();
        (response, value)
    }

    #[test]
    fn a_problem_names_every_field_that_is_wrong() {
        let fault = |field: &str| (field.to_owned(), "must be right".to_owned());
        let (response, document) = document(Problem::faults(vec![fault("body"), fault("uid")]));
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let want = json!({
            "type": "about:blank", "title": "Bad Request", "status": 400,
            "detail": "`body` must be right; `uid` must be right", "fields": ["body", "uid"],
        });
        assert_eq!(document, want);
    }

    #[test]
    fn each_status_carries_the_header_that_http_asks_for() {
        for (problem, status, name, value) in [
            (Problem::unauthorized(), 401, "www-authenticate", "Bearer realm=\"talkback\""),
            (Problem::wrong_method("POST"), 405, "allow", "POST"),
            (Problem::unavailable(), 503, "retry-after", "5"),
            (Problem::unreadable(), 503, "retry-after", "5"),
            (Problem::no_keys(), 503, "retry-after", "60"),
        ] {
            let (response, document) = document(problem);
            assert_eq!((response.status().as_u16(), &document["status"]), (status, &json!(status)));
            assert_eq!(response.headers()[name], value);
        }
    }

    #[test]
    fn groupmes_envelope_says_each_fault_and_carries_the_same_headers() {
        let fault = |field: &str| (field.to_owned(), "must be right".to_owned());
        let response = Problem::faults(vec![fault("text"), fault("picture_url")]).into_envelope();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (400, &"application/json".parse().unwrap())
        );
        let envelope: Value = serde_json::from_slice(response.body()).unwrap();
        let errors = ["`text` must be right", "`picture_url` must be right"];
        assert_eq!(envelope, json!({ "response": null, "meta": { "code": 400, "errors": errors } }));
        assert_eq!(Problem::unavailable().into_envelope().headers()["retry-after"], "5");
        assert_eq!(Problem::wrong_method("POST").into_envelope().headers()["allow"], "POST");
    }
}
