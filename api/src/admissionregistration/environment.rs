//! What expressions of policies and of webhooks' conditions can refer to. Objects and parameters are dyn: a policy is
//! written without knowing which kinds it will meet.

use std::sync::Arc;

use machinery::cel::types::{self, Field, Identity, Shape, UNBOUNDED};
use machinery::cel::{Declared, Environment, Program, Type, is_object, is_patch};

/// The variables of one expression, beside those that all have.
#[derive(Clone, Debug, Default)]
pub struct Visible {
    pub params: bool,
    pub authorizer: bool,
    /// The types of objects and of parameters, where they are known; else they are dyn.
    pub object: Option<Declared>,
    pub params_type: Option<Declared>,
    /// Types of the policy's own variables that come before the expression.
    pub variables: Vec<(String, Type)>,
    /// Whether mutations can be written.
    pub mutations: bool,
}

impl Visible {
    /// Of a condition: no variables yet.
    pub fn of_conditions(params: bool) -> Self {
        Self { params, authorizer: true, ..Self::default() }
    }

    pub fn environment(&self) -> Arc<Environment> {
        let object = || self.object.clone().unwrap_or_else(Declared::any);
        let mut environment = Environment::new()
            .variable("object", object())
            .variable("oldObject", object())
            .variable("request", request())
            .variable("namespaceObject", namespace());
        if self.params {
            environment = environment.variable("params", self.params_type.clone().unwrap_or_else(Declared::any));
        }
        if self.authorizer {
            environment = environment
                .variable("authorizer", Declared::new(Shape::Opaque(types::AUTHORIZER)))
                .variable("authorizer.requestResource", Declared::new(Shape::Opaque(types::RESOURCE_CHECK)));
        }
        let variables = self.variables.iter().map(|(name, found)| field(name, Declared::new(Shape::Known(found.clone()))));
        environment = environment.variable("variables", Declared::object("kubernetes.variables", variables));
        if self.mutations {
            environment = environment.with_mutations();
        }
        Arc::new(environment)
    }
}

/// What an expression has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Condition,
    Message,
    /// A text, or null for none.
    Annotation,
    /// Of a variable.
    Anything,
    /// `Object{…}`
    Configuration,
    /// `[JSONPatch{…}]`
    Patch,
}

/// Compiles an expression; the error says why it is not what is wanted.
pub fn compile(source: &str, environment: &Arc<Environment>, wanted: Wanted) -> Result<Program, String> {
    let program = Program::compile(source, environment).map_err(|error| format!("does not compile: {error}"))?;
    let found = program.result();
    let (right, name) = match wanted {
        Wanted::Condition => (*found == Type::Bool, "bool"),
        Wanted::Message => (*found == Type::String, "string"),
        Wanted::Annotation => (matches!(found, Type::String | Type::Null), "string or null"),
        Wanted::Anything => (true, "dyn"),
        Wanted::Configuration => (is_object(found), "Object"),
        Wanted::Patch => (is_patch(found), "list(JSONPatch)"),
    };
    if right { Ok(program) } else { Err(format!("must be {name}, not {found}")) }
}

fn field(name: &str, declared: Declared) -> (String, Field) {
    (name.to_owned(), Field { json: name.to_owned(), declared })
}

fn text(name: &str) -> (String, Field) {
    field(name, Declared::new(Shape::String))
}

fn texts() -> Declared {
    Declared::list(Declared::new(Shape::String), Identity::Index, UNBOUNDED)
}

fn map_of(value: Declared) -> Declared {
    Declared::map(UNBOUNDED, value, UNBOUNDED)
}

/// The request as webhooks are told of it, without its objects.
fn request() -> Declared {
    let kind = || Declared::object("kubernetes.GroupVersionKind", [text("group"), text("version"), text("kind")]);
    let resource = || Declared::object("kubernetes.GroupVersionResource", [text("group"), text("version"), text("resource")]);
    let user = [text("username"), text("uid"), field("groups", texts()), field("extra", map_of(texts()))];
    Declared::object(
        "kubernetes.AdmissionRequest",
        [
            field("kind", kind()),
            field("resource", resource()),
            text("subResource"),
            field("requestKind", kind()),
            field("requestResource", resource()),
            text("requestSubResource"),
            text("name"),
            text("namespace"),
            text("operation"),
            field("userInfo", Declared::object("kubernetes.UserInfo", user)),
            field("dryRun", Declared::new(Shape::Bool)),
            field("options", Declared::any()),
        ],
    )
}

