//! What runs on AWS, `infra/template.yaml`, read as its reader would: rules that no linter knows. Each is shown to fail.
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

mod access;
mod doors;
mod functions;
mod watch;

/// The template and all that it must agree with.
#[derive(Clone)]
pub struct Whole {
    pub template: Value,
    /// The same as it is written, with its comments.
    pub text: String,
    pub cargo: toml::Table,
    pub readme: String,
    pub samconfig: toml::Table,
    /// What the example of the secret holds.
    pub secret: Value,
    /// The folders of `functions/`.
    pub functions: Vec<String>,
}

impl Whole {
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        let text = read("infra/template.yaml");
        let folder = |entry: fs::DirEntry| entry.path().join("Cargo.toml").is_file().then(|| entry.file_name());
        let mut functions: Vec<String> = fs::read_dir(root.join("functions"))
            .unwrap()
            .filter_map(|entry| folder(entry.unwrap()))
            .map(|name| name.into_string().unwrap())
            .collect();
        functions.sort();
        Self {
            template: plain(yaml_serde::from_str(&text).unwrap()),
            text,
            cargo: read("Cargo.toml").parse().unwrap(),
            readme: read("infra/README.md"),
            samconfig: read("infra/samconfig.example.toml").parse().unwrap(),
            secret: serde_json::from_str(&read("infra/settings.example.json")).unwrap(),
            functions,
        }
    }

    /// All resources of a type, by name.
    pub fn of_type(&self, kind: &str) -> Vec<(&str, &Value)> {
        let resources = self.template["Resources"].as_object().unwrap().iter();
        resources.filter(|(_, r)| r["Type"] == kind).map(|(name, r)| (name.as_str(), &r["Properties"])).collect()
    }

    pub fn properties(&mut self, resource: &str) -> &mut Value {
        let resource = &mut self.template["Resources"][resource];
        assert!(resource.is_object(), "a story is about a resource that is gone");
        &mut resource["Properties"]
    }
}

/// CloudFormation's short forms as it reads them itself: `!Ref x` is `{"Ref": x}`.
fn plain(value: yaml_serde::Value) -> Value {
    use yaml_serde::Value as Yaml;
    match value {
        Yaml::Sequence(items) => items.into_iter().map(plain).collect(),
        Yaml::Mapping(fields) => {
            let name = |key: Yaml| key.as_str().map(str::to_owned).unwrap_or_else(|| panic!("{key:?} is no name"));
            Value::Object(fields.into_iter().map(|(key, value)| (name(key), plain(value))).collect::<Map<_, _>>())
        }
        Yaml::Tagged(tagged) => {
            let value = plain(tagged.value);
            match tagged.tag.to_string().as_str() {
                "!Ref" => json!({ "Ref": value }),
                "!Condition" => json!({ "Condition": value }),
                "!GetAtt" => {
                    let (resource, attribute) = value.as_str().unwrap().split_once('.').unwrap();
                    json!({ "Fn::GetAtt": [resource, attribute] })
                }
                tag => json!({ format!("Fn::{}", &tag[1..]): value }),
            }
        }
        plain => serde_json::to_value(plain).unwrap(),
    }
}

/// What is wrong by some rule.
type Rule = fn(&Whole) -> Vec<String>;

/// Asserts that nothing is wrong.
pub fn holds(rule: Rule) {
    assert_eq!(rule(&Whole::read()), Vec::<String>::new());
}

/// Asserts that the rule finds what is done to the whole, in these words.
pub fn finds(rule: Rule, words: &str, change: impl FnOnce(&mut Whole)) {
    let mut whole = Whole::read();
    change(&mut whole);
    let found = rule(&whole);
    assert!(found.iter().any(|fault| fault.contains(words)), "nobody said {words:?}: {found:?}");
}

/// Every text in a value, with what it is below.
pub fn texts<'a>(value: &'a Value, visit: &mut impl FnMut(&'a str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, visit)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, visit)),
        _ => {}
    }
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn parameters(whole: &Whole) -> Vec<String> {
    let mut faults = Vec::new();
    let parameters = whole.template["Parameters"].as_object().unwrap();
    let mut used = Vec::new();
    let mut collect = |text: &str| used.push(text.to_owned());
    for part in ["Resources", "Conditions", "Rules", "Outputs"] {
        texts(&whole.template[part], &mut collect);
    }
    let given: Vec<&str> = whole.samconfig["default"]["deploy"]["parameters"]["parameter_overrides"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|pair| Some(pair.as_str()?.split_once('=')?.0))
        .collect();
    for (name, parameter) in parameters {
        let is_checked = ["AllowedPattern", "AllowedValues", "MinValue"].iter().any(|key| parameter.get(key).is_some());
        if parameter["Description"].as_str().is_none_or(|text| text.len() < 20) {
            faults.push(format!("{name} is not described"));
        }
        if !is_checked && parameter["Type"] != "CommaDelimitedList" {
            faults.push(format!("{name} is not validated"));
        }
        if !used.iter().any(|text| text == name || text.contains(&format!("${{{name}}}"))) {
            faults.push(format!("{name} is not used"));
        }
        if parameter.get("Default").is_none() && !given.contains(&name.as_str()) {
            faults.push(format!("{name} must be given, and samconfig.example.toml does not"));
        }
    }
    let unknown = given.iter().filter(|name| !parameters.contains_key(**name));
    faults.extend(unknown.map(|name| format!("samconfig.example.toml gives {name}, which is no parameter")));
    faults
}

#[test]
fn every_parameter_is_described_validated_used_and_given() {
    holds(parameters);
    finds(parameters, "Release is not described", |w| w.template["Parameters"]["Release"]["Description"] = json!(""));
    finds(parameters, "AlarmEmail is not validated", |w| {
        w.template["Parameters"]["AlarmEmail"].as_object_mut().unwrap().remove("AllowedPattern");
    });
    finds(parameters, "Spare is not used", |w| {
        w.template["Parameters"]["Spare"] = json!({ "Type": "String", "Default": "", "AllowedValues": [""] });
    });
    finds(parameters, "CodeSource must be given", |w| {
        let overrides = &mut w.samconfig["default"]["deploy"]["parameters"]["parameter_overrides"];
        overrides.as_array_mut().unwrap().retain(|pair| !pair.as_str().unwrap().starts_with("CodeSource="));
    });
    finds(parameters, "gives Colour", |w| {
        let overrides = &mut w.samconfig["default"]["deploy"]["parameters"]["parameter_overrides"];
        overrides.as_array_mut().unwrap().push("Colour=red".into());
    });
}

#[test]
fn short_forms_are_read_as_cloudformation_reads_them() {
    let text =
        "a: !Ref X\nb: !Sub '${X}/y'\nc: !GetAtt X.Arn\nd: !If [C, !Ref X, &e [1]]\nf: *e\ng: !Not [!Condition C]";
    let expected = json!({
        "a": { "Ref": "X" }, "b": { "Fn::Sub": "${X}/y" }, "c": { "Fn::GetAtt": ["X", "Arn"] },
        "d": { "Fn::If": ["C", { "Ref": "X" }, [1]] }, "f": [1], "g": { "Fn::Not": [{ "Condition": "C" }] },
    });
    assert_eq!(plain(yaml_serde::from_str(text).unwrap()), expected);
}
