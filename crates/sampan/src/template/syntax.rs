//! The parsed text, with what Go has and the crate has not: methods, and maps whose keys are anybody's.

use super::functions;
use super::value::METHOD;
use gotmpl::parse::{CommandNode, Expr, ListNode, Node, Parser, PipeNode, Pos, SmolStr};
use gotmpl::{FuncMap, MissingKey, Template, TemplateError, Value};
use spec::unit::Invalid;

/// The name of the main part; no `{{define}}` can have it.
const MAIN: &str = "";

/// Stands behind the text, as no argument can. The parser takes an end without a block for the end of all, and the end of
/// all for that of a block.
const LAST: &str = "\0";

/// A map in whose place Go has a `map[string]string`: a key that is not there is no mistake.
const FREE: &str = "Labels";

pub struct Tree {
    parts: Vec<(String, ListNode)>,
    /// The fields that are asked for, each with those that lead to it.
    paths: Vec<Vec<String>>,
}

impl Tree {
    /// # Errors
    /// What is wrong with the text, and functions that there are not.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let wrong = |error: TemplateError| Invalid::new(words(&error)).hint("such as {{.ID}} or {{json .}}");
        let parse = |text: &str| Parser::new(text, "{{", "}}").and_then(Parser::parse).map_err(wrong);
        parse(text)?;
        let (mut main, defined) = parse(&format!("{text}{LAST}"))?;
        if !take_mark(&mut main) {
            return Err(Invalid::new("not every block has its {{end}}").hint("such as {{if .ID}}{{.ID}}{{end}}"));
        }
        let parts = defined.into_iter().map(|part| (part.name.to_string(), part.body));
        let mut parts: Vec<_> = std::iter::once((MAIN.to_owned(), main)).chain(parts).collect();
        let mut walk = Walk::default();
        parts.iter_mut().for_each(|(_, part)| walk.list(part));
        match walk.unknown {
            Some(name) => Err(Invalid::new(format!("there is no function {name}"))
                .hint(format!("fields start with a dot; functions are {}", functions::names()))),
            None => Ok(Self { parts, paths: walk.paths }),
        }
    }

    /// To be printed as often as there are rows.
    pub fn with(&self, functions: &FuncMap) -> Ready {
        let template = Template::new(MAIN).funcs(functions.clone()).missing_key(MissingKey::Error);
        let add = |template: Template, (name, part): &(String, ListNode)| template.add_parse_tree(name, part.clone());
        Ready(self.parts.iter().fold(template, add))
    }

    /// What there is in the place of the key that is not.
    pub fn beside(&self, key: &str, data: &Value) -> Vec<String> {
        let Some(path) = self.paths.iter().find(|path| path.iter().any(|name| name == key)) else { return vec![] };
        let mut before = path.iter().take_while(|name| *name != key);
        match before.try_fold(data, |value, name| value.field(name)) {
            Some(Value::Map(fields)) => fields.keys().map(|name| name.to_string()).collect(),
            _ => vec![],
        }
    }
}

/// A tree and its functions.
pub struct Ready(Template);

impl Ready {
    /// # Errors
    /// A field that is not there; what a function refuses.
    pub fn print(&self, data: &Value) -> Result<String, TemplateError> {
        self.0.execute_template_to_string(MAIN, data)
    }
}

/// Whether the main part goes to the end.
fn take_mark(main: &mut ListNode) -> bool {
    let Some(Node::Text(last)) = main.nodes.last_mut() else { return false };
    let text = last.text.strip_suffix(LAST).map(Into::into);
    text.map(|text| last.text = text).is_some()
}

/// An error without the crate's frame around it.
pub fn words(error: &TemplateError) -> String {
    match error {
        TemplateError::Exec(text) => text.clone(),
        TemplateError::Parse { message, col, .. } | TemplateError::Lex { message, col, .. } => {
            format!("{message} (at character {col})")
        }
        error => error.to_string(),
    }
}

#[derive(Default)]
struct Walk {
    unknown: Option<String>,
    paths: Vec<Vec<String>>,
}

impl Walk {
    fn list(&mut self, list: &mut ListNode) {
        list.nodes.iter_mut().for_each(|node| self.node(node));
    }

    fn node(&mut self, node: &mut Node) {
        match node {
            Node::List(list) => self.list(list),
            // A shell's word has them as two characters each.
            Node::Text(text) => text.text = text.text.replace("\\t", "\t").replace("\\n", "\n").into(),
            Node::Action(action) => self.pipe(&mut action.pipe),
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                self.pipe(&mut branch.pipe);
                self.list(&mut branch.body);
                branch.else_body.iter_mut().for_each(|list| self.list(list));
            }
            Node::Template(part) => part.pipe.iter_mut().for_each(|pipe| self.pipe(pipe)),
            Node::Define(part) => self.list(&mut part.body),
            Node::Break(_) | Node::Continue(_) => {}
        }
    }

    fn pipe(&mut self, pipe: &mut PipeNode) {
        for (at, command) in pipe.commands.iter_mut().enumerate() {
            let takes = at > 0 || command.args.len() > 1;
            command.args.iter_mut().for_each(|expr| self.expr(expr));
            // The crate calls values by a function of that name only.
            if let Some(first) = command.args.first()
                && is_method(first, takes)
            {
                command.args.insert(0, Expr::Identifier(command.pos, "call".into()));
            }
        }
    }

    fn expr(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Identifier(_, name) if !functions::is_known(name) && self.unknown.is_none() => {
                self.unknown = Some(name.to_string());
            }
            Expr::Field(pos, fields) => {
                self.paths.push(fields.iter().map(ToString::to_string).collect());
                if let Some(key) = free(fields) {
                    *expr = look_up(*pos, Expr::Field(*pos, fields.clone()), &key);
                }
            }
            Expr::Variable(pos, name, fields) => {
                if name.as_str() == "$" {
                    self.paths.push(fields.iter().map(ToString::to_string).collect());
                }
                if let Some(key) = free(fields) {
                    *expr = look_up(*pos, Expr::Variable(*pos, name.clone(), fields.clone()), &key);
                }
            }
            Expr::Pipe(_, pipe) => self.pipe(pipe),
            Expr::Chain(_, inner, _) => self.expr(inner),
            _ => {}
        }
    }
}

/// Whether this is called: nothing but a method takes arguments, and the one that there is always does.
fn is_method(first: &Expr, takes: bool) -> bool {
    match first {
        Expr::Field(_, fields) | Expr::Variable(_, _, fields) | Expr::Chain(_, _, fields) => {
            let named = fields.last().is_some_and(|name| name == METHOD);
            named || takes && !matches!(first, Expr::Chain(_, inner, _) if matches!(**inner, Expr::Identifier(..)))
        }
        _ => false,
    }
}

/// The last field, taken away, if it is a key of a free map.
fn free(fields: &mut Vec<SmolStr>) -> Option<SmolStr> {
    let [.., map, _] = fields.as_slice() else { return None };
    if map == FREE { fields.pop() } else { None }
}

/// `(index MAP "KEY")`
fn look_up(pos: Pos, map: Expr, key: &SmolStr) -> Expr {
    let args = vec![Expr::Identifier(pos, "index".into()), map, Expr::String(pos, key.as_str().into())];
    Expr::Pipe(pos, PipeNode { pos, decl: vec![], commands: vec![CommandNode { pos, args }], is_assign: false })
}
