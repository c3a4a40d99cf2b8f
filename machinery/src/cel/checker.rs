//! Types of expressions, and with them what each name and call means. What is known to be wrong is refused; what is dyn is
//! left to the evaluator.

use super::Error;
use super::ast::{Bind, BindKind, Element, Entry, Expr, FieldValue, Fold, FoldKind, Id, Kind, Literal};
use super::environment::Environment;
use super::libraries::text_format;
use super::library::{self, Overload};
use super::types::{Bindings, Type};
use super::{pattern, time};

/// What is known about a node beside its type.
#[derive(Clone, Default)]
pub(super) enum Note {
    #[default]
    None,
    /// The variable in this place: those of the environment come first, then those of macros from the outside in.
    Slot(usize),
    TypeName(String),
    Call {
        /// Those that fit by type; which one it is may be known only from the values.
        overloads: Vec<&'static Overload>,
        /// The target is a namespace, not an argument.
        qualified: bool,
    },
}

pub(super) struct Checked {
    pub notes: Vec<Note>,
    pub types: Vec<Type>,
    pub result: Type,
}

pub(super) fn check(source: &str, root: &Expr, nodes: Id, environment: &Environment) -> Result<Checked, Error> {
    let nodes = nodes as usize;
    let (notes, types) = (vec![Note::None; nodes], vec![Type::Dyn; nodes]);
    let mut checker = Checker { source, environment, locals: Vec::new(), mixed: false, notes, types };
    let result = checker.check(root)?;
    Ok(Checked { notes: checker.notes, types: checker.types, result })
}

struct Checker<'e> {
    source: &'e str,
    environment: &'e Environment,
    /// Variables of the macros around the node.
    locals: Vec<(String, Type)>,
    /// Whether lists and maps may be of values of several types, as what is formatted may.
    mixed: bool,
    notes: Vec<Note>,
    types: Vec<Type>,
}

type Typed = Result<Type, Error>;

