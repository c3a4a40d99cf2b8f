//! CEL expressions that select devices by the variable `device`.

use std::sync::{Arc, LazyLock};

use machinery::cel::types::{self, Field, Shape};
use machinery::cel::{CALL_LIMIT, Declared, Environment, Program, Type};
use machinery::field::{Error, Errors, Path};

const LONGEST_BYTES: usize = 10 * 1024;
const MOST_ATTRIBUTES: u64 = 32;
const LONGEST_DOMAIN: u64 = 63;
const LONGEST_NAME: u64 = 32;
const LONGEST_VALUE: u64 = 64;

/// The variable `device`: attributes and capacities by domain and by name, of values of any type.
static ENVIRONMENT: LazyLock<Arc<Environment>> = LazyLock::new(|| {
    let by_domain = |value| Declared::map(LONGEST_DOMAIN, Declared::map(LONGEST_NAME, value, MOST_ATTRIBUTES), MOST_ATTRIBUTES);
    let field = |name: &str, declared| (name.to_owned(), Field { json: name.to_owned(), declared });
    let device = Declared::object(
        "kubernetes.DRADevice",
        [
            field("driver", Declared::at_most(Shape::String, LONGEST_DOMAIN)),
            field("attributes", by_domain(Declared::at_most(Shape::Any, LONGEST_VALUE))),
            field("capacity", by_domain(Declared::new(Shape::Opaque(types::QUANTITY)))),
            field("allowMultipleAllocations", Declared::new(Shape::Bool)),
        ],
    );
    Arc::new(Environment::new().variable("device", device).with_bind())
});

/// What is wrong with an expression: it has to be a condition, and to be cheap enough to be asked of each device.
pub(super) fn check(path: &Path, expression: &str) -> Errors {
    if expression.len() > LONGEST_BYTES {
        return vec![Error::too_long(path, LONGEST_BYTES)];
    }
    let program = match Program::compile(expression, &ENVIRONMENT) {
        Ok(program) => program,
        Err(error) => return vec![Error::invalid(path, expression, format!("does not compile: {error}"))],
    };
    if !matches!(program.result(), Type::Bool | Type::Dyn) {
        return vec![Error::invalid(path, expression, format!("must be a bool, not {}", program.result()))];
    }
    if program.estimated_cost() > CALL_LIMIT {
        return vec![Error::forbidden(path, "too complex: the estimated cost is above the limit")];
    }
    Errors::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_conditions_on_devices() {
        let path = Path::new("expression");
        for right in [
            "device.driver == 'a' && device.attributes['a'].model == 'b'",
            "device.attributes['a'].healthy",
            "device.capacity['a'].memory.isGreaterThan(quantity('1Gi'))",
            "cel.bind(a, device.attributes['a'], a.one && a.version.isGreaterThan(semver('1.0.0')))",
            "device.attributes['a'].names.contains('x') || device.allowMultipleAllocations",
        ] {
            assert_eq!(check(&path, right), Errors::new(), "{right}");
        }
        for wrong in ["device.nothing", "device.driver", "device.driver == 1", "device.", "true;", "driver == 'a'"] {
            assert_eq!(check(&path, wrong).len(), 1, "{wrong}");
        }
    }
}
