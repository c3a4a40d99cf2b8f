//! From text to tree: a descent over the grammar of the CEL specification, bounded in depth, that knows the macros.
//!
//! It is our own because the `cel` crate's parser overflows the stack on nested input, which ends the process.

use super::Error;
use super::ast::{Bind, BindKind, Element, Entry, Expr, FieldValue, Fold, FoldKind, Id, Kind, Literal, MOST_HEIGHT};
use super::lexer::{Lexer, Token};

/// Characters of an expression, at most, as upstream has it.
const MOST_CHARACTERS: usize = 100_000;

/// Words that the specification keeps for languages that CEL is embedded into. Fields may be called so.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Binary operators from the loosest to the tightest, with the names under which the library has them.
const OPERATORS: [&[(&str, &str)]; 3] = [
    &[("==", "_==_"), ("!=", "_!=_"), ("<=", "_<=_"), (">=", "_>=_"), ("<", "_<_"), (">", "_>_"), ("in", "@in")],
    &[("+", "_+_"), ("-", "_-_")],
    &[("*", "_*_"), ("/", "_/_"), ("%", "_%_")],
];

/// A tree, and how many nodes it has.
pub(super) fn parse(source: &str, bind: bool) -> Result<(Expr, Id), Error> {
    if source.len() > MOST_CHARACTERS && source.chars().count() > MOST_CHARACTERS {
        return Err(Error::Syntax(format!("an expression has at most {MOST_CHARACTERS} characters")));
    }
    let mut lexer = Lexer::new(source);
    let (token, at) = lexer.next()?;
    let mut parser = Parser { source, lexer, token, at, depth: 0, nodes: 0, bind };
    let expr = parser.expr()?;
    match parser.token {
        Token::End => Ok((expr, parser.nodes)),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser<'s> {
    source: &'s str,
    lexer: Lexer<'s>,
    /// The word that comes next, and where it begins.
    token: Token,
    at: u32,
    depth: u16,
    nodes: Id,
    /// Whether `cel.bind` is a macro.
    bind: bool,
}

type Parsed<T = Expr> = Result<T, Error>;

impl Parser<'_> {
    fn advance(&mut self) -> Parsed<Token> {
        let (token, at) = self.lexer.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn take(&mut self, mark: &'static str) -> Parsed<bool> {
        let found = self.token == Token::Mark(mark);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, mark: &'static str) -> Parsed<()> {
        if self.take(mark)? { Ok(()) } else { Err(self.unexpected(&format!("`{mark}`"))) }
    }

    fn name(&mut self) -> Parsed<String> {
        match &self.token {
            Token::Name(_) => match self.advance()? {
                Token::Name(name) => Ok(name),
                _ => Err(self.unexpected("a name")),
            },
            _ => Err(self.unexpected("a name")),
        }
    }

    fn error(&self, at: u32, why: impl Into<String>) -> Error {
        Error::syntax(self.source, at, why)
    }

    fn unexpected(&self, wanted: &str) -> Error {
        let found = match &self.token {
            Token::End => "the end".to_owned(),
            Token::Name(name) => format!("`{name}`"),
            Token::Mark(mark) => format!("`{mark}`"),
            Token::Int(_) | Token::Uint(_) | Token::Double(_) => "a number".to_owned(),
            Token::String(_) | Token::Bytes(_) => "a string".to_owned(),
        };
        self.error(self.at, format!("expected {wanted}, found {found}"))
    }

    fn node(&mut self, at: u32, kind: Kind) -> Parsed {
        let mut expr = Expr { id: self.nodes, at, height: 0, kind };
        let mut height = 0;
        expr.children(|child| height = height.max(child.height));
        if height >= MOST_HEIGHT {
            return Err(self.error(at, format!("an expression is nested at most {MOST_HEIGHT} deep")));
        }
        expr.height = height + 1;
        self.nodes += 1;
        Ok(expr)
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MOST_HEIGHT {
            return Err(self.error(self.at, format!("an expression is nested at most {MOST_HEIGHT} deep")));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn expr(&mut self) -> Parsed {
        self.nested(|parser| {
            let at = parser.at;
            let condition = parser.any()?;
            if !parser.take("?")? {
                return Ok(condition);
            }
            let then = parser.any()?;
            parser.expect(":")?;
            let otherwise = parser.expr()?;
            parser.node(at, Kind::Choice(Box::new([condition, then, otherwise])))
        })
    }

    fn any(&mut self) -> Parsed {
        let at = self.at;
        let mut terms = vec![self.all()?];
        while self.take("||")? {
            terms.push(self.all()?);
        }
        self.logic(at, terms, Kind::Any)
    }

    fn all(&mut self) -> Parsed {
        let at = self.at;
        let mut terms = vec![self.binary(0)?];
        while self.take("&&")? {
            terms.push(self.binary(0)?);
        }
        self.logic(at, terms, Kind::All)
    }

    fn logic(&mut self, at: u32, mut terms: Vec<Expr>, kind: fn(Vec<Expr>) -> Kind) -> Parsed {
        match (terms.len(), terms.pop()) {
            (1, Some(only)) => Ok(only),
            (_, last) => {
                terms.extend(last);
                self.node(at, kind(terms))
            }
        }
    }

    fn binary(&mut self, level: usize) -> Parsed {
        let Some(operators) = OPERATORS.get(level) else { return self.unary() };
        let at = self.at;
        let mut left = self.binary(level + 1)?;
        loop {
            let Token::Mark(mark) = self.token else { return Ok(left) };
            let Some((_, function)) = operators.iter().find(|(text, _)| *text == mark) else { return Ok(left) };
            self.advance()?;
            let right = self.binary(level + 1)?;
            left = self.call(at, function, None, vec![left, right])?;
        }
    }

    fn call(&mut self, at: u32, function: &str, target: Option<Expr>, args: Vec<Expr>) -> Parsed {
        self.node(at, Kind::Call { function: function.to_owned(), target: target.map(Box::new), args })
    }

    /// Signs come in pairs that cancel each other, as upstream reads them.
    fn unary(&mut self) -> Parsed {
        let at = self.at;
        let sign = match self.token {
            Token::Mark(sign @ ("!" | "-")) => sign,
            _ => return self.member(),
        };
        let mut signs = 0;
        while self.take(sign)? {
            signs += 1;
        }
        if sign == "-" {
            let literal = match self.token {
                Token::Int(magnitude) => Some(0i64.checked_sub_unsigned(magnitude).map(Literal::Int)),
                Token::Double(value) => Some(Some(Literal::Double(-value))),
                _ => None,
            };
            if let Some(literal) = literal {
                let literal = literal.ok_or_else(|| self.error(at, "the number does not fit into 64 bits"))?;
                self.advance()?;
                let literal = self.node(at, Kind::Literal(literal))?;
                let operand = self.members(at, literal)?;
                return if signs % 2 == 1 { Ok(operand) } else { self.call(at, "-_", None, vec![operand]) };
            }
        }
        let operand = self.member()?;
        match (signs % 2, sign) {
            (0, _) => Ok(operand),
            (_, "!") => self.call(at, "!_", None, vec![operand]),
            _ => self.call(at, "-_", None, vec![operand]),
        }
    }

    fn member(&mut self) -> Parsed {
        let at = self.at;
        let primary = self.primary()?;
        self.members(at, primary)
    }

    fn members(&mut self, at: u32, mut operand: Expr) -> Parsed {
        loop {
            if self.take(".")? {
                let optional = self.take("?")?;
                let field = self.name()?;
                if !optional && self.take("(")? {
                    let args = self.arguments(")")?;
                    operand = self.member_call(at, operand, field, args)?;
                } else {
                    operand = self.node(at, Kind::Select { operand: Box::new(operand), field, optional })?;
                }
            } else if self.take("[")? {
                let function = if self.take("?")? { "_[?_]" } else { "_[_]" };
                let index = self.expr()?;
                self.expect("]")?;
                operand = self.call(at, function, None, vec![operand, index])?;
            } else if self.token == Token::Mark("{") {
                let Some(name) = operand.qualified_name() else { return Err(self.unexpected("an operator")) };
                self.advance()?;
                let fields = self.fields()?;
                operand = self.node(at, Kind::Struct { name, fields })?;
            } else {
                return Ok(operand);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at;
        let literal = match self.advance()? {
            Token::Mark("(") => {
                let expr = self.expr()?;
                self.expect(")")?;
                return Ok(expr);
            }
            Token::Mark("[") => {
                let elements = self.elements()?;
                return self.node(at, Kind::List(elements));
            }
            Token::Mark("{") => {
                let entries = self.entries()?;
                return self.node(at, Kind::Map(entries));
            }
            Token::Mark(".") => {
                let name = self.name()?;
                return self.named(at, name);
            }
            Token::Name(name) => return self.named(at, name),
            Token::Mark("true") => Literal::Bool(true),
            Token::Mark("false") => Literal::Bool(false),
            Token::Mark("null") => Literal::Null,
            Token::Int(value) => Literal::Int(i64::try_from(value).map_err(|_| self.error(at, "the number does not fit into 64 bits"))?),
            Token::Uint(value) => Literal::Uint(value),
            Token::Double(value) => Literal::Double(value),
            Token::String(value) => Literal::String(value),
            Token::Bytes(value) => Literal::Bytes(value),
            token => {
                self.at = at;
                self.token = token;
                return Err(self.unexpected("a value"));
            }
        };
        self.node(at, Kind::Literal(literal))
    }

    fn named(&mut self, at: u32, name: String) -> Parsed {
        if RESERVED.contains(&name.as_str()) {
            return Err(self.error(at, format!("`{name}` is a reserved word")));
        }
        if !self.take("(")? {
            return self.node(at, Kind::Ident(name));
        }
        let mut args = self.arguments(")")?;
        if name == "has" && args.len() == 1 {
            return match args.pop().map(|arg| arg.kind) {
                Some(Kind::Select { operand, field, optional: false }) => self.node(at, Kind::Has { operand, field }),
                _ => Err(self.error(at, "has() takes a field, such as has(a.b)")),
            };
        }
        self.call(at, &name, None, args)
    }

    fn arguments(&mut self, end: &'static str) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        if self.take(end)? {
            return Ok(args);
        }
        loop {
            args.push(self.expr()?);
            if !self.take(",")? {
                self.expect(end)?;
                return Ok(args);
            }
        }
    }

    /// The elements of a list, and its end. A comma may follow the last one.
    fn elements(&mut self) -> Parsed<Vec<Element>> {
        let mut elements = Vec::new();
        while !self.take("]")? {
            let optional = self.take("?")?;
            elements.push(Element { value: self.expr()?, optional });
            if !self.take(",")? {
                self.expect("]")?;
                break;
            }
        }
        Ok(elements)
    }

    fn entries(&mut self) -> Parsed<Vec<Entry>> {
        let mut entries = Vec::new();
        while !self.take("}")? {
            let optional = self.take("?")?;
            let key = self.expr()?;
            self.expect(":")?;
            entries.push(Entry { key, value: self.expr()?, optional });
            if !self.take(",")? {
                self.expect("}")?;
                break;
            }
        }
        Ok(entries)
    }

    fn fields(&mut self) -> Parsed<Vec<FieldValue>> {
        let mut fields = Vec::new();
        while !self.take("}")? {
            let optional = self.take("?")?;
            let at = self.at;
            let name = self.name()?;
            self.expect(":")?;
            fields.push(FieldValue { at, name, value: self.expr()?, optional });
            if !self.take(",")? {
                self.expect("}")?;
                break;
            }
        }
        Ok(fields)
    }

    /// `target.function(args)`, which may be a macro.
    fn member_call(&mut self, at: u32, target: Expr, function: String, mut args: Vec<Expr>) -> Parsed {
        let is_cel = matches!(&target.kind, Kind::Ident(name) if name == "cel");
        let bind = match (function.as_str(), args.len()) {
            ("bind", 3) if self.bind && is_cel => Some(BindKind::Plain),
            ("optMap", 2) => Some(BindKind::OptMap),
            ("optFlatMap", 2) => Some(BindKind::OptFlatMap),
            _ => None,
        };
        if let Some(kind) = bind {
            let name = self.variable(&args[0])?;
            let (Some(body), value) = (args.pop(), args.pop()) else { return Err(self.unexpected("three arguments")) };
            let value = if kind == BindKind::Plain { value.unwrap_or(target) } else { target };
            return self.node(at, Kind::Bind(Box::new(Bind { name, value, body, kind })));
        }
        let (kind, names) = match (function.as_str(), args.len()) {
            ("all", 2) => (FoldKind::All, 1),
            ("exists", 2) => (FoldKind::Exists, 1),
            ("exists_one" | "existsOne", 2) => (FoldKind::ExistsOne, 1),
            ("map", 2 | 3) => (FoldKind::List, 1),
            ("filter", 2) => (FoldKind::Filter, 1),
            ("all", 3) => (FoldKind::All, 2),
            ("exists", 3) => (FoldKind::Exists, 2),
            ("exists_one" | "existsOne", 3) => (FoldKind::ExistsOne, 2),
            ("transformList", 3 | 4) => (FoldKind::List, 2),
            ("transformMap", 3 | 4) => (FoldKind::Map, 2),
            ("transformMapEntry", 3 | 4) => (FoldKind::Entries, 2),
            _ => return self.call(at, &function, Some(target), args),
        };
        let first = self.variable(&args[0])?;
        let second = if names == 2 { Some(self.variable(&args[1])?) } else { None };
        if second.as_ref() == Some(&first) {
            return Err(self.error(args[1].at, format!("`{first}` is named twice")));
        }
        let Some(body) = args.pop() else { return Err(self.unexpected("an argument")) };
        let filter = if args.len() > names { args.pop() } else { None };
        self.node(at, Kind::Fold(Box::new(Fold { kind, range: target, first, second, filter, body })))
    }

    /// The variable that a macro's argument names.
    fn variable(&self, arg: &Expr) -> Parsed<String> {
        match &arg.kind {
            Kind::Ident(name) => Ok(name.clone()),
            _ => Err(self.error(arg.at, "the argument must be a simple name")),
        }
    }
}