impl Checker<'_> {
    fn error(&self, at: u32, why: impl Into<String>) -> Error {
        Error::check(self.source, at, why)
    }

    fn check(&mut self, expr: &Expr) -> Typed {
        let found = match &expr.kind {
            Kind::Literal(literal) => literal_type(literal),
            Kind::Ident(name) => self.name(expr, name)?,
            Kind::Select { operand, field, optional } => self.select(expr, operand, field, *optional)?,
            Kind::Has { operand, field } => {
                let operand = self.check(operand)?;
                self.field(expr.at, &operand, field)?;
                Type::Bool
            }
            Kind::Call { function, target, args } => self.call(expr, function, target.as_deref(), args)?,
            Kind::All(terms) | Kind::Any(terms) => {
                for term in terms {
                    self.expect(term, &Type::Bool)?;
                }
                Type::Bool
            }
            Kind::Choice(parts) => self.choice(parts)?,
            Kind::List(elements) => self.list(elements)?,
            Kind::Map(entries) => self.map(entries)?,
            Kind::Struct { name, fields } => self.structure(expr.at, name, fields)?,
            Kind::Fold(fold) => self.fold(fold)?,
            Kind::Bind(bind) => self.bind(bind)?,
        };
        self.types[expr.id as usize] = found.clone();
        Ok(found)
    }

    fn expect(&mut self, expr: &Expr, wanted: &Type) -> Result<(), Error> {
        let found = self.check(expr)?;
        if found.fits(wanted, &mut Bindings::default()) {
            return Ok(());
        }
        Err(self.error(expr.at, format!("expected {wanted}, found {found}")))
    }

    fn slot(&self, name: &str) -> Option<(usize, Type)> {
        let variables = self.environment.variables();
        if let Some(place) = self.locals.iter().rposition(|(local, _)| local == name) {
            return Some((variables.len() + place, self.locals[place].1.clone()));
        }
        let place = variables.iter().position(|(variable, _)| variable == name)?;
        Some((place, variables[place].1.as_type()))
    }

    fn name(&mut self, expr: &Expr, name: &str) -> Typed {
        if let Some((slot, found)) = self.slot(name) {
            self.notes[expr.id as usize] = Note::Slot(slot);
            return Ok(found);
        }
        self.type_name(expr, name).ok_or_else(|| self.error(expr.at, format!("undeclared reference to `{name}`")))
    }

    fn type_name(&mut self, expr: &Expr, name: &str) -> Option<Type> {
        library::TYPE_NAMES.contains(&name).then(|| {
            self.notes[expr.id as usize] = Note::TypeName(name.to_owned());
            Type::Type
        })
    }

    /// A variable of the environment that has dots in its name, unless a macro's variable hides it.
    fn dotted(&self, name: &str) -> Option<(usize, Type)> {
        let slot = self.environment.variables().iter().position(|(variable, _)| variable == name)?;
        let root = name.split('.').next()?;
        let hidden = self.locals.iter().any(|(local, _)| local == root);
        (!hidden).then(|| (slot, self.environment.variables()[slot].1.as_type()))
    }

    /// Whether a dotted name begins with a variable.
    fn is_variable(&self, name: &str) -> bool {
        name.split('.').next().is_some_and(|root| self.slot(root).is_some())
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str, optional: bool) -> Typed {
        if let Some(name) = expr.qualified_name() {
            if let Some((slot, found)) = self.dotted(&name) {
                self.notes[expr.id as usize] = Note::Slot(slot);
                return Ok(found);
            }
            if !self.is_variable(&name)
                && let Some(found) = self.type_name(expr, &name)
            {
                return Ok(found);
            }
        }
        let operand = self.check(operand)?;
        let found = self.field(expr.at, &operand, field)?;
        Ok(match found {
            already @ Type::Optional(_) if optional && matches!(operand, Type::Optional(_)) => already,
            found if optional => Type::optional(found),
            found => found,
        })
    }

    fn field(&self, at: u32, operand: &Type, field: &str) -> Typed {
        match operand {
            Type::Dyn | Type::Nothing => Ok(Type::Dyn),
            Type::Map(map) => Ok(map.1.clone()),
            Type::Optional(inner) => self.field(at, inner, field).map(Type::optional),
            Type::Object(object) => match object.fields.get(field) {
                Some(field) => Ok(field.declared.as_type()),
                None if self.environment.is_open(&object.name) => Ok(Type::Dyn),
                None => Err(self.error(at, format!("undefined field `{field}`"))),
            },
            other => Err(self.error(at, format!("type {other} has no field `{field}`"))),
        }
    }

    fn choice(&mut self, parts: &[Expr; 3]) -> Typed {
        let [condition, then, otherwise] = parts;
        self.expect(condition, &Type::Bool)?;
        let (a, b) = (self.check(then)?, self.check(otherwise)?);
        a.join(&b).ok_or_else(|| self.error(otherwise.at, format!("a choice is between values of one type, not of {a} and {b}")))
    }

    /// The type that goes with all that came before.
    fn joined(&mut self, before: &Type, expr: &Expr, optional: bool) -> Typed {
        let mut found = self.check(expr)?;
        if optional {
            found = match found {
                Type::Optional(inner) => Type::clone(&inner),
                dynamic if dynamic.is_dyn() => Type::Dyn,
                other => return Err(self.error(expr.at, format!("expected an optional value, found {other}"))),
            };
        }
        match before.join(&found) {
            Some(joined) => Ok(joined),
            None if self.mixed => Ok(Type::Dyn),
            None => Err(self.error(expr.at, format!("expected {before}, found {found}"))),
        }
    }

    fn list(&mut self, elements: &[Element]) -> Typed {
        let mut inner = Type::Nothing;
        for element in elements {
            inner = self.joined(&inner, &element.value, element.optional)?;
        }
        Ok(Type::list(inner))
    }

    fn map(&mut self, entries: &[Entry]) -> Typed {
        let (mut key, mut value) = (Type::Nothing, Type::Nothing);
        for entry in entries {
            key = self.joined(&key, &entry.key, false)?;
            if !matches!(key, Type::Dyn | Type::Nothing | Type::Bool | Type::Int | Type::Uint | Type::String) {
                return Err(self.error(entry.key.at, format!("{key} is no type of keys")));
            }
            value = self.joined(&value, &entry.value, entry.optional)?;
        }
        Ok(Type::map(key, value))
    }

    fn structure(&mut self, at: u32, name: &str, fields: &[FieldValue]) -> Typed {
        let Some(object) = self.environment.structure(name) else {
            return Err(self.error(at, format!("undeclared type `{name}`")));
        };
        let open = self.environment.is_open(name);
        for (place, field) in fields.iter().enumerate() {
            if fields[..place].iter().any(|before| before.name == field.name) {
                return Err(self.error(field.at, format!("field `{}` is set twice", field.name)));
            }
            let found = self.joined(&Type::Nothing, &field.value, field.optional)?;
            let wanted = match object.fields.get(&field.name) {
                Some(declared) => declared.declared.as_type(),
                None if open => Type::Dyn,
                None => return Err(self.error(field.at, format!("undefined field `{}`", field.name))),
            };
            if !found.fits(&wanted, &mut Bindings::default()) {
                return Err(self.error(field.at, format!("field `{}` is {wanted}, not {found}", field.name)));
            }
        }
        Ok(Type::Object(object))
    }

    fn call(&mut self, expr: &Expr, function: &str, target: Option<&Expr>, args: &[Expr]) -> Typed {
        if let Some(target) = target
            && let Some(namespace) = target.qualified_name().filter(|name| !self.is_variable(name))
        {
            let full = format!("{namespace}.{function}");
            if library::overloads(&full, false).next().is_some() && self.environment.has_function(&full) {
                return self.overloads(expr, &full, None, args, true);
            }
        }
        self.overloads(expr, function, target, args, false)
    }

    fn overloads(&mut self, expr: &Expr, function: &str, target: Option<&Expr>, args: &[Expr], qualified: bool) -> Typed {
        let outer = self.mixed;
        self.mixed |= function == "format";
        let mut types = Vec::with_capacity(args.len() + 1);
        for arg in target.into_iter().chain(args) {
            types.push(self.check(arg)?);
        }
        self.mixed = outer;
        let mut result: Option<Type> = None;
        let mut fitting = Vec::new();
        for overload in library::overloads(function, target.is_some()) {
            let mut bound = Bindings::default();
            let fits = overload.params.len() == types.len()
                && types.iter().zip(&overload.params).all(|(found, wanted)| found.fits(wanted, &mut bound));
            if fits {
                let found = overload.result.substitute(&bound);
                result = Some(match result {
                    Some(before) if before != found => Type::Dyn,
                    _ => found,
                });
                fitting.push(overload);
            }
        }
        let Some(result) = result else {
            let shown: Vec<String> = types.iter().map(Type::to_string).collect();
            let known = library::overloads(function, false).chain(library::overloads(function, true)).next().is_some();
            let why = if known { "no matching overload for" } else { "undeclared reference to" };
            return Err(self.error(expr.at, format!("{why} `{}` applied to ({})", shown_name(function), shown.join(", "))));
        };
        self.literals(function, args)?;
        if function == "format" {
            self.formatted(target, args)?;
        }
        self.notes[expr.id as usize] = Note::Call { overloads: fitting, qualified };
        Ok(result)
    }

    /// Texts that functions could not read are refused where they are written out.
    /// Whether a pattern fits what is to be formatted, where both are written out.
    fn formatted(&self, target: Option<&Expr>, args: &[Expr]) -> Result<(), Error> {
        let (Some(Expr { kind: Kind::Literal(Literal::String(pattern)), at, .. }), [Expr { kind: Kind::List(elements), .. }]) =
            (target, args)
        else {
            return Ok(());
        };
        let letters = text_format::clauses(pattern).map_err(|why| self.error(*at, why))?;
        if letters.len() != elements.len() {
            return Err(self.error(*at, format!("the format has {} clauses, for {} arguments", letters.len(), elements.len())));
        }
        for (letter, element) in letters.into_iter().zip(elements) {
            let found = &self.types[element.value.id as usize];
            if !text_format::may_format(letter, found) {
                return Err(self.error(element.value.at, format!("%{letter} does not format a {found}")));
            }
        }
        Ok(())
    }

    fn literals(&self, function: &str, args: &[Expr]) -> Result<(), Error> {
        let Some(Expr { kind: Kind::Literal(Literal::String(text)), at, .. }) = args.last() else { return Ok(()) };
        match function {
            "matches" | "find" => pattern::compile(text).map(|_| ()).map_err(|why| self.error(*at, why)),
            "duration" if time::parse_duration(text).is_none() => Err(self.error(*at, "the string is no duration")),
            "timestamp" if time::parse_timestamp(text).is_none() => Err(self.error(*at, "the string is no timestamp")),
            _ => Ok(()),
        }
    }

    fn fold(&mut self, fold: &Fold) -> Typed {
        let range = self.check(&fold.range)?;
        let (first, second) = match (&range, fold.second.is_some()) {
            (Type::List(element), false) => (Type::clone(element), Type::Dyn),
            (Type::List(element), true) => (Type::Int, Type::clone(element)),
            (Type::Map(map), _) => (map.0.clone(), map.1.clone()),
            (dynamic, _) if dynamic.is_dyn() => (Type::Dyn, Type::Dyn),
            (other, _) => return Err(self.error(fold.range.at, format!("a macro walks a list or a map, not {other}"))),
        };
        let key = match &range {
            Type::List(_) => Type::Int,
            Type::Map(map) => map.0.clone(),
            _ => Type::Dyn,
        };
        let element = first.clone();
        let before = self.locals.len();
        self.locals.push((fold.first.clone(), first));
        self.locals.extend(fold.second.clone().map(|name| (name, second)));
        if let Some(filter) = &fold.filter {
            self.expect(filter, &Type::Bool)?;
        }
        let found = match fold.kind {
            FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne => {
                self.expect(&fold.body, &Type::Bool)?;
                Type::Bool
            }
            FoldKind::Filter => {
                self.expect(&fold.body, &Type::Bool)?;
                Type::list(element)
            }
            FoldKind::List => Type::list(self.check(&fold.body)?),
            FoldKind::Sort => {
                let found = self.check(&fold.body)?;
                if matches!(range, Type::Map(_)) || !found.has_order() {
                    return Err(self.error(fold.body.at, format!("a list is sorted by what has an order, which {found} has not")));
                }
                Type::list(element)
            }
            FoldKind::Map => Type::map(key, self.check(&fold.body)?),
            FoldKind::Entries => match self.check(&fold.body)? {
                map @ Type::Map(_) => map,
                dynamic if dynamic.is_dyn() => Type::map(Type::Dyn, Type::Dyn),
                other => return Err(self.error(fold.body.at, format!("expected a map, found {other}"))),
            },
        };
        self.locals.truncate(before);
        Ok(found)
    }

    fn bind(&mut self, bind: &Bind) -> Typed {
        let value = self.check(&bind.value)?;
        let value = match (bind.kind, value) {
            (BindKind::Plain, value) => value,
            (_, Type::Optional(inner)) => Type::clone(&inner),
            (_, dynamic) if dynamic.is_dyn() => Type::Dyn,
            (_, other) => return Err(self.error(bind.value.at, format!("expected an optional value, found {other}"))),
        };
        self.locals.push((bind.name.clone(), value));
        let body = self.check(&bind.body)?;
        self.locals.pop();
        match (bind.kind, body) {
            (BindKind::Plain, body) => Ok(body),
            (BindKind::OptMap, body) => Ok(Type::optional(body)),
            (BindKind::OptFlatMap, body @ Type::Optional(_)) => Ok(body),
            (BindKind::OptFlatMap, body) if body.is_dyn() => Ok(Type::optional(Type::Dyn)),
            (BindKind::OptFlatMap, other) => Err(self.error(bind.body.at, format!("expected an optional value, found {other}"))),
        }
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

/// An operator as it is written.
fn shown_name(function: &str) -> &str {
    match function {
        "@in" => "in",
        "_[_]" | "_[?_]" => "[]",
        name => name.trim_matches('_'),
    }
}
