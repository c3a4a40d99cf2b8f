//! Tables of expressions with their values and their errors, as the CEL specification and Kubernetes define them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::types::{Identity, Shape};
use super::*;

fn environment() -> Arc<Environment> {
    let environment = Environment::new().variable("x", Declared::any()).with_bind();
    Arc::new(environment)
}

/// The value of an expression as text; what went wrong otherwise.
fn outcome(source: &str, x: &Json) -> String {
    let program = match Program::compile(source, &environment()) {
        Ok(program) => program,
        Err(error) => return format!("refused: {error}"),
    };
    let evaluation = program.evaluate(vec![Some(Value::from_any(x))], CALL_LIMIT);
    match evaluation.value {
        Ok(Value::Bool(value)) => value.to_string(),
        Ok(other) => format!("a {}", other.type_name()),
        Err(error) => format!("failed: {error}"),
    }
}

fn all_true(expressions: &[&str]) {
    let x = json!({"a": 1, "b": [1, 2, 3], "s": "text", "d": 1.5, "m": {"k": "v", "l": "w"}, "n": null, "t": true});
    let wrong: Vec<String> = expressions
        .iter()
        .map(|source| (source, outcome(source, &x)))
        .filter(|(_, found)| found != "true")
        .map(|(source, found)| format!("{source}  is  {found}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn all_begin(beginning: &str, expressions: &[&str]) {
    let x = json!({"a": 1, "b": [1, 2, 3], "s": "text"});
    let wrong: Vec<String> = expressions
        .iter()
        .map(|source| (source, outcome(source, &x)))
        .filter(|(_, found)| !found.starts_with(beginning))
        .map(|(source, found)| format!("{source}  is  {found}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_end_of_time_can_be_compared_with() {
    for late in ["9999-12-31T23:59:59Z", "9999-12-30T23:00:00.5Z"] {
        assert!(time::parse_timestamp(late) > time::parse_timestamp("9999-12-29T00:00:00Z"), "{late}");
    }
    for never in ["10000-01-01T00:00:00Z", "9999-12-31T25:00:00Z", "9999-12-31"] {
        assert_eq!(time::parse_timestamp(never), None, "{never}");
    }
}

#[test]
fn the_language_means_what_its_specification_says() {
    all_true(&[
        "1 + 2 * 3 == 7",
        "(1 + 2) * 3 == 9",
        "-7 / 2 == -3 && -7 % 2 == -1",
        "7u / 2u == 3u",
        "-9223372036854775808 < 0",
        "0xff == 255 && 0xFFu == 255u",
        "1.5e3 == 1500.0 && .5 == 0.5",
        "--1 == 1 && !!true",
        "'a' + \"b\" == 'ab'",
        r"'\x41\u00e9\U0001F600\101\n' == 'Aé😀A' + '\n'",
        r"r'\d' == '\\d'",
        "'''a\nb''' == 'a\\nb'",
        r"b'\xff\x00'.size() == 2 && b'é' == bytes('é')",
        "'é😀'.size() == 2 && size('') == 0",
        "1 < 2u && 2u < 2.5 && 3 >= 3.0 && dyn(1) == 1.0 && dyn(1) == 1u",
        "dyn(9007199254740993) != 9007199254740992.0",
        "1 in [1, 2] && !(3 in [1, 2]) && 'k' in {'k': 1}",
        "[1, 2] + [3] == [1, 2, 3] && [1, 2][1] == 2",
        "{'a': 1, 'b': 2}['b'] == 2 && {'a': 1}.a == 1 && {1: 'x'}[1] == 'x'",
        "{1: 2} == {1: 2} && dyn({1: 2}) == {1u: 2.0}",
        "true ? 1 == 1 : 1 / 0 == 1",
        "true || 1 / 0 == 1",
        "1 / 0 == 1 || true",
        "!(1 / 0 == 1 && false)",
        "[1, 0].exists(i, 1 / i == 1) && ![0, 2].all(i, 4 / i == 3)",
        "[1, 2, 3].map(i, i * 2) == [2, 4, 6] && [1, 2, 3].map(i, i > 1, i) == [2, 3]",
        "[1, 2, 3].filter(i, i > 1) == [2, 3] && [1, 2, 2].exists_one(i, i == 1)",
        "{'a': 1, 'b': 2}.all(k, k < 'c') && {'a': 1}.map(k, k) == ['a']",
        "[5, 6].all(i, v, v == i + 5) && {'a': 1}.exists(k, v, k == 'a' && v == 1)",
        "[1, 2].transformList(i, v, i + v) == [1, 3]",
        "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2} && {'a': 1}.transformMapEntry(k, v, {v: k}) == {1: 'a'}",
        "{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v) == {'b': 2}",
        "cel.bind(y, 2, y * y) == 4",
        "[[1, 2], [3]].all(l, l.all(i, i < 4))",
        "type(1) == int && type('') == string && type(null) == null_type && type(type(1)) == type",
        "type(timestamp('2020-01-01T00:00:00Z')) == google.protobuf.Timestamp",
        "null == null && dyn(null) != 1",
        "0.0 / 0.0 != 0.0 / 0.0 && !(0.0 / 0.0 < 1.0)",
        "'abc' < 'abd' && b'a' < b'b' && false < true",
        "// nothing\n true // is lost",
        "'' == '' ? true : false ? false : false",
    ]);
}

#[test]
fn inputs_are_read_where_they_lie() {
    all_true(&[
        "x.a == 1 && x.d == 1.5 && x.b[2] == 3 && x.m.k == 'v' && x.n == null && x.t",
        "has(x.a) && !has(x.z) && has(x.n)",
        "x.b.all(i, i > 0) && size(x.m) == 2 && 'k' in x.m",
        "x.?z.orValue(5) == 5 && x.?a.orValue(5) == 1 && x.?m.?k == optional.of('v')",
        "!x.?z.hasValue() && x.?z.y.orValue(1) == 1 && x.b[?7].orValue(0) == 0 && x.m[?'k'].value() == 'v'",
        "[?x.?z, ?x.?a] == [1] && {?'a': x.?z}.size() == 0",
        "x.?a.optMap(a, a + 1).orValue(0) == 2 && x.?z.optFlatMap(z, z).hasValue() == false",
        "optional.none().or(optional.of(1)).value() == 1 && optional.of(2).orValue(1 / 0) == 2",
        "optional.ofNonZeroValue(0) == optional.none() && [optional.of(1), optional.none()].unwrapOpt() == [1]",
        "[1, 2].first().value() == 1 && [1, 2].last().value() == 2",
        "type(x.a) == int && type(x.d) == double && type(x.b) == list && type(x.m) == map",
    ]);
}

#[test]
fn conversions_and_times() {
    all_true(&[
        "int('-5') == -5 && int(2.9) == 2 && int(5u) == 5 && uint('5') == 5u && double('1.5') == 1.5",
        "string(1) == '1' && string(1.5) == '1.5' && string(1e7) == '1e+07' && string(true) == 'true' && string(b'a') == 'a'",
        "bool('true') && !bool('F')",
        "duration('1h30m') == duration('90m') && string(duration('1.5s')) == '1.5s' && duration('-1ms') < duration('0s')",
        "timestamp('2024-02-29T10:00:00Z') + duration('24h') == timestamp('2024-03-01T10:00:00Z')",
        "timestamp('2024-01-01T00:00:00+01:00') == timestamp('2023-12-31T23:00:00Z')",
        "timestamp('2024-01-02T03:04:05.678Z') - timestamp('2024-01-01T03:04:05.678Z') == duration('24h')",
        "timestamp('2024-02-03T04:05:06.789Z').getMonth() == 1 && timestamp('2024-02-03T04:05:06.789Z').getDate() == 3",
        "timestamp('2024-02-03T04:05:06.789Z').getDayOfMonth() == 2 && timestamp('2024-02-03T04:05:06.789Z').getDayOfYear() == 33",
        "timestamp('2024-02-04T04:05:06.789Z').getDayOfWeek() == 0 && timestamp('2024-02-03T04:05:06.789Z').getMilliseconds() == 789",
        "timestamp('2024-02-03T23:05:06Z').getHours('+02:00') == 1 && timestamp('2024-07-03T10:05:06Z').getHours('Europe/Berlin') == 12",
        "duration('3730s').getHours() == 1 && duration('3730s').getMinutes() == 62 && duration('1.5s').getMilliseconds() == 1500",
        "int(timestamp('1970-01-01T00:01:00Z')) == 60 && string(timestamp(60)) == '1970-01-01T00:01:00Z'",
    ]);
}

#[test]
fn libraries() {
    all_true(&[
        "'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c') && 'abc'.matches('^a.c$') && matches('é', '^.$')",
        "'tacocat'.indexOf('ac') == 1 && 'tacocat'.indexOf('a', 3) == 5 && 'tacocat'.lastIndexOf('at') == 5 && 'é1é'.indexOf('1') == 1",
        "'tacocat'.lastIndexOf('a', 3) == 1 && 'abc'.indexOf('z') == -1 && 'abc'.charAt(1) == 'b' && 'abc'.charAt(3) == ''",
        "'TacoCat'.lowerAscii() == 'tacocat' && 'é'.upperAscii() == 'é' && ' a '.trim() == 'a'",
        "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco'",
        "'a-b-c'.split('-') == ['a', 'b', 'c'] && 'a-b-c'.split('-', 2) == ['a', 'b-c'] && 'abc'.split('') == ['a', 'b', 'c']",
        "['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b' && 'aaa'.replace('a', 'b', 2) == 'bba'",
        "'abc 123'.find('[0-9]+') == '123' && 'a1b2c3'.findAll('[0-9]') == ['1', '2', '3'] && 'a1b2'.findAll('[0-9]', 1) == ['1']",
        r"!'١'.matches(r'\d') && '5'.matches(r'^\d$') && 'a b'.matches(r'^\w\s\w$') && '['.matches(r'[[]')",
        "'%s is %d, %.2f, %x, %b, %e'.format([dyn('a'), 5, 1.234, 255, 5, 1500.0]) == 'a is 5, 1.23, ff, 101, 1.500000×10⁰³'",
        "'%s %s %%'.format([dyn([1, 2]), {'k': true}]) == '[1, 2] {\"k\":true} %' && strings.quote('a\\n') == '\"a\\\\n\"'",
        "[1, 2, 2].isSorted() && !['b', 'a'].isSorted() && [1, 2].sum() == 3 && [3, 1].min() == 1 && ['a', 'b'].max() == 'b'",
        "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(5) == -1",
        "sets.contains([1, 2], [2]) && sets.equivalent([1, 1], [1]) && sets.intersects([1], [1, 2]) && !sets.intersects([1], [])",
        "url('https://u@example.com:80/a%20b?k=v&k=w').getHost() == 'example.com:80' && url('https://[::1]:80/').getHostname() == '::1'",
        "url('https://example.com/a?k=v&k=w').getQuery() == {'k': ['v', 'w']} && url('/p').getEscapedPath() == '/p' && !isURL('../a')",
        "url('https://example.com:80/').getPort() == '80' && url('https://example.com/').getScheme() == 'https'",
        "quantity('1.5Gi').isGreaterThan(quantity('1G')) && quantity('50k').add(20) == quantity('50020') && isQuantity('5M') && !isQuantity('x')",
        "quantity('50k').asInteger() == 50000 && sign(quantity('1').sub(quantity('2'))) == -1 && !quantity('1.5').isInteger()",
        "ip('10.0.0.1').family() == 4 && isIP('::1') && !isIP('1.2.3.256') && ip.isCanonical('::1') && ip('127.0.0.1').isLoopback()",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/16')) && string(cidr('10.1.0.1/8').masked()) == '10.0.0.0/8'",
        "cidr('::/0').containsIP(ip('::1')) && cidr('10.0.0.0/8').prefixLength() == 8 && cidr('10.0.0.1/8').ip() == ip('10.0.0.1')",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').compareTo(semver('1.0.0')) == -1 && isSemver('v1.0', true)",
        "semver('v01.02', true) == semver('1.2.0') && !isSemver('1.0') && semver('1.2.3').minor() == 2",
        "!format.dns1123Label().validate('ok').hasValue() && format.named('qualifiedName').value().validate('-').hasValue()",
        "!format.named('nothing').hasValue() && format.uuid().validate('x').hasValue() && !format.date().validate('2020-01-01').hasValue()",
    ]);
}

#[test]
fn what_is_wrong_is_refused_before_it_runs() {
    all_begin(
        "refused: ",
        &[
            "",
            "1 +",
            "1 + 'a'",
            "y",
            "1 == 'a'",
            "[1, 'a']",
            "{'a': 1, 'b': 'c'}",
            "'a'.nothing()",
            "'a'.size",
            "!1",
            "1 ? 2 : 3",
            "true ? 1 : 'a'",
            "1 && true",
            "[1].all(1, true)",
            "[1].all(i, i)",
            "1.all(i, true)",
            "has(1)",
            "'a'.matches('(')",
            "duration('x')",
            "timestamp('x')",
            "9223372036854775808",
            "'a",
            "'\\q'",
            "a = 1",
            "for",
            "Object{a: 1}",
            "jsonpatch.escapeKey('a')",
            "1 2",
            "quantity('1') == 1",
            "optional.of(1) + 1",
            "1.5 % 2.0",
            "[1].map(i, j)",
            "{[1]: 2}",
            "math.greatest(1, 2)",
        ],
    );
}

#[test]
fn errors_of_evaluation_are_errors() {
    all_begin(
        "failed: ",
        &[
            "1 / 0",
            "1 % 0",
            "9223372036854775807 + 1",
            "-(-9223372036854775807 - 1)",
            "1u - 2u",
            "x.z",
            "x.a.b",
            "x.b[3]",
            "x.b[-1]",
            "x.a + 'b'",
            "x.s + 1",
            "{'a': 1}['b']",
            "['x'].transformMapEntry(i, v, {'a': i, 'b': i}).c",
            "int(x.s)",
            "int(x.a * 1e30)",
            "uint(0 - 1)",
            "x.a ? 1 : 2",
            "x.s && true",
            "'abc'.substring(2, 1)",
            "'abc'.charAt(9)",
            "optional.none().value()",
            "[1, 0].map(i, 1 / i)",
            "[0, 0].exists_one(i, 1 / i == 1)",
            "[1, 0].all(i, 1 / i == 1)",
            "quantity('x')",
            "ip('x')",
            "'%d'.format([x.s])",
            "[1, 2].slice(1, 3)",
            "x.s.matches(x.s + '(')",
            "timestamp('9999-12-30T00:00:00Z') + duration('48h')",
        ],
    );
}

#[test]
fn a_declared_input_is_what_it_was_declared() {
    let object = |name: &str, fields: Vec<(&str, Declared)>| {
        let fields = fields.into_iter().map(|(name, declared)| (name.to_owned(), types::Field { json: name.to_owned(), declared }));
        Declared::object(name, fields)
    };
    let item = object("item", vec![("k", Declared::new(Shape::String)), ("v", Declared::new(Shape::Int))]);
    let declared = object(
        "root",
        vec![
            ("number", Declared::new(Shape::Double)),
            ("time", Declared::new(Shape::Timestamp)),
            ("bytes", Declared::new(Shape::Bytes)),
            ("set", Declared::list(Declared::new(Shape::Int), Identity::Value, 10)),
            ("map", Declared::list(item, Identity::Keys(vec!["k".to_owned()]), 10)),
        ],
    );
    let environment = Arc::new(Environment::new().variable("self", declared.clone()).variable("old", declared.clone()));
    let new = json!({"number": 1, "time": "2024-01-01", "bytes": "aGk=", "set": [1, 2], "map": [{"k": "a", "v": 1}, {"k": "b", "v": 2}]});
    let old = json!({"set": [2, 1], "map": [{"k": "b", "v": 2}, {"k": "a", "v": 1}]});
    for source in [
        "self.number / 2.0 == 0.5 && self.time.getFullYear() == 2024 && self.bytes == b'hi'",
        "self.set == old.set && self.map == old.map",
        "(self.set + [2]).size() == 2 && (self.map + [old.map[1]]).size() == 2",
        "!has(old.number)",
    ] {
        let program = Program::compile(source, &environment).unwrap();
        let inputs = vec![Some(Value::from_json(&new, &declared)), Some(Value::from_json(&old, &declared))];
        assert!(matches!(program.evaluate(inputs, CALL_LIMIT).value, Ok(Value::Bool(true))), "{source}");
    }
    for source in ["self.nothing", "self.number == 1", "self.time == '2024'", "self.set == ['a']", "self.map[0].z == 1"] {
        assert!(Program::compile(source, &environment).is_err(), "{source}");
    }
}

#[test]
fn costs_are_bounded() {
    let program = |source: &str| Program::compile(source, &environment()).unwrap();
    // Doubling a list again and again is cheap by upstream's prices, but not in memory.
    let mut doubling = "l".to_owned();
    for _ in 0..40 {
        doubling = format!("cel.bind(l, l + l, {doubling})");
    }
    assert_eq!(program(&format!("cel.bind(l, [1], {doubling}.size() > 0)")).evaluate(vec![], CALL_LIMIT).value.err(), Some(Stop::Cost));
    let list = "[1,2,3,4,5,6,7,8,9,10]";
    let nested = format!("{list}.all(a, {list}.all(b, {list}.all(c, {list}.all(d, {list}.all(e, a + b + c + d + e > 0)))))");
    assert_eq!(program(&nested).evaluate(vec![], 100_000).value.err(), Some(Stop::Cost));
    assert!(program(&nested).estimated_cost() > 100_000);
    assert_eq!(program("x.a").estimated_cost(), 2);
    for deep in
        ["(".repeat(5000), "[".repeat(5000), "!-".repeat(5000), "a?".repeat(5000), "a.b(".repeat(5000), format!("1{}", "+1".repeat(5000))]
    {
        assert!(Program::compile(&deep, &environment()).is_err());
    }
    let deepest = format!("{}1{} == 1", "(".repeat(90), ")".repeat(90));
    assert!(matches!(program(&deepest).evaluate(vec![], CALL_LIMIT).value, Ok(Value::Bool(true))));
    let nested = format!("{}1{} != []", "[".repeat(90), "]".repeat(90));
    assert!(matches!(program(&nested).evaluate(vec![], CALL_LIMIT).value, Ok(Value::Bool(true))));
}

#[test]
fn a_long_chain_is_no_deep_tree() {
    let chain = vec!["x.a == 1"; 8_000].join(" && ");
    assert_eq!(outcome(&chain, &json!({"a": 1})), "true");
    let mixed = "false || true && 1 + 2 * 3 == 7 || false";
    assert_eq!(outcome(mixed, &json!({})), "true");
}

#[test]
fn what_an_expression_refers_to_is_known() {
    let program = Program::compile("x.a == 1 && has(x.b) && [2].all(x, x > 1)", &environment()).unwrap();
    assert!(program.uses("x"));
    assert_eq!(program.fields_used("x"), ["a", "b"]);
}
