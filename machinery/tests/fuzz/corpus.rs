//! What the targets start from: everything that the reference cases send and what Kubernetes answered, read once.
//! Inputs of several parts are lines: an object, then what is done to it.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{fs, iter};

use machinery::protobuf::encode_json;
use serde_json::{Value, json};

/// What a case does: the steps with a body, and the answers to all.
#[derive(Default)]
struct Cases {
    manifests: Vec<String>,
    /// The type of the body, as the cases name it, and the body.
    bodies: Vec<(String, Value)>,
    answers: Vec<Value>,
    selectors: Vec<String>,
}

static CASES: LazyLock<Cases> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference");
    let mut cases = Cases::default();
    for file in files(&root.join("cases")) {
        let text = fs::read_to_string(file).unwrap();
        let case = machinery::yaml::parse(text.as_bytes()).unwrap().value;
        for step in case["steps"].as_array().unwrap() {
            if step["body"].is_object() || step["body"].is_array() {
                let kind = step["type"].as_str().unwrap_or("json");
                cases.bodies.push((kind.to_owned(), step["body"].clone()));
            }
            let url = step.as_object().unwrap().values().filter_map(Value::as_str);
            cases.selectors.extend(url.filter(|text| text.contains("elector=")).map(str::to_owned));
            let query = step["query"].as_object().into_iter().flatten();
            cases
                .selectors
                .extend(query.filter(|(name, _)| name.ends_with("Selector")).filter_map(|(_, text)| text.as_str().map(str::to_owned)));
        }
        cases.manifests.push(text);
    }
    for file in files(&root.join("expected")) {
        let answers: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        cases
            .answers
            .extend(answers.as_array().unwrap().iter().map(|answer| answer["body"].clone()).filter(|body| body["kind"].is_string()));
    }
    assert!(cases.bodies.len() > 1000 && cases.answers.len() > 1000, "the reference cases are where they were");
    cases
});

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn lines<'v>(parts: impl IntoIterator<Item = &'v Value>) -> Vec<u8> {
    parts.into_iter().map(Value::to_string).collect::<Vec<_>>().join("\n").into_bytes()
}

fn is_object(value: &Value) -> bool {
    value["kind"].is_string() && value["metadata"].is_object()
}

fn sent() -> impl Iterator<Item = &'static Value> {
    CASES.bodies.iter().map(|(_, body)| body).filter(|body| is_object(body))
}

pub fn objects() -> Vec<Vec<u8>> {
    sent().map(|object| lines([object])).collect()
}

pub fn manifests() -> Vec<Vec<u8>> {
    CASES.manifests.iter().map(|text| text.clone().into_bytes()).collect()
}

/// Bodies in protobuf of all kinds that have a form there.
pub fn messages() -> Vec<Vec<u8>> {
    let objects = sent().chain(CASES.answers.iter());
    objects.filter_map(|object| encode_json(object.to_string().as_bytes())).collect()
}

pub fn object_pairs() -> Vec<Vec<u8>> {
    sent().zip(sent().skip(1)).map(|(one, other)| lines([one, other])).collect()
}

/// Objects with the patches of a type; the cases' own, and as many made of objects.
fn patches(kind: &str) -> Vec<Vec<u8>> {
    let patches = CASES.bodies.iter().filter(|(of, _)| of.contains(kind)).map(|(_, patch)| patch);
    let found: Vec<_> = sent().step_by(7).zip(patches.cycle().take(500)).map(|(object, patch)| lines([object, patch])).collect();
    assert!(!found.is_empty(), "there are {kind} patches in the reference cases");
    found
}

pub fn json_patches() -> Vec<Vec<u8>> {
    patches("json-patch")
}

pub fn strategic_patches() -> Vec<Vec<u8>> {
    patches("strategic").into_iter().chain(object_pairs()).collect()
}

/// An object, its managed fields, and a configuration to apply to it.
pub fn applies() -> Vec<Vec<u8>> {
    let managed = CASES.answers.iter().filter(|answer| answer.pointer("/metadata/managedFields").is_some());
    let configs = CASES.bodies.iter().filter(|(kind, body)| kind.contains("apply") && is_object(body)).map(|(_, body)| body);
    let mut configs: Vec<&Value> = configs.collect();
    configs.extend(sent());
    let mut found = Vec::new();
    for answer in managed {
        // Times are placeholders in the answers.
        let answer: Value = serde_json::from_str(&answer.to_string().replace("<time>", "2026-01-01T00:00:00Z")).unwrap();
        let entries = answer["metadata"]["managedFields"].clone();
        let same_kind = configs.iter().filter(|config| config["kind"] == answer["kind"]).copied();
        for config in same_kind.take(3).chain(iter::once(&answer)) {
            let mut object = answer.clone();
            object["metadata"].as_object_mut().unwrap().remove("managedFields");
            let mut config = config.clone();
            config["metadata"].as_object_mut().unwrap().remove("managedFields");
            found.push(lines([&object, &entries, &config]));
        }
    }
    found
}

