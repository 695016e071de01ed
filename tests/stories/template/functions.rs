//! Functions: each folder of `functions/` is one, with time, settings, connections and a role of its own.
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use talkback::config::{Lanes, SETTINGS};

use super::{Whole, finds, holds};

/// The name of a function as its folder has it.
pub(super) fn name(function: &Value) -> &str {
    let name = function["FunctionName"]["Fn::Sub"].as_str().unwrap_or_default();
    name.strip_prefix("${AWS::StackName}-").unwrap_or(name)
}

fn functions(whole: &Whole) -> BTreeMap<&str, &Value> {
    whole.of_type("AWS::Lambda::Function").into_iter().map(|(_, function)| (name(function), function)).collect()
}

fn folders(whole: &Whole) -> Vec<String> {
    let mut faults = Vec::new();
    let named = functions(whole);
    let missing = whole.functions.iter().filter(|folder| !named.contains_key(folder.as_str()));
    faults.extend(missing.map(|folder| format!("functions/{folder} is not in the template")));
    for (resource, function) in whole.of_type("AWS::Lambda::Function") {
        let name = name(function);
        if !whole.functions.iter().any(|folder| folder == name) {
            faults.push(format!("there is no functions/{name}"));
        }
        let zip =
            json!({ "S3Bucket": { "Ref": "CodeSource" }, "S3Key": { "Fn::Sub": format!("${{Release}}/{name}.zip") } });
        let image = json!({ "ImageUri": { "Fn::Sub": format!("${{CodeSource}}/talkback-{name}:${{Release}}") } });
        let expected = match whole.template["Resources"][resource]["Condition"].as_str() {
            Some("IsZip") => zip,
            Some("IsImage") => image,
            _ => json!({ "Fn::If": ["IsZip", zip, image] }),
        };
        if function["Code"] != expected {
            faults.push(format!("{resource} has the code of another"));
        }
        let release = function["Description"]["Fn::Sub"].as_str().unwrap_or_default();
        if !release.contains("${Release}") {
            faults.push(format!("{name} is not updated with each release, and would keep old secrets"));
        }
    }
    faults
}

/// What stands twice, as a zip and as an image, must be the same in all else.
fn twins(whole: &Whole) -> Vec<String> {
    let all_else = |name: &str| {
        let mut function = whole.template["Resources"][name]["Properties"].clone();
        for of_its_kind in ["Code", "Runtime", "Handler", "Layers"] {
            function.as_object_mut().unwrap().remove(of_its_kind);
        }
        function
    };
    if all_else("Migrate") == all_else("MigrateImage") {
        Vec::new()
    } else {
        vec!["migrate differs as an image".into()]
    }
}

#[test]
fn a_zip_and_an_image_of_migrate_are_the_same_function() {
    holds(twins);
    finds(twins, "differs", |w| w.properties("MigrateImage")["Timeout"] = json!(60));
}

#[test]
fn the_folders_of_functions_and_the_template_agree() {
    holds(folders);
    finds(folders, "functions/send is not in the template", |w| {
        w.template["Resources"].as_object_mut().unwrap().remove("Send");
    });
    finds(folders, "functions/stats is not in the template", |w| w.functions.push("stats".to_owned()));
    finds(folders, "there is no functions/migrate", |w| w.functions.retain(|folder| folder != "migrate"));
    finds(folders, "Send has the code of another", |w| {
        let dispatcher = w.properties("Dispatcher")["Code"].clone();
        w.properties("Send")["Code"] = dispatcher;
    });
    finds(folders, "MigrateImage has the code of another", |w| {
        let zip = w.properties("Migrate")["Code"].clone();
        w.properties("MigrateImage")["Code"] = zip;
    });
    finds(folders, "dispatcher is not updated", |w| w.properties("Dispatcher")["Description"] = json!("The minute"));
}

/// Lambda's limit where a queue of Amazon MQ is read, and by far enough elsewhere.
const LONGEST: u64 = 840;

/// What a function may take in all: its budget, then the last call and what writes it down.
fn least(name: &str) -> Option<Duration> {
    let lanes = Lanes::default();
    let last = lanes.http + lanes.margin;
    Some(match name {
        "dispatcher" => lanes.stay + last,
        "send" | "rabbitmq-consumer" => Duration::from_secs(1) + last,
        "groupme-callback" => Duration::from_millis(500) + last,
        // Twenty seconds of it are for the answer to the stack.
        "migrate" => Duration::from_mins(2),
        _ => return None,
    })
}

