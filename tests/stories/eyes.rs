//! What is seen of a running Talkback: its metrics, the alarms and the dashboard made of them. Prometheus's own tool judges.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use talkback::telemetry::metrics::ALL;

use crate::station::required;

fn infra(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra").join(path)
}

/// Runs promtool, with this as its input; what it says, and whether it was content.
fn promtool(words: &[&str], input: &str) -> (bool, String) {
    use std::io::Write as _;
    let mut child = Command::new(required("TALKBACK_TEST_PROMTOOL"))
        .args(words)
        .current_dir(infra("prometheus"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    (done.status.success(), said)
}

/// Fails unless the tool has nothing to say against this text of metrics.
pub fn assert_metrics(text: &str) {
    let (good, said) = promtool(&["check", "metrics"], text);
    assert!(good && said.trim().is_empty(), "{said}\n{text}");
}

/// The names of ours in a text, without what a histogram adds to its own.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let of_histogram = |word: &str| word.strip_suffix("_bucket").unwrap_or(word).to_owned();
    words.filter(|word| word.starts_with("talkback_")).map(of_histogram).collect()
}

fn known() -> BTreeSet<String> {
    ALL.iter().map(|metric| metric.name.to_owned()).collect()
}

#[test]
fn a_name_against_the_rules_would_be_found() {
    let (good, said) = promtool(&["check", "metrics"], "# HELP sent Sent.\n# TYPE sent counter\nsent 1\n");
    assert!(!good && said.contains("_total"), "{said}");
}

#[test]
fn each_alarm_rings_when_it_should_and_not_before() {
    let (good, said) = promtool(&["test", "rules", "talkback.rules.test.yaml"], "");
    assert!(good, "{said}");
    let rules = std::fs::read_to_string(infra("prometheus/talkback.rules.yaml")).unwrap();
    let tested = std::fs::read_to_string(infra("prometheus/talkback.rules.test.yaml")).unwrap();
    for alarm in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tested.contains(&format!("alertname=\"{alarm}\"")), "{alarm} is not tested");
    }
    let unknown: Vec<_> = named(&rules).difference(&known()).cloned().collect();
    assert_eq!(unknown, Vec::<String>::new());
}

#[test]
fn the_dashboard_loads_and_each_of_its_queries_is_one() {
    let text = std::fs::read_to_string(infra("grafana/talkback.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert!(dashboard["uid"].is_string() && dashboard["schemaVersion"].as_u64() >= Some(36));
    let variables: Vec<&str> =
        dashboard["templating"]["list"].as_array().unwrap().iter().filter_map(|v| v["name"].as_str()).collect();
    assert_eq!(variables, ["datasource", "room"]);
    let panels = dashboard["panels"].as_array().unwrap();
    let mut places = BTreeSet::new();
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    for (panel, n) in panels.iter().zip(0..) {
        let place = &panel["gridPos"];
        for x in place["x"].as_u64().unwrap()..place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() {
            assert!(x < 24, "{} is too wide", panel["title"]);
            for y in place["y"].as_u64().unwrap()..place["y"].as_u64().unwrap() + place["h"].as_u64().unwrap() {
                assert!(places.insert((x, y)), "{} lies over another", panel["title"]);
            }
        }
        for (target, m) in panel["targets"].as_array().unwrap().iter().zip(0..) {
            // As Grafana puts them in before it asks.
            let expr = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m").replace("$room", ".*");
            assert!(!expr.contains('$'), "{expr}");
            rules += &format!("  - record: dashboard:panel:{n}_{m}\n    expr: {}\n", Value::from(expr));
        }
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard.rules.yaml");
    std::fs::write(&file, rules).unwrap();
    let (good, said) = promtool(&["check", "rules", file.to_str().unwrap()], "");
    assert!(good, "{said}");
    let shown = named(&text);
    assert_eq!(shown.difference(&known()).cloned().collect::<Vec<_>>(), Vec::<String>::new());
    // What nobody can see need not be measured; the build's version is for whoever asks.
    let unseen: Vec<_> = known().difference(&shown).cloned().collect();
    assert_eq!(unseen, ["talkback_build_info"]);
}