/// The namespace of the request's object, as far as it is shown.
fn namespace() -> Declared {
    let time = |name| field(name, Declared::new(Shape::Timestamp));
    let number = |name| field(name, Declared::new(Shape::Int));
    let pairs = |name| field(name, map_of(Declared::new(Shape::String)));
    let metadata = [
        text("name"),
        text("generateName"),
        text("namespace"),
        pairs("labels"),
        pairs("annotations"),
        ("UID".to_owned(), Field { json: "uid".to_owned(), declared: Declared::new(Shape::String) }),
        time("creationTimestamp"),
        number("deletionGracePeriodSeconds"),
        time("deletionTimestamp"),
        number("generation"),
        text("resourceVersion"),
        field("finalizers", texts()),
    ];
    let condition = [text("status"), text("type"), time("lastTransitionTime"), text("message"), text("reason")];
    let conditions = Declared::list(Declared::object("kubernetes.NamespaceCondition", condition), Identity::Index, UNBOUNDED);
    Declared::object(
        "kubernetes.Namespace",
        [
            field("metadata", Declared::object("kubernetes.NamespaceMetadata", metadata)),
            field("spec", Declared::object("kubernetes.NamespaceSpec", [field("finalizers", texts())])),
            field("status", Declared::object("kubernetes.NamespaceStatus", [field("conditions", conditions), text("phase")])),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_see_what_they_may() {
        let visible = Visible { params: true, authorizer: true, variables: vec![("n".to_owned(), Type::Int)], ..Visible::default() };
        let environment = visible.environment();
        for (right, wanted) in [
            ("object.spec.replicas <= params.most && request.userInfo.groups.exists(g, g == 'a')", Wanted::Condition),
            ("authorizer.group('').resource('pods').check('get').allowed()", Wanted::Condition),
            ("authorizer.requestResource.check('get').allowed() && variables.n > 1", Wanted::Condition),
            ("has(oldObject.metadata) && namespaceObject.metadata.labels['a'] == 'b'", Wanted::Condition),
            ("'n is ' + string(variables.n)", Wanted::Message),
            ("object == null ? 'a' : 'b'", Wanted::Annotation),
        ] {
            assert!(compile(right, &environment, wanted).is_ok(), "{right}");
        }
        for (wrong, wanted) in [
            ("object.spec", Wanted::Condition),
            ("variables.m == 1", Wanted::Condition),
            ("variables.n == 'a'", Wanted::Condition),
            ("request.object == null", Wanted::Condition),
            ("1", Wanted::Message),
            ("Object{}", Wanted::Anything),
        ] {
            assert!(compile(wrong, &environment, wanted).is_err(), "{wrong}");
        }
        let bare = Visible::default().environment();
        assert!(compile("params == null", &bare, Wanted::Condition).is_err());
        assert!(compile("authorizer.path('/').check('get').allowed()", &bare, Wanted::Condition).is_err());
    }

    #[test]
    fn mutations_are_objects_or_patches() {
        let environment = Visible { mutations: true, ..Visible::default() }.environment();
        let object = "Object{spec: Object.spec{replicas: 1, template: Object.spec.template{}}}";
        assert!(compile(object, &environment, Wanted::Configuration).is_ok());
        let patch = "[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b'), value: Object.spec{a: 1}}]";
        assert!(compile(patch, &environment, Wanted::Patch).is_ok());
        assert!(compile("has(object.a) ? [JSONPatch{op: 'remove', path: '/a'}] : []", &environment, Wanted::Patch).is_ok());
        for wrong in ["'x'", "[1]", "Object{}", "[JSONPatch{op: 1}]", "[JSONPatch{nothing: ''}]"] {
            assert!(compile(wrong, &environment, Wanted::Patch).is_err(), "{wrong}");
        }
        for wrong in ["1", "Object{", "object", "Object.spec{}", "Other{}"] {
            assert!(compile(wrong, &environment, Wanted::Configuration).is_err(), "{wrong}");
        }
    }
}
