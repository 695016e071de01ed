//! What starts the functions: one queue, the minute, and the routes that the local set-up has as well.
use std::collections::BTreeMap;

use serde_json::{Value, json};
use talkback::broker::QUEUE;

use super::{Whole, finds, holds};

fn mappings(whole: &Whole) -> Vec<String> {
    let mut faults = Vec::new();
    let mappings = whole.of_type("AWS::Lambda::EventSourceMapping");
    if mappings.len() != 1 {
        faults.push(format!("there are {} mappings", mappings.len()));
    }
    for (name, mapping) in mappings {
        if mapping["Queues"] != json!([QUEUE]) {
            faults.push(format!("{name} must read one queue, {QUEUE}"));
        }
        if !mapping["BatchSize"].as_u64().is_some_and(|size| (1..=10_000).contains(&size)) {
            faults.push(format!("{name}: a batch has 1 to 10000 messages"));
        }
        let window = mapping.get("MaximumBatchingWindowInSeconds");
        if window.is_some_and(|window| window.as_u64().is_none_or(|seconds| seconds > 300)) {
            faults.push(format!("{name}: a window has 0 to 300 s"));
        }
        if mapping.get("FilterCriteria").is_some() {
            faults.push(format!("{name}: a filter discards what does not match"));
        }
        if mapping["FunctionName"] != json!({ "Ref": "RabbitmqConsumer" }) {
            faults.push(format!("{name} is for another function than the consumer"));
        }
        if whole.template["Resources"][name]["DependsOn"] != "Migrated" {
            faults.push(format!("{name} may come before its queue"));
        }
    }
    faults
}

#[test]
fn one_mapping_reads_one_queue_in_batches_that_lambda_takes() {
    holds(mappings);
    let change = |key: &'static str, value: Value| move |w: &mut Whole| w.properties("QueueMapping")[key] = value;
    finds(mappings, "one queue", change("Queues", json!([QUEUE, "other"])));
    finds(mappings, "one queue", change("Queues", json!(["talkback.dead"])));
    finds(mappings, "1 to 10000", change("BatchSize", json!(10_001)));
    finds(mappings, "1 to 10000", change("BatchSize", json!(0)));
    finds(mappings, "0 to 300 s", change("MaximumBatchingWindowInSeconds", json!(301)));
    finds(mappings, "a filter", change("FilterCriteria", json!({})));
    finds(mappings, "another function", change("FunctionName", json!({ "Ref": "Send" })));
    finds(mappings, "2 mappings", |w| {
        let again = w.template["Resources"]["QueueMapping"].clone();
        w.template["Resources"]["Again"] = again;
    });
    finds(mappings, "before its queue", |w| {
        w.template["Resources"]["QueueMapping"].as_object_mut().unwrap().remove("DependsOn");
    });
}

/// By Amazon's table of engine versions: RabbitMQ 4 runs on m7g only, 3.13 also on t3 and m5.
fn runs_on(version: &str, instance: &str) -> bool {
    let family = instance.split('.').nth(1).unwrap_or_default();
    match version {
        "4.2" => family == "m7g",
        "3.13" => ["t3", "m5", "m7g"].contains(&family),
        _ => false,
    }
}

fn brokers(whole: &Whole) -> Vec<String> {
    let mut faults = Vec::new();
    let versions = &whole.template["Mappings"]["Broker"];
    for instance in whole.template["Parameters"]["BrokerInstanceType"]["AllowedValues"].as_array().unwrap() {
        let instance = instance.as_str().unwrap();
        match versions[instance]["Version"].as_str() {
            None => faults.push(format!("{instance} has no version")),
            Some(version) if !runs_on(version, instance) => {
                faults.push(format!("{version} does not run on {instance}"))
            }
            Some(_) => {}
        }
    }
    for (name, broker) in whole.of_type("AWS::AmazonMQ::Broker") {
        let looked_up = json!({ "Fn::FindInMap": ["Broker", { "Ref": "BrokerInstanceType" }, "Version"] });
        if broker["EngineVersion"] != looked_up || broker["HostInstanceType"] != json!({ "Ref": "BrokerInstanceType" })
        {
            faults.push(format!("{name} has another version than its size has"));
        }
        if broker["PubliclyAccessible"] != json!(false) {
            faults.push(format!("{name} can be reached from outside"));
        }
    }
    faults
}

#[test]
fn a_broker_has_a_version_that_its_size_has() {
    holds(brokers);
    finds(brokers, "4.2 does not run on mq.t3.micro", |w| {
        w.template["Mappings"]["Broker"]["mq.t3.micro"]["Version"] = json!("4.2");
    });
    finds(brokers, "mq.m5.large has no version", |w| {
        w.template["Parameters"]["BrokerInstanceType"]["AllowedValues"] = json!(["mq.m5.large"]);
    });
    finds(brokers, "another version", |w| w.properties("NewBrokerInstance")["EngineVersion"] = json!("3.13"));
    finds(brokers, "from outside", |w| w.properties("NewBrokerInstance")["PubliclyAccessible"] = json!(true));
}