pub fn label_selectors() -> Vec<Vec<u8>> {
    let own = ["app=shop,tier in (web, cart),!canary", "a notin (,b),c>5,d<-3,e==f,g!=", "x.example.org/y", "in in (in,notin)"];
    let objects = sent().flat_map(|object| ["/spec/selector", "/spec/podSelector"].map(|at| object.pointer(at))).flatten();
    let objects = objects.filter(|selector| selector.is_object()).map(|selector| lines([selector]));
    CASES.selectors.iter().map(String::as_str).chain(own).map(|text| text.as_bytes().to_vec()).chain(objects).collect()
}

pub fn field_selectors() -> Vec<Vec<u8>> {
    let own = [r"odd=x\,y\=z\\,a!=b", "spec.nodeName=,metadata.name==a"];
    CASES.selectors.iter().map(String::as_str).chain(own).map(|text| text.as_bytes().to_vec()).collect()
}

pub fn quantities() -> Vec<Vec<u8>> {
    let texts = [
        "0",
        "500m",
        "1.5Gi",
        "2e3",
        "12E6",
        "1000E",
        "1.000000000000000000000000001",
        "-1.5Gi",
        "10000Ei",
        "1e-40",
        "0.1n",
        "25%",
        "2147483647%",
        "-5",
        "+5",
        ".5",
        "1.",
        "340282366920938463463374607431768211456",
        "0e9223372036854775807",
        "8Ki",
        "64Mi",
        "1234567890123456789u",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub fn times() -> Vec<Vec<u8>> {
    let texts = [
        json!("2026-01-02T03:04:05Z"),
        json!("2026-01-02T03:04:05.123456Z"),
        json!("0001-01-01T00:00:00Z"),
        json!("9999-12-31T23:59:59.999999-23:59"),
        json!("2024-02-29T23:59:60Z"),
        json!("0000-01-01T00:00:00+14:00"),
        json!("1969-12-31T23:59:59.999999Z"),
    ];
    texts.iter().map(|text| text.as_str().unwrap().as_bytes().to_vec()).collect()
}

/// Expressions of every kind of node and of every library.
pub fn expressions() -> Vec<Vec<u8>> {
    let texts = [
        "x.a == 1 && x.b.all(i, i > 0) || has(x.m.k) ? x.s : 'no' + string(x.d)",
        "x.b.map(i, i > 1, i * 2).filter(i, i in [2, 4u, 6.0]).exists_one(i, i == 4)",
        "x.m.transformMap(k, v, k == 'k', [v, v]).exists(k, v, size(v) == 2)",
        "{'a': [1, 2], ?'b': x.?z}.transformMapEntry(k, v, {k + k: v})",
        "cel.bind(l, [1] + x.b, l + l + [?x.?a]) == x.b",
        "x.?m.?k.optMap(k, k + '!').orValue('none').matches(r'^[a-z]+\\d?$')",
        "'a-b'.split('-').join('/').replace('a', x.s).substring(1).indexOf('b', 1)",
        "'%s %d %.3f %x %b %e'.format([dyn(x), 5, 1.5, b'\\x00', true, 1.0])",
        "timestamp('2024-02-29T10:00:00Z') + duration('1h30m') < timestamp(5)",
        "timestamp('2024-02-29T10:00:00.5Z').getHours('Europe/Berlin') + duration('-1.5s').getMilliseconds()",
        "quantity('1.5Gi').add(quantity('1')).compareTo(quantity('2M')) - int('-5') % 3",
        "ip('::1').isLoopback() && cidr('10.0.0.0/8').containsIP('10.1.2.3') && isSemver('v1.2', true)",
        "url('https://[::1]:80/a%20b?k=v&k=w').getQuery()['k'].isSorted()",
        "format.dns1123Label().validate(x.s).hasValue() && sets.contains(x.b, [1])",
        "Object{spec: Object.spec{replicas: x.a, ?labels: x.?m}}.spec.replicas",
        "[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('a~/b'), value: x}]",
        "!-1.5e3.size() + -0x7f * 0xFFu / \"\\U0001F600\".size()",
        "type(x) == map && type(null) != google.protobuf.Timestamp // end",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A schema, an object of it, and the object before: each custom object of a case with its definition's schema.
pub fn custom_resources() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut schema = &Value::Null;
    let mut before = &Value::Null;
    for (_, body) in &CASES.bodies {
        match body.pointer("/spec/versions/0/schema/openAPIV3Schema") {
            Some(of_definition) => (schema, before) = (of_definition, body),
            None if schema.is_object() && body["apiVersion"].as_str().is_some_and(|version| version.contains(".example.com/")) => {
                seeds.push(lines([schema, body, before]));
                before = body;
            }
            None => {}
        }
    }
    seeds
}
