//! What stands at which address: methods, answers by status, headers.
use serde_json::{Value, json};

use super::examples;
use crate::document::LARGEST;

pub(super) fn paths() -> Value {
    json!({
        "/send": { "post": send() },
        "/messages/{uid}": { "get": look_up() },
        "/health": { "get": health() },
        "/stats": { "get": stats() },
        "/v3/bots/post": { "post": bots_post() },
        "/groupme/callback/{token}": { "post": callback(), "get": callback_is_there() },
    })
}

fn send() -> Value {
    json!({
        "operationId": "send", "summary": "Send a message",
        "description": "Stores the message and waits up to a second for its first post. The key stands in the header, \
                        in the document as `password`, or in both.",
        "security": [{ "bearer": [] }, {}],
        "parameters": [idempotency_key()],
        "requestBody": body("application/json", "SendRequest", "http-send"),
        "responses": {
            "200": answer("It was taken in before, and stands so now; nothing is posted again. Also to a new message, for \
                           keys marked `ok200`; and to an alarm that is posted but recorded nowhere.", "Stored"),
            "202": answer("It is stored, or on the broker while the database is away.", "Stored"),
            "400": problem("A field is wrong, or the configured routes take its source to no room: then it is kept as \
                            rejected, and its uid is used up."),
            "401": headed(problem("No key, a wrong one, or two different ones."), "WWW-Authenticate"),
            "403": problem("The key may not use this source, priority or choice of rooms."),
            "404": problem("A room has no such name."),
            "405": wrong_method(problem),
            "409": problem("The uid stands for another message."),
            "413": problem("The document is over 64 KiB."),
            "415": problem("The document is not said to be JSON in UTF-8."),
            "429": headed(problem("The key has sent too many: send it again, with the same uid."), "Retry-After"),
            "503": headed(problem("Nothing is known to be stored, or no key is configured: send it again."), "Retry-After"),
        },
    })
}

fn look_up() -> Value {
    let uid = json!({
        "name": "uid", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1, "maxLength": 64 },
        "description": "The uid of the message, or the short one that the chat shows.",
    });
    let source = json!({
        "name": "source", "in": "query", "schema": { "type": "string" },
        "description": "Chooses where several sources use the same uid; with or without its leading `source.`.",
    });
    json!({
        "operationId": "lookUp", "summary": "See what became of a message",
        "description": "Only of what was sent with the same key. What was said is not told again.",
        "security": [{ "bearer": [] }],
        "parameters": [uid, source],
        "responses": {
            "200": answer("The message, its deliveries and all their changes.", "LookedUp"),
            "401": headed(problem("No key, or a wrong one."), "WWW-Authenticate"),
            "404": problem("This key sent no such message."),
            "405": wrong_method(problem),
            "409": problem("Several messages may be meant; they are told as `candidates`."),
            "503": headed(problem("The store cannot be read now, or no key is configured."), "Retry-After"),
        },
    })
}

fn health() -> Value {
    json!({
        "operationId": "health", "summary": "Ask whether a message sent now would be stored",
        "description": "Without a key, or with a wrong one, the answer is `status` alone. The same stands at `/`.",
        "security": [{}, { "bearer": [] }],
        "responses": {
            "200": answer("It would be.", "Health"),
            "405": wrong_method(problem),
            "503": answer("It would not be.", "Health"),
        },
    })
}

fn stats() -> Value {
    let time = |name: &str, description: &str| json!({ "name": name, "in": "query", "schema": { "type": "string", "format": "date-time" }, "description": description });
    let from = time(
        "from",
        "Not before this; 24 hours before `to` if it is left out, at most 366 days before it, and not before 1970.",
    );
    let to = time("to", "Before this; now if it is left out.");
    json!({
        "operationId": "stats", "summary": "Count what happened",
        "description": "Of messages that were accepted in that time, whoever sent them. What `!stats` shows in the chat.",
        "security": [{ "bearer": [] }],
        "parameters": [from, to],
        "responses": {
            "200": answer("The figures.", "StatsDocument"),
            "400": problem("A time is wrong."),
            "401": headed(problem("No key, or a wrong one."), "WWW-Authenticate"),
            "405": wrong_method(problem),
            "503": headed(problem("The store cannot be read now, or no key is configured."), "Retry-After"),
        },
    })
}

