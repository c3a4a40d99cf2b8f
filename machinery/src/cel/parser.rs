//! From text to tree: a descent over the grammar of the CEL specification, bounded in depth, that knows the macros.
//!
//! It is our own because the `cel` crate's parser overflows the stack on nested input, which ends the process.

use super::Error;
use super::ast::{Bind, BindKind, Element, Entry, Expr, FieldValue, Fold, FoldKind, Id, Kind, Literal, MOST_HEIGHT};
use super::lexer::{Lexer, Token};

/// Characters of an expression, at most, as upstream has it.
const MOST_CHARACTERS: usize = 100_000;

/// Words that the specification keeps for languages that CEL is embedded into. Fields may be called so.
pub(super) const RESERVED: [&str; 17] = [
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

/// Binary operators with how tightly they bind, and the names under which the library has them.
const OPERATORS: [(&str, u8, &str); 14] = [
    ("||", 0, "||"),
    ("&&", 1, "&&"),
    ("==", 2, "_==_"),
    ("!=", 2, "_!=_"),
    ("<=", 2, "_<=_"),
    (">=", 2, "_>=_"),
    ("<", 2, "_<_"),
    (">", 2, "_>_"),
    ("in", 2, "@in"),
    ("+", 3, "_+_"),
    ("-", 3, "_-_"),
    ("*", 4, "_*_"),
    ("/", 4, "_/_"),
    ("%", 4, "_%_"),
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
            return Err(self.too_deep(at));
        }
        expr.height = height + 1;
        self.nodes += 1;
        Ok(expr)
    }

    fn too_deep(&self, at: u32) -> Error {
        self.error(at, format!("an expression is nested at most {MOST_HEIGHT} deep"))
    }

    /// Where expressions nest in each other, each level passes through here.
    fn expr(&mut self) -> Parsed {
        if self.depth >= MOST_HEIGHT {
            return Err(self.too_deep(self.at));
        }
        self.depth += 1;
        let at = self.at;
        let mut expr = self.operators(0)?;
        if self.take("?")? {
            expr = self.choice(at, expr)?;
        }
        self.depth -= 1;
        Ok(expr)
    }

    fn choice(&mut self, at: u32, condition: Expr) -> Parsed {
        let then = self.operators(0)?;
        self.expect(":")?;
        let otherwise = self.expr()?;
        self.node(at, Kind::Choice(Box::new([condition, then, otherwise])))
    }

    /// Operands and the operators between them that bind at least as tightly as `least`. One function for all of them keeps
    /// what nesting costs of the stack low.
    fn operators(&mut self, least: u8) -> Parsed {
        let at = self.at;
        let mut left = self.unary()?;
        while let Token::Mark(mark) = self.token {
            let Some((_, binding, function)) = OPERATORS.iter().find(|(text, binding, _)| *text == mark && *binding >= least) else {
                break;
            };
            self.advance()?;
            let right = self.operators(binding + 1)?;
            left = self.combine(at, function, left, right)?;
        }
        Ok(left)
    }

    /// An operator's node. Chains of `&&` and of `||` are one node, however long.
    fn combine(&mut self, at: u32, function: &str, left: Expr, right: Expr) -> Parsed {
        let right_height = right.height;
        let kind = match (function, left.kind) {
            ("||", Kind::Any(terms)) => Kind::Any(with(terms, right)),
            ("&&", Kind::All(terms)) => Kind::All(with(terms, right)),
            ("||", kind) => return self.node(at, Kind::Any(vec![Expr { kind, ..left }, right])),
            ("&&", kind) => return self.node(at, Kind::All(vec![Expr { kind, ..left }, right])),
            (_, kind) => return self.call(at, function, None, vec![Expr { kind, ..left }, right]),
        };
        let height = left.height.max(right_height + 1);
        if height > MOST_HEIGHT {
            return Err(self.too_deep(at));
        }
        // The node grows: looking at all its terms again for each would make long chains dear.
        Ok(Expr { kind, height, ..left })
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
        if sign == "-"
            && let Some(literal) = self.negative(at)?
        {
            let operand = self.members(at, literal)?;
            return if signs % 2 == 1 { Ok(operand) } else { self.call(at, "-_", None, vec![operand]) };
        }
        let operand = self.member()?;
        match (signs % 2, sign) {
            (0, _) => Ok(operand),
            (_, "!") => self.call(at, "!_", None, vec![operand]),
            _ => self.call(at, "-_", None, vec![operand]),
        }
    }

    /// The number that comes next, negated: the least one has no positive counterpart.
    fn negative(&mut self, at: u32) -> Parsed<Option<Expr>> {
        let literal = match self.token {
            Token::Int(magnitude) => 0i64.checked_sub_unsigned(magnitude).map(Literal::Int),
            Token::Double(value) => Some(Literal::Double(-value)),
            _ => return Ok(None),
        };
        let literal = literal.ok_or_else(|| self.error(at, "the number does not fit into 64 bits"))?;
        self.advance()?;
        self.node(at, Kind::Literal(literal)).map(Some)
    }

    fn member(&mut self) -> Parsed {
        let at = self.at;
        let primary = self.primary()?;
        self.members(at, primary)
    }

    fn members(&mut self, at: u32, mut operand: Expr) -> Parsed {
        loop {
            operand = match self.token {
                Token::Mark(".") => self.selection(at, operand)?,
                Token::Mark("[") => self.subscript(at, operand)?,
                Token::Mark("{") => self.structure(at, &operand)?,
                _ => return Ok(operand),
            };
        }
    }

    fn selection(&mut self, at: u32, operand: Expr) -> Parsed {
        self.expect(".")?;
        let optional = self.take("?")?;
        let field = self.name()?;
        if !optional && self.take("(")? {
            let args = self.arguments(")")?;
            return self.member_call(at, operand, field, args);
        }
        self.node(at, Kind::Select { operand: Box::new(operand), field, optional })
    }

    fn subscript(&mut self, at: u32, operand: Expr) -> Parsed {
        self.expect("[")?;
        let function = if self.take("?")? { "_[?_]" } else { "_[_]" };
        let index = self.expr()?;
        self.expect("]")?;
        self.call(at, function, None, vec![operand, index])
    }

    fn structure(&mut self, at: u32, operand: &Expr) -> Parsed {
        let Some(name) = operand.qualified_name() else { return Err(self.unexpected("an operator")) };
        self.expect("{")?;
        let fields = self.fields()?;
        self.node(at, Kind::Struct { name, fields })
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at;
        match self.advance()? {
            Token::Mark("(") => self.group(),
            Token::Mark("[") => {
                let elements = self.elements()?;
                self.node(at, Kind::List(elements))
            }
            Token::Mark("{") => {
                let entries = self.entries()?;
                self.node(at, Kind::Map(entries))
            }
            Token::Mark(".") => {
                let name = self.name()?;
                self.named(at, name)
            }
            Token::Name(name) => self.named(at, name),
            token => self.literal(at, token),
        }
    }

    fn group(&mut self) -> Parsed {
        let expr = self.expr()?;
        self.expect(")")?;
        Ok(expr)
    }

    fn literal(&mut self, at: u32, token: Token) -> Parsed {
        let literal = match token {
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
            ("exists_one", 2) => (FoldKind::ExistsOne, 1),
            ("map", 2 | 3) => (FoldKind::List, 1),
            ("filter", 2) => (FoldKind::Filter, 1),
            ("sortBy", 2) => (FoldKind::Sort, 1),
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

fn with(mut terms: Vec<Expr>, last: Expr) -> Vec<Expr> {
    terms.push(last);
    terms
}
