//! Who may do what: a role for each function, no star without a reason, nothing private in the access log.
use serde_json::{Value, json};

use super::{Whole, finds, holds};

/// Every statement of every policy, with the resource that it stands in.
fn statements(whole: &Whole) -> Vec<(&str, &Value)> {
    let mut found = Vec::new();
    for (name, role) in whole.of_type("AWS::IAM::Role") {
        for policy in role["Policies"].as_array().into_iter().flatten() {
            found.extend(policy["PolicyDocument"]["Statement"].as_array().unwrap().iter().map(|s| (name, s)));
        }
    }
    for (name, policy) in whole.of_type("AWS::IAM::ManagedPolicy") {
        found.extend(policy["PolicyDocument"]["Statement"].as_array().unwrap().iter().map(|s| (name, s)));
    }
    found
}

/// A `*` that is no alias of YAML, and multiplies nothing.
fn is_starred(code: &str) -> bool {
    code.char_indices().filter(|(_, c)| *c == '*').any(|(at, _)| {
        let is_alias = code[at + 1..].starts_with(|c: char| c.is_ascii_lowercase()) && code[..at].ends_with([' ', '[']);
        let multiplies = code[..at].ends_with(' ') && code[at + 1..].starts_with(' ');
        !is_alias && !multiplies
    })
}

fn stars(whole: &Whole) -> Vec<String> {
    let mut faults = Vec::new();
    let mut written = 0;
    for (number, line) in whole.text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
        let (code, comment) = line.split_once(" # ").unwrap_or((line, ""));
        let (code, comment) = code.split_once("   # ").unwrap_or((code, comment));
        if code.contains("Resource: \"*\"") {
            written += 1;
        }
        if is_starred(code) && comment.split_whitespace().count() < 3 {
            faults.push(format!("line {}: a star without a reason", number + 1));
        }
    }
    let mut read = 0;
    for (name, statement) in statements(whole) {
        let actions: Vec<&str> = match &statement["Action"] {
            Value::Array(actions) => actions.iter().filter_map(Value::as_str).collect(),
            action => action.as_str().into_iter().collect(),
        };
        if actions.is_empty() || actions.iter().any(|action| action.contains('*')) {
            faults.push(format!("{name} may do more than is named"));
        }
        if statement["Resource"] == "*" {
            read += 1;
            let networks = |action: &&str| action.starts_with("ec2:");
            if !actions.iter().all(networks) {
                faults.push(format!("{name} may do {actions:?} everywhere"));
            }
        }
    }
    if read != written {
        faults.push(format!("{read} statements are for everything, and {written} lines say so with their reason"));
    }
    faults
}

#[test]
fn no_star_is_without_a_reason() {
    holds(stars);
    finds(stars, "a star without a reason", |w| {
        w.text = w.text.replace("# denied everywhere, where it is the code that asks", "")
    });
    finds(stars, "a star without a reason", |w| w.text.push_str("        Action: \"logs:*\"\n"));
    finds(stars, "RabbitmqConsumerRole may do more than is named", |w| {
        w.properties("RabbitmqConsumerRole")["Policies"][1]["PolicyDocument"]["Statement"][0]["Action"] = json!("mq:*");
    });
    finds(stars, "everywhere", |w| {
        w.properties("RabbitmqConsumerRole")["Policies"][1]["PolicyDocument"]["Statement"][1]["Resource"] = json!("*");
    });
    finds(stars, "lines say so", |w| {
        w.properties("NetworkPolicy")["PolicyDocument"]["Statement"].as_array_mut().unwrap().pop();
    });
}