fn times(whole: &Whole) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, function) in functions(whole) {
        let Some(least) = least(name) else {
            faults.push(format!("nobody says how long {name} may take"));
            continue;
        };
        let limit = function["Timeout"].as_u64().unwrap_or(3);
        if limit > LONGEST {
            faults.push(format!("{name} may take {limit} s, more than the 14 minutes of Amazon MQ"));
        }
        if Duration::from_secs(limit) <= least {
            faults.push(format!("{name} is ended after {limit} s, and may take {least:?}"));
        }
    }
    for (name, integration) in whole.of_type("AWS::ApiGatewayV2::Integration") {
        let function = integration["IntegrationUri"]["Fn::GetAtt"][0].as_str().unwrap_or_default();
        let limit = whole.template["Resources"][function]["Properties"]["Timeout"].as_u64().unwrap_or(u64::MAX / 1000);
        if integration["TimeoutInMillis"].as_u64().unwrap_or(30_000) <= limit * 1000 {
            faults.push(format!("{name} gives up before its function"));
        }
    }
    let migration = &whole.template["Resources"]["Migrated"]["Properties"]["ServiceTimeout"];
    let migrate = functions(whole).get("migrate").and_then(|migrate| migrate["Timeout"].as_u64()).unwrap_or(0);
    // Lambda hands an event in again after a minute.
    if migration.as_u64().is_none_or(|patience| patience < migrate * 2 + 60 || patience > 3600) {
        faults.push("a stack does not wait for the second try of its migration".to_owned());
    }
    faults
}

#[test]
fn a_function_has_the_time_that_it_may_take_and_no_more_than_amazon_allows() {
    holds(times);
    finds(times, "rabbitmq-consumer may take 841 s", |w| w.properties("RabbitmqConsumer")["Timeout"] = json!(841));
    finds(times, "dispatcher is ended after 70 s", |w| w.properties("Dispatcher")["Timeout"] = json!(70));
    finds(times, "send is ended after 3 s", |w| {
        w.properties("Send").as_object_mut().unwrap().remove("Timeout");
    });
    finds(times, "SendIntegration gives up", |w| w.properties("Send")["Timeout"] = json!(30));
    finds(times, "second try", |w| w.properties("Migrated")["ServiceTimeout"] = json!(300));
    finds(times, "nobody says how long stats", |w| {
        w.properties("Send")["FunctionName"]["Fn::Sub"] = json!("${AWS::StackName}-stats");
    });
}

/// Connections to the database that are left to RDS itself and to people.
const SPARE: u64 = 15;

fn connections(whole: &Whole) -> Vec<String> {
    let mut faults = Vec::new();
    let mut functions_at_most = 0;
    for (name, function) in functions(whole) {
        let reserved = &function["ReservedConcurrentExecutions"];
        let parameter = reserved["Ref"].as_str().map(|name| &whole.template["Parameters"][name]["Default"]);
        match parameter.unwrap_or(reserved).as_u64() {
            Some(most) => functions_at_most += most,
            None => faults.push(format!("{name} may run as often as it is called")),
        }
    }
    let database = &whole.template["Resources"]["DatabaseParameters"]["Properties"]["Parameters"];
    let most: u64 = database["max_connections"].as_str().and_then(|most| most.parse().ok()).unwrap_or(0);
    let wanted = functions_at_most * u64::try_from(talkback::relay::CONNECTIONS).unwrap();
    if wanted + SPARE > most {
        faults.push(format!("{functions_at_most} functions want {wanted} of {most} connections"));
    }
    faults
}

#[test]
fn all_functions_together_fit_the_database() {
    holds(connections);
    finds(connections, "send may run as often", |w| {
        w.properties("Send").as_object_mut().unwrap().remove("ReservedConcurrentExecutions");
    });
    finds(connections, "90 of 100 connections", |w| {
        w.template["Parameters"]["SendConcurrency"]["Default"] = json!(7);
    });
    finds(connections, "72 of 60", |w| {
        w.properties("DatabaseParameters")["Parameters"]["max_connections"] = json!("60")
    });
}

/// What all variables of a function may have together.
const ALL_VARIABLES: usize = 4096;

/// As long as the value of a setting gets: ten send keys with patterns, three data keys, long addresses.
fn longest(setting: &str) -> usize {
    match setting {
        "TALKBACK_SEND_KEYS" => 1300,
        "DATABASE_URL" | "AMQP_URL" | "ACK_URL" => 255,
        "TALKBACK_DATA_KEYS" => 200,
        "GROUPME_CALLBACK_TOKEN" => 140,
        _ => 80,
    }
}

