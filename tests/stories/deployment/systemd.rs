//! The units in `infra/systemd`.
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::text;
use crate::process::emulator::folder;

const UNITS: [&str; 2] = ["talkback-host.service", "talkback-migrate.service"];

/// Where the units look for the program.
const PROGRAM: &str = "/usr/local/bin/talkback-host";

fn unit(name: &str) -> String {
    text(&format!("systemd/{name}"))
}

/// The values of a key.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// Lays the units where nothing else lies. Systemd looks whether the program is there: here is one in its place.
fn lay(folder: &Path) -> Vec<String> {
    let program = folder.join("talkback-host");
    fs::copy(xtask::programs::find("true").unwrap(), &program).unwrap();
    UNITS
        .iter()
        .map(|name| {
            let file = folder.join(name);
            fs::write(&file, unit(name).replace(PROGRAM, &program.display().to_string())).unwrap();
            file.display().to_string()
        })
        .collect()
}

fn analyze(arguments: &[&str], files: &[String]) -> Output {
    let mut command = Command::new(xtask::programs::find("systemd-analyze").unwrap());
    command.args(arguments).args(files).env("LC_ALL", "C.UTF-8").env("SYSTEMD_COLORS", "0");
    command.output().unwrap()
}

#[test]
fn systemd_finds_nothing_to_say_about_the_units() {
    let files = lay(&folder("systemd"));
    let read = analyze(&["verify", "--man=no"], &files);
    let said = [read.stdout, read.stderr].concat();
    assert!(read.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn what_is_wrong_in_a_unit_is_said() {
    let files = lay(&folder("systemd-wrong"));
    let wrong = fs::read_to_string(&files[0]).unwrap().replace("ProtectSystem=strict", "ProtectSystem=somewhat");
    fs::write(&files[0], wrong).unwrap();
    let read = analyze(&["verify", "--man=no"], &files[..1]);
    let said = String::from_utf8_lossy(&read.stderr).into_owned();
    assert!(said.contains("ignoring: somewhat"), "the check above cannot fail: {said}");
}

#[test]
fn the_units_are_exposed_to_little() {
    let files = lay(&folder("systemd-exposed"));
    for file in files {
        // In tenths; infra/README.md tells the figure.
        let read = analyze(&["security", "--offline=true", "--no-pager", "--threshold=15"], &[file]);
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stdout));
    }
}

#[test]
fn the_host_starts_without_its_database_and_is_given_its_time_to_end() {
    let [host, migrate] = UNITS.map(unit);
    assert_eq!(values(&host, "ExecStart"), [PROGRAM]);
    assert_eq!(values(&migrate, "ExecStart"), [format!("{PROGRAM} migrate")]);
    assert_eq!((values(&migrate, "Type"), values(&host, "Restart")), (vec!["oneshot"], vec!["on-failure"]));
    for unit in [&host, &migrate] {
        assert_eq!(values(unit, "EnvironmentFile"), ["/etc/talkback/host.env"], "a missing one must be an error");
    }
    assert_eq!(values(&host, "Requires"), Vec::<&str>::new(), "an alarm does not wait for a migration");
    let patience: u32 = values(&host, "TimeoutStopSec")[0].trim_end_matches('s').parse().unwrap();
    assert!(patience > 10, "killed after {patience} s, while it promises to end within 10");
    // One cannot be walled in and the other be forgotten.
    let walls = |unit: &str| {
        let (_, walls) = unit.split_once("\nDynamicUser=").unwrap();
        walls.split("\n\n[Install]").next().unwrap().trim_end().to_owned()
    };
    assert_eq!(walls(&host), walls(&migrate));
}