fn roles(whole: &Whole) -> Vec<String> {
    let mut faults = Vec::new();
    let mut taken = Vec::new();
    for (name, function) in whole.of_type("AWS::Lambda::Function") {
        let own = name.trim_end_matches("Image");
        let role = format!("{own}Role");
        if function["Role"] != json!({ "Fn::GetAtt": [role, "Arn"] }) {
            faults.push(format!("{name} has the role of another"));
        }
        taken.push(role.clone());
        let log = format!("{own}Log");
        if function["LoggingConfig"]["LogGroup"] != json!({ "Ref": log }) {
            faults.push(format!("{name} writes into the log of another"));
        }
        let policies =
            whole.template["Resources"][&role]["Properties"]["Policies"].as_array().cloned().unwrap_or_default();
        let first = policies.first().map(|policy| policy["PolicyDocument"]["Statement"].clone()).unwrap_or_default();
        let write = json!([{
            "Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": { "Fn::GetAtt": [log, "Arn"] },
        }]);
        let more = if name == "RabbitmqConsumer" { 2 } else { 1 };
        if first != write || policies.len() != more {
            faults.push(format!("{role} is for more than its own log"));
        }
        if !whole.readme.contains(&format!("| `{role}` |")) {
            faults.push(format!("infra/README.md does not tell of {role}"));
        }
    }
    let idle = whole.of_type("AWS::IAM::Role").into_iter().filter(|(name, _)| !taken.iter().any(|role| role == name));
    faults.extend(idle.map(|(name, _)| format!("{name} is nobody's")));
    for (name, log) in whole.of_type("AWS::Logs::LogGroup") {
        if log["RetentionInDays"] != json!({ "Ref": "LogRetentionDays" }) {
            faults.push(format!("{name} is kept for ever"));
        }
    }
    faults
}

#[test]
fn each_function_has_a_role_and_a_log_of_its_own() {
    holds(roles);
    finds(roles, "Send has the role of another", |w| {
        w.properties("Send")["Role"] = json!({ "Fn::GetAtt": ["DispatcherRole", "Arn"] });
    });
    finds(roles, "Send writes into the log", |w| w.properties("Send")["LoggingConfig"] = json!({}));
    finds(roles, "SendRole is for more", |w| {
        let more = w.properties("RabbitmqConsumerRole")["Policies"][1].clone();
        w.properties("SendRole")["Policies"].as_array_mut().unwrap().push(more);
    });
    finds(roles, "SendRole is for more", |w| {
        let other = w.properties("MigrateRole")["Policies"].clone();
        w.properties("SendRole")["Policies"] = other;
    });
    finds(roles, "SpareRole is nobody's", |w| {
        let role = w.template["Resources"]["SendRole"].clone();
        w.template["Resources"]["SpareRole"] = role;
    });
    finds(roles, "SendLog is kept for ever", |w| {
        w.properties("SendLog").as_object_mut().unwrap().remove("RetentionInDays");
    });
    finds(roles, "does not tell of MigrateRole", |w| w.readme = w.readme.replace("| `MigrateRole` |", "|"));
}

/// What an access log may hold: nothing of these is a path, a query, an address, a header or a person.
const HARMLESS: [&str; 8] = [
    "$context.requestTimeEpoch",
    "$context.requestId",
    "$context.routeKey",
    "$context.status",
    "$context.responseLatency",
    "$context.integrationLatency",
    "$context.error.message",
    "$context.integrationErrorMessage",
];

fn access_log(whole: &Whole) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, stage) in whole.of_type("AWS::ApiGatewayV2::Stage") {
        let format = stage["AccessLogSettings"]["Format"].as_str().unwrap_or_default();
        let Ok(Value::Object(fields)) = serde_json::from_str(format) else {
            faults.push(format!("the access log of {name} is no JSON"));
            continue;
        };
        let values: Vec<&str> = fields.values().filter_map(Value::as_str).collect();
        if !values.contains(&"$context.routeKey") {
            faults.push(format!("the access log of {name} does not say which route"));
        }
        let strange = values.into_iter().filter(|value| !HARMLESS.contains(value));
        faults.extend(strange.map(|value| format!("the access log of {name} holds {value}")));
    }
    faults
}

#[test]
fn the_access_log_has_routes_and_no_paths() {
    holds(access_log);
    let format = |format: &'static str| {
        move |w: &mut Whole| w.properties("Stage")["AccessLogSettings"]["Format"] = json!(format)
    };
    finds(access_log, "holds $context.path", format(r#"{"route":"$context.routeKey","path":"$context.path"}"#));
    finds(access_log, "holds $context.identity.sourceIp", format(r#"{"ip":"$context.identity.sourceIp"}"#));
    finds(access_log, "does not say which route", format(r#"{"status":"$context.status"}"#));
    finds(access_log, "is no JSON", format("$context.routeKey $context.path"));
}
