//! Alarms: each reaches a person, and the runbook says what to do.
use std::collections::BTreeSet;

use serde_json::json;

use super::{Whole, finds, holds};

/// The alarms that the runbook's table tells of, with how many columns each line has.
fn runbook(readme: &str) -> Vec<(String, usize)> {
    let table = readme.split_once("<!-- alarms -->").and_then(|(_, rest)| rest.split_once("<!-- /alarms -->"));
    let rows = table.map_or("", |(table, _)| table).lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let filled = cells.iter().filter(|cell| cell.trim().len() > 3).count();
        (cells[0].trim().trim_matches('`').to_owned(), filled)
    })
    .collect()
}

fn alarms(whole: &Whole) -> Vec<String> {
    let mut faults = Vec::new();
    let alarms = whole.of_type("AWS::CloudWatch::Alarm");
    let told = runbook(&whole.readme);
    let names: BTreeSet<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    for (name, alarm) in &alarms {
        let to_people = json!([{ "Ref": "AlarmTopic" }]);
        if alarm["AlarmActions"] != to_people || alarm["OKActions"] != to_people {
            faults.push(format!("{name} tells nobody"));
        }
        if alarm["AlarmDescription"].as_str().is_none_or(|text| text.len() < 20) {
            faults.push(format!("{name} does not say what is wrong"));
        }
        if alarm["TreatMissingData"].as_str().is_none() {
            faults.push(format!("{name} does not say what silence means"));
        }
        if !names.contains(name) {
            faults.push(format!("the runbook has no line for {name}"));
        }
    }
    for (name, filled) in &told {
        if !alarms.iter().any(|(alarm, _)| alarm == name) {
            faults.push(format!("the runbook tells of {name}, which is no alarm"));
        }
        if *filled != 4 {
            faults.push(format!("the runbook's line for {name} is not whole"));
        }
    }
    faults
}

#[test]
fn every_alarm_reaches_a_person_who_reads_what_to_do() {
    holds(alarms);
    assert!(runbook(&Whole::read().readme).len() > 15);
    finds(alarms, "no line for Brand", |w| {
        let alarm = w.template["Resources"]["BrokerDisk"].clone();
        w.template["Resources"]["Brand"] = alarm;
    });
    finds(alarms, "tells of BrokerDisk, which is no alarm", |w| {
        w.template["Resources"].as_object_mut().unwrap().remove("BrokerDisk");
    });
    finds(alarms, "RoomPaused is not whole", |w| {
        let at = w.readme.find("| `RoomPaused` |").unwrap();
        w.readme.replace_range(at..at, "| `RoomPaused` | it waits | |\n");
    });
    finds(alarms, "RoomPaused tells nobody", |w| w.properties("RoomPaused")["AlarmActions"] = json!([]));
    finds(alarms, "RoomPaused does not say what silence", |w| {
        w.properties("RoomPaused").as_object_mut().unwrap().remove("TreatMissingData");
    });
    finds(alarms, "RoomPaused does not say what is wrong", |w| {
        w.properties("RoomPaused")["AlarmDescription"] = json!("");
    });
}