fn bots_post() -> Value {
    let mut body = body("application/json", "BotPost", "http-bots-post");
    body["content"]["application/x-www-form-urlencoded"] = json!({ "schema": reference("BotPost") });
    body["required"] = json!(false);
    body["description"] = json!(
        "JSON is read whatever its type is said to be. A form has no `attachments`. Fields may also stand in the query, \
         as many of GroupMe's callers have it; then the key may show in the logs of what is between."
    );
    json!({
        "operationId": "botsPost", "summary": "Post as a bot, as to GroupMe",
        "description": "What posts to `https://api.groupme.com/v3` posts here by changing that URL. The key decides the \
                        source: `standard` if it may use it, else its first pattern without a wildcard, else its first \
                        pattern with the key's name for each wildcard. Without `Idempotency-Key` each post is a new message.",
        "security": [],
        "parameters": [idempotency_key()],
        "requestBody": body,
        "responses": {
            "202": { "description": "It is stored, or was before. The body is empty.", "headers": header("Cache-Control") },
            "400": envelope("A field is wrong, or the configured routes take the key's source to no room."),
            "403": envelope("The key may use no source from here."),
            "404": envelope("The bot id is not known. Also for an address under `/v3` where nothing stands."),
            "405": wrong_method(envelope),
            "409": envelope("The `Idempotency-Key` stands for another message."),
            "413": envelope("The body is over 64 KiB."),
            "415": envelope("The body is compressed, or neither JSON nor a form."),
            "429": headed(envelope("The key has sent too many: send it again."), "Retry-After"),
            "503": headed(envelope("Nothing is known to be stored, or no key is configured: send it again."), "Retry-After"),
        },
    })
}

fn callback() -> Value {
    let silent = |description: &str| json!({ "description": description });
    json!({
        "operationId": "callback", "summary": "Hear a line said in a room",
        "description": "Called by GroupMe for every line, the bot's own too. Every answer is without a body.",
        "security": [],
        "parameters": [token()],
        "requestBody": body("application/json", "GroupMeLine", "http-callback"),
        "responses": {
            "200": silent("It is written down, and its effect is there; likewise if it came before. Or it is on the broker while the database is away."),
            "400": silent("It is no JSON object with a group and an id."),
            "403": silent("No room is in this group."),
            "404": silent("The token is wrong."),
            "405": headed(silent("Another method."), "Allow"),
            "413": silent("It is over 64 KiB."),
            "503": silent("It could not be written down in time; GroupMe asks again."),
        },
    })
}

fn callback_is_there() -> Value {
    json!({
        "operationId": "callbackIsThere", "summary": "Ask whether the callback's address answers",
        "description": "GroupMe asks when a bot is made.",
        "security": [],
        "parameters": [token()],
        "responses": { "200": { "description": "It does." }, "404": { "description": "The token is wrong." } },
    })
}

fn token() -> Value {
    json!({
        "name": "token", "in": "path", "required": true, "schema": { "type": "string", "minLength": 16 },
        "description": "The secret of this address: nothing else protects it.",
    })
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header",
        "schema": { "type": "string", "pattern": "^(\"[!-~]{1,64}\"|[!-~]{1,64})$" },
        "description": "A uid: what is sent again with the same one is posted once. May stand in quotes.",
    })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// A body with the example that lies in `events/`.
fn body(media_type: &str, schema: &str, event: &str) -> Value {
    let example = json!({ "summary": format!("events/{event}.json"), "value": examples::body(event) });
    json!({
        "required": true, "x-max-bytes": LARGEST,
        "content": { media_type: { "schema": reference(schema), "examples": { event: example } } },
    })
}

fn answer(description: &str, schema: &str) -> Value {
    json!({
        "description": description, "headers": header("Cache-Control"),
        "content": { "application/json": { "schema": reference(schema) } },
    })
}

fn problem(description: &str) -> Value {
    json!({
        "description": description, "headers": header("Cache-Control"),
        "content": { "application/problem+json": { "schema": reference("ProblemDocument") } },
    })
}

fn envelope(description: &str) -> Value {
    answer(description, "GroupMeError")
}

fn wrong_method(as_said_here: fn(&str) -> Value) -> Value {
    headed(as_said_here("Another method."), "Allow")
}

/// The answer with one header more.
fn headed(mut answer: Value, name: &str) -> Value {
    answer["headers"][name] = header(name)[name].clone();
    answer
}

fn header(name: &str) -> Value {
    let (description, schema) = match name {
        "Retry-After" => ("Seconds until it is worth trying again.", json!({ "type": "integer", "minimum": 1 })),
        "Allow" => ("The methods that this address takes.", json!({ "type": "string" })),
        "WWW-Authenticate" => ("How to show a key.", json!({ "const": "Bearer realm=\"talkback\"" })),
        "Cache-Control" => ("Not to be kept.", json!({ "const": "no-store" })),
        other => panic!("no header {other}"),
    };
    json!({ name: { "description": description, "required": true, "schema": schema } })
}
