//! The event of a function URL or an HTTP API (payload format 2.0) as a request, and the answer in its form.
//!
//! Read here and not by `lambda_http`, which panics on a body that is not the base64 it is said to be, and on a `Host`
//! or path that makes no URL: anybody could end an invocation without an answer.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use lambda_http::{Body, Request, RequestExt as _, Response};
use lambda_runtime::Context;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::problem::Problem;

/// What a URI's path may not hold as it is; not `%`, since what is escaped stays so.
const UNFIT: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');

/// The request that the event is about, without the stage before its path.
///
/// # Errors
/// 400 if there is no method or no path, or the body is not what it is said to be.
pub(crate) fn read(event: &Value, context: Context) -> Result<Request, Problem> {
    let wrong = |what: &str| Problem::new(StatusCode::BAD_REQUEST, what);
    let http = &event["requestContext"]["http"];
    let method = http["method"].as_str().and_then(|method| Method::from_bytes(method.as_bytes()).ok());
    let path = event["rawPath"].as_str().or_else(|| http["path"].as_str());
    let path = without_stage(path.unwrap_or("/"), event["requestContext"]["stage"].as_str());
    let query = event["rawQueryString"].as_str().unwrap_or_default();
    let uri: Uri =
        format!("/{}?{}", utf8_percent_encode(path.trim_start_matches('/'), UNFIT), utf8_percent_encode(query, UNFIT))
            .parse()
            .map_err(|_| wrong("the address cannot be read"))?;
    let mut request = Request::new(body(event).ok_or_else(|| wrong("the body is not base64"))?);
    *request.method_mut() = method.ok_or_else(|| wrong("the method cannot be read"))?;
    *request.uri_mut() = uri;
    for (name, value) in event["headers"].as_object().into_iter().flatten() {
        // One header that cannot be one harms only itself.
        let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
        if let (Ok(name), Some(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
            request.headers_mut().append(name, value);
        }
    }
    Ok(request.with_lambda_context(context))
}

/// The answer to an event that is about no request.
pub(crate) fn refused(problem: Problem) -> Response<Body> {
    tracing::warn!("event refused: it is about no request that can be read");
    problem.into_response()
}

fn without_stage<'a>(path: &'a str, stage: Option<&str>) -> &'a str {
    let rest = stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage));
    match rest {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

fn body(event: &Value) -> Option<Body> {
    let Some(body) = event["body"].as_str() else { return Some(Body::Empty) };
    if event["isBase64Encoded"] == true { STANDARD.decode(body).ok().map(Body::Binary) } else { Some(body.into()) }
}

/// The answer as Lambda passes it on.
pub(crate) fn write(response: Response<Body>) -> Value {
    let headers: Map<String, Value> = response
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), Value::from(value.to_str().ok()?))))
        .collect();
    let status = response.status().as_u16();
    let (body, base64) = match response.into_body() {
        Body::Text(text) => (text, false),
        Body::Binary(bytes) => (STANDARD.encode(bytes), true),
        _ => (String::new(), false),
    };
    // All of these must be there for the emulator, also where Lambda would do without.
    json!({
        "statusCode": status, "headers": headers, "multiValueHeaders": {}, "cookies": [], "body": body,
        "isBase64Encoded": base64,
    })
}

#[cfg(test)]
mod tests {
    use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpResponse;

    use super::*;

    fn event(changes: Value) -> Value {
        let mut event: Value = serde_json::from_str(include_str!("../../../events/http-send.json")).unwrap();
        for (name, value) in changes.as_object().unwrap() {
            event[name] = value.clone();
        }
        event
    }

    fn request(changes: Value) -> Result<Request, Problem> {
        read(&event(changes), Context::default())
    }

    #[test]
    fn an_event_becomes_the_request_it_is_about() {
        let body = STANDARD.encode("{\"body\": 1}");
        let request = request(json!({ "body": body, "isBase64Encoded": true, "rawQueryString": "a=b%20c" })).unwrap();
        assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/send"));
        assert_eq!(request.uri().query(), Some("a=b%20c"));
        assert_eq!(request.headers()["content-type"], "application/json");
        assert_eq!(request.body().as_ref(), b"{\"body\": 1}");
        assert!(request.lambda_context_ref().is_some());
    }

    #[test]
    fn the_stage_of_an_api_is_no_part_of_the_path() {
        let path = |stage: &str, path: &str| {
            let context = json!({ "http": { "method": "POST" }, "stage": stage });
            request(json!({ "rawPath": path, "requestContext": context })).unwrap().uri().path().to_owned()
        };
        assert_eq!(path("prod", "/prod/send"), "/send");
        assert_eq!(path("prod", "/prod"), "/");
        assert_eq!(path("prod", "/prod/"), "/");
        assert_eq!(path("prod", "/send"), "/send");
        assert_eq!(path("prod", "/product"), "/product");
        assert_eq!(path("$default", "/send"), "/send");
        assert_eq!(path("send", "/send/send"), "/send");
        assert_eq!(path("$default", "//send"), "/send");
        assert_eq!(path("$default", "send"), "/send");
    }

    #[test]
    fn nothing_in_an_event_can_end_the_function() {
        let status = |changes| request(changes).err().map(|problem| problem.into_response().status().as_u16());
        assert_eq!(status(json!({ "body": "no base64!", "isBase64Encoded": true })), Some(400));
        assert_eq!(status(json!({ "requestContext": null })), Some(400));
        let odd = json!({
            "rawPath": "/messages/two words?é#\u{1}", "rawQueryString": "a b", "body": null,
            "headers": { "host": "not a host", "x-odd": "a\u{1}b", "two words": "x", "n": null, "accept": "*/*" },
        });
        let request = request(odd).unwrap();
        assert_eq!(request.uri().path(), "/messages/two%20words%3F%C3%A9%23%01");
        assert_eq!(request.headers().len(), 2);
        assert_eq!(status(json!({ "rawPath": "", "headers": null })), None);
        assert!(read(&Value::Null, Context::default()).is_err());
    }

    #[test]
    fn an_answer_is_written_in_the_form_that_lambda_passes_on() {
        let problem = write(Problem::wrong_method("POST").into_response());
        assert_eq!(problem["statusCode"], 405);
        assert_eq!(problem["headers"]["allow"], "POST");
        assert_eq!(problem["headers"]["content-type"], "application/problem+json");
        assert_eq!(problem["isBase64Encoded"], false);
        assert!(problem["body"].as_str().unwrap().contains("Method Not Allowed"));
        // The emulator reads answers by this type.
        let read: ApiGatewayV2httpResponse = serde_json::from_value(problem).unwrap();
        assert_eq!((read.status_code, read.headers["allow"].to_str().unwrap()), (405, "POST"));
    }
}