/// Paths and the functions that answer them.
fn routes(whole: &Whole) -> Vec<String> {
    let mut faults = Vec::new();
    let mut here = BTreeMap::new();
    for (name, route) in whole.of_type("AWS::ApiGatewayV2::Route") {
        let Some(path) = route["RouteKey"].as_str().and_then(|key| key.strip_prefix("ANY ")) else {
            faults.push(format!("{name} is not for every method: HEAD and what is wrong would not be answered"));
            continue;
        };
        let target = route["Target"]["Fn::Sub"].as_str().unwrap_or_default();
        let integration = target.trim_start_matches("integrations/${").trim_end_matches('}');
        let integration = &whole.template["Resources"][integration]["Properties"];
        if integration["PayloadFormatVersion"] != "2.0" {
            faults.push(format!("{name} has not the payload that the functions read"));
        }
        let function = integration["IntegrationUri"]["Fn::GetAtt"][0].as_str().unwrap_or_default();
        here.insert(path, super::functions::name(&whole.template["Resources"][function]["Properties"]).to_owned());
    }
    let router = whole.cargo["workspace"]["metadata"]["lambda"]["watch"]["router"].as_table().unwrap();
    let local: BTreeMap<&str, String> =
        router.iter().map(|(path, function)| (path.as_str(), function.as_str().unwrap().to_owned())).collect();
    for (path, function) in &local {
        match here.get(path) {
            None => faults.push(format!("{path} is a route of Cargo.toml and not of the API")),
            Some(other) if other != function => {
                faults.push(format!("{path} is answered by {other}, locally by {function}"))
            }
            Some(_) => {}
        }
    }
    let only = here.keys().filter(|path| !local.contains_key(*path));
    faults.extend(only.map(|path| format!("{path} is a route of the API and not of Cargo.toml")));
    let stages = whole.of_type("AWS::ApiGatewayV2::Stage");
    if stages.len() != 1 || stages[0].1["StageName"] != "$default" {
        faults.push("a stage other than $default stands before every path".to_owned());
    }
    if stages.iter().any(|(_, stage)| !stage["DefaultRouteSettings"]["ThrottlingRateLimit"].is_u64()) {
        faults.push("the API is not throttled".to_owned());
    }
    faults
}

#[test]
fn the_api_has_the_routes_of_the_local_set_up() {
    holds(routes);
    finds(routes, "/stats is a route of Cargo.toml and not", |w| {
        w.template["Resources"].as_object_mut().unwrap().remove("StatsRoute");
    });
    finds(routes, "/more is a route of the API and not", |w| {
        w.properties("StatsRoute")["RouteKey"] = json!("ANY /more")
    });
    finds(routes, "/send is answered by groupme-callback", |w| {
        w.properties("SendRoute")["Target"] = json!({ "Fn::Sub": "integrations/${CallbackIntegration}" });
    });
    finds(routes, "not for every method", |w| w.properties("SendRoute")["RouteKey"] = json!("POST /send"));
    finds(routes, "payload", |w| w.properties("SendIntegration")["PayloadFormatVersion"] = json!("1.0"));
    finds(routes, "stands before every path", |w| w.properties("Stage")["StageName"] = json!("prod"));
    finds(routes, "not throttled", |w| w.properties("Stage")["DefaultRouteSettings"] = json!({}));
}

fn minute(whole: &Whole) -> Vec<String> {
    let mut faults = Vec::new();
    let rules = whole.of_type("AWS::Events::Rule");
    let [(_, rule)] = rules[..] else { return vec!["there must be one schedule".to_owned()] };
    if rule["ScheduleExpression"] != "rate(1 minute)" {
        faults.push("the dispatcher stays for a minute".to_owned());
    }
    let invoked = whole.of_type("AWS::Lambda::EventInvokeConfig");
    let of_function = invoked.iter().find(|(_, config)| config["FunctionName"] == json!({ "Ref": "Dispatcher" }));
    let by_rule = &rule["Targets"][0]["RetryPolicy"]["MaximumRetryAttempts"];
    if *by_rule != 0 || of_function.is_none_or(|(_, config)| config["MaximumRetryAttempts"] != 0) {
        faults.push("a minute that failed comes again beside the next".to_owned());
    }
    faults
}

#[test]
fn a_minute_that_failed_does_not_come_again() {
    holds(minute);
    finds(minute, "stays for a minute", |w| {
        w.properties("EachMinute")["ScheduleExpression"] = json!("rate(5 minutes)")
    });
    finds(minute, "beside the next", |w| {
        w.properties("EachMinute")["Targets"][0]["RetryPolicy"]["MaximumRetryAttempts"] = json!(3);
    });
    finds(minute, "beside the next", |w| {
        w.template["Resources"].as_object_mut().unwrap().remove("DispatcherIsNotRetried");
    });
    finds(minute, "one schedule", |w| {
        w.template["Resources"].as_object_mut().unwrap().remove("EachMinute");
    });
}