fn settings(whole: &Whole) -> Vec<String> {
    let mut faults = Vec::new();
    let mut asked: Vec<String> = Vec::new();
    for (name, function) in functions(whole) {
        let variables = function["Environment"]["Variables"].as_object().unwrap();
        let all: usize = variables.keys().map(|variable| variable.len() + longest(variable)).sum();
        if all > ALL_VARIABLES {
            faults.push(format!("the variables of {name} may have {all} bytes"));
        }
        for (setting, _, default) in SETTINGS {
            // What a room of the example names is required there.
            if default.starts_with("required") && !variables.contains_key(*setting) {
                faults.push(format!("{name} lacks {setting}"));
            }
        }
        for (variable, value) in variables {
            if !SETTINGS.iter().any(|(setting, ..)| setting == variable) {
                faults.push(format!("nobody reads {variable}"));
            }
            let mut written = Vec::new();
            super::texts(value, &mut |text| written.push(text.to_owned()));
            let resolved = written.iter().filter(|text| text.contains("{{resolve:secretsmanager:")).count();
            let is_path = ["TALKBACK_CONFIG", "DATABASE_CA_FILE"].contains(&variable.as_str());
            if resolved == 0 && !is_path && value != "embedded" {
                faults.push(format!("{variable} stands in the template in plain"));
            }
            let key = |text: &String| {
                Some(text.split_once("${SettingsSecretArn}:SecretString:")?.1.trim_end_matches('}').to_owned())
            };
            for key in written.iter().filter_map(key) {
                if key != *variable {
                    faults.push(format!("{variable} is taken from {key}"));
                }
                asked.push(key);
            }
        }
    }
    let held: Vec<&String> = whole.secret.as_object().unwrap().keys().collect();
    let lacking = asked.iter().filter(|key| !held.contains(key));
    faults.extend(lacking.map(|key| format!("settings.example.json lacks {key}")));
    let idle = held.iter().filter(|key| !asked.contains(key));
    faults.extend(idle.map(|key| format!("nothing takes {key} of settings.example.json")));
    // CloudFormation may not resolve what is empty; what is blank is not set to us.
    let empty = whole.secret.as_object().unwrap().iter().filter(|(_, value)| value.as_str().is_none_or(str::is_empty));
    faults.extend(empty.map(|(key, _)| format!("{key} of settings.example.json is empty")));
    faults.dedup();
    faults
}

#[test]
fn every_setting_is_given_or_has_a_default_and_all_of_them_fit() {
    holds(settings);
    let variables = |w: &mut Whole| w.properties("Send")["Environment"]["Variables"].as_object_mut().unwrap().clone();
    finds(settings, "send lacks TALKBACK_LOOKUP_KEY", |w| {
        w.properties("Send")["Environment"]["Variables"].as_object_mut().unwrap().remove("TALKBACK_LOOKUP_KEY");
    });
    finds(settings, "nobody reads TALKBACK_COLOUR", |w| {
        let mut more = variables(w);
        more.insert("TALKBACK_COLOUR".to_owned(), json!("red"));
        w.properties("Send")["Environment"]["Variables"] = Value::Object(more);
    });
    finds(settings, "GROUPME_BOT_ID stands in the template in plain", |w| {
        w.properties("Dispatcher")["Environment"]["Variables"]["GROUPME_BOT_ID"] = json!("b07");
    });
    finds(settings, "TALKBACK_LOOKUP_KEY is taken from TALKBACK_DATA_KEYS", |w| {
        let other = variables(w)["TALKBACK_DATA_KEYS"].clone();
        w.properties("Send")["Environment"]["Variables"]["TALKBACK_LOOKUP_KEY"] = other;
    });
    finds(settings, "the variables of send may have", |w| {
        let more: serde_json::Map<_, _> =
            (0..15).map(|n| (format!("GROUPME_BOT_ID_OF_ANOTHER_{n}"), json!(""))).collect();
        let mut all = variables(w);
        all.extend(more);
        w.properties("Send")["Environment"]["Variables"] = Value::Object(all);
    });
    finds(settings, "settings.example.json lacks ACK_URL", |w| {
        w.secret.as_object_mut().unwrap().remove("ACK_URL");
    });
    finds(settings, "nothing takes SPARE", |w| w.secret["SPARE"] = json!("x"));
    finds(settings, "ACK_URL of settings.example.json is empty", |w| w.secret["ACK_URL"] = json!(""));
}

fn unwinds(whole: &Whole) -> Vec<String> {
    let profile = whole.cargo.get("profile").and_then(|profiles| profiles.get("release"));
    match profile.and_then(|release| release.get("panic")).and_then(toml::Value::as_str) {
        Some("unwind") => Vec::new(),
        _ => vec!["one panic would end a whole environment: cargo-lambda aborts unless told otherwise".to_owned()],
    }
}

#[test]
fn a_release_unwinds() {
    holds(unwinds);
    finds(unwinds, "one panic", |w| w.cargo["profile"]["release"]["panic"] = "abort".into());
    finds(unwinds, "one panic", |w| {
        w.cargo["profile"]["release"].as_table_mut().unwrap().remove("panic");
    });
}

/// The example of the secret, with the blanks and the words to replace filled in, is what a function takes.
#[test]
fn the_example_of_the_secret_is_read_by_the_functions() {
    let whole = Whole::read();
    let config = std::fs::read_to_string(super::root().join("infra/talkback.toml")).unwrap();
    let mut vars: std::collections::HashMap<String, String> = serde_json::from_value(whole.secret.clone()).unwrap();
    vars.insert("TALKBACK_CONFIG".to_owned(), config);
    let settings = talkback::config::Settings::from_vars(&vars).unwrap_or_else(|error| panic!("{error}"));
    assert!(settings.ack_url.is_none() && settings.twilio_auth_token.is_none(), "a blank is not set");
    assert_eq!(settings.rooms.len(), 1);
}
