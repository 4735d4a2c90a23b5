//! The reading of expressions: a descent through sums, products, powers and what is whole.
//!
//! ```text
//! sum     = product { ("+" | "-") product }
//! product = signed { ("*" | "/") signed | power }      two side by side are multiplied
//! signed  = { "+" | "-" } power
//! power   = whole [ ("^" | "**") signed ]
//! whole   = number | name | function "(" sum ")" | "(" sum ")" | "`" any name "`"
//! ```
//!
//! A backquote within backquotes is written twice.
//!
//! ```text
//! `a``b`                                               the name a`b
//! ```

use std::f64::consts::{E, PI};
use std::iter::Peekable;
use std::str::CharIndices;

use super::{Expression, FUNCTIONS, Function, Operation};

/// The most parts of an expression, and the most parentheses within each other.
const MOST_PARTS: usize = 400;
const DEEPEST: usize = 50;

/// Reads an expression of these variables. A message of an error names the position in the text, in
/// characters counted from 1.
pub(in super::super) fn parse(text: &str, variables: &[String]) -> Result<Expression, String> {
    let characters = text.char_indices().peekable();
    let mut parser = Parser { text, characters, variables, parts: 0, depth: 0 };
    let expression = parser.sum()?;
    match parser.next_character() {
        None => Ok(expression),
        Some(_) => Err(parser.expected("the end or an operator")),
    }
}

/// Returns whether a name can be read without backquotes.
pub(in super::super) fn is_plain(name: &str) -> bool {
    let mut characters = name.trim_end_matches('\'').chars();
    characters.next().is_some_and(begins_name) && characters.all(continues_name)
}

fn begins_name(character: char) -> bool {
    character.is_alphabetic() || character == '_'
}

fn continues_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

struct Parser<'a> {
    text: &'a str,
    characters: Peekable<CharIndices<'a>>,
    variables: &'a [String],
    parts: usize,
    depth: usize,
}

type Parsed = Result<Expression, String>;

impl Parser<'_> {
    /// Returns the next character that is no space, without taking it.
    fn next_character(&mut self) -> Option<char> {
        while self.characters.next_if(|(_, character)| character.is_whitespace()).is_some() {}
        self.characters.peek().map(|(_, character)| *character)
    }

    /// Takes the next character that is no space if it is this one.
    fn take(&mut self, wanted: char) -> bool {
        let found = self.next_character() == Some(wanted);
        if found {
            self.characters.next();
        }
        found
    }

    /// Returns the index of the next character.
    fn place(&mut self) -> usize {
        self.characters.peek().map_or(self.text.len(), |(place, _)| *place)
    }

    fn error(&self, place: usize, message: impl std::fmt::Display) -> String {
        let number = self.text[..place].chars().count() + 1;
        format!("`{}`: {message} at character {number}", self.text)
    }

    fn expected(&mut self, what: &str) -> String {
        let found = match self.next_character() {
            Some(character) => format!("found `{character}`"),
            None => "it ends".to_owned(),
        };
        let place = self.place();
        self.error(place, format_args!("expected {what}, but {found}"))
    }

    /// Counts a part of the expression.
    fn count(&mut self) -> Result<(), String> {
        self.parts += 1;
        let place = self.place();
        if self.parts > MOST_PARTS {
            return Err(self.error(place, format_args!("more than {MOST_PARTS} parts")));
        }
        Ok(())
    }

    /// Reads something that is one level deeper.
    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        self.depth += 1;
        let place = self.place();
        if self.depth > DEEPEST {
            return Err(self.error(place, format_args!("nested more than {DEEPEST} deep")));
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn sum(&mut self) -> Parsed {
        let mut sum = self.product()?;
        loop {
            let operation = match self.next_character() {
                Some('+') => Operation::Add,
                Some('-' | '−') => Operation::Subtract,
                _ => return Ok(sum),
            };
            self.characters.next();
            sum = self.combine(operation, sum, Self::product)?;
        }
    }

    fn product(&mut self) -> Parsed {
        let mut product = self.signed()?;
        loop {
            product = match self.next_character() {
                Some('*') => {
                    self.characters.next();
                    self.combine(Operation::Multiply, product, Self::signed)?
                }
                Some('/') => {
                    self.characters.next();
                    self.combine(Operation::Divide, product, Self::signed)?
                }
                Some(c)
                    if c == '(' || c == '`' || c == '.' || begins_name(c) || c.is_ascii_digit() =>
                {
                    self.combine(Operation::Multiply, product, Self::power)?
                }
                _ => return Ok(product),
            };
        }
    }

    fn combine(
        &mut self,
        operation: Operation,
        left: Expression,
        read: fn(&mut Self) -> Parsed,
    ) -> Parsed {
        self.count()?;
        let place = self.place();
        let right = read(self)?;
        Ok(match (operation, &left, &right) {
            (_, Expression::Number(a), Expression::Number(b)) => {
                match operation.partials(*a, *b).value {
                    value if value.is_finite() => Expression::Number(value),
                    value => {
                        return Err(self.error(place, format_args!("these numbers make {value}")));
                    }
                }
            }
            (Operation::Power, _, Expression::Number(n)) => {
                Expression::Apply(Function::Power(*n), Box::new(left))
            }
            _ => Expression::Combine(operation, Box::new(left), Box::new(right)),
        })
    }

    fn signed(&mut self) -> Parsed {
        match self.next_character() {
            Some('+') => {
                self.characters.next();
                self.deeper(Self::signed)
            }
            Some('-' | '−') => {
                self.characters.next();
                self.count()?;
                Ok(match self.deeper(Self::signed)? {
                    Expression::Number(number) => Expression::Number(-number),
                    other => Expression::Apply(Function::Negative, Box::new(other)),
                })
            }
            _ => self.power(),
        }
    }

    fn power(&mut self) -> Parsed {
        let base = self.whole()?;
        let stars = self.next_character() == Some('*')
            && self.text[self.characters.clone().next().map_or(0, |(place, _)| place)..]
                .starts_with("**");
        if stars {
            self.characters.next();
        }
        if !stars && self.next_character() != Some('^') {
            return Ok(base);
        }
        self.characters.next();
        self.combine(Operation::Power, base, |parser| parser.deeper(Self::signed))
    }

    fn whole(&mut self) -> Parsed {
        self.count()?;
        match self.next_character() {
            Some('(') => self.in_parentheses(),
            Some('`') => {
                self.characters.next();
                let start = self.place();
                let mut name = String::new();
                loop {
                    match self.characters.next() {
                        Some((_, '`'))
                            if self.characters.next_if(|next| next.1 == '`').is_none() =>
                        {
                            return self.variable(start, &name);
                        }
                        Some((_, character)) => name.push(character),
                        None => {
                            return Err(self.error(start - 1, "a backquote without its partner"));
                        }
                    }
                }
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if begins_name(c) => self.name(),
            _ => Err(self.expected("a number, a name or `(`")),
        }
    }

    fn in_parentheses(&mut self) -> Parsed {
        self.characters.next();
        let inner = self.deeper(Self::sum)?;
        if self.take(')') { Ok(inner) } else { Err(self.expected("`)`")) }
    }

    fn number(&mut self) -> Parsed {
        let start = self.place();
        let rest = &self.text[start..];
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let mut end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        // An `e` that no digits follow begins a name, as in `2exp(x)`.
        if let Some(power) = rest[end..].strip_prefix(['e', 'E']) {
            let sign = usize::from(power.starts_with(['+', '-']));
            let count = digits(&power[sign..]);
            end += if count > 0 { 1 + sign + count } else { 0 };
        }
        while self.characters.next_if(|(place, _)| *place < start + end).is_some() {}
        let number = &self.text[start..start + end];
        match number.parse() {
            Ok(value) if f64::is_finite(value) => Ok(Expression::Number(value)),
            _ => Err(self.error(start, format_args!("`{number}` is not a number"))),
        }
    }

    fn name(&mut self) -> Parsed {
        let start = self.place();
        while self.characters.next_if(|(_, character)| continues_name(*character)).is_some() {}
        while self.characters.next_if(|(_, character)| *character == '\'').is_some() {}
        let name = &self.text[start..self.place()];
        let name_of_log = if name == "ln" { "log" } else { name };
        let function = FUNCTIONS.iter().find(|(known, _)| *known == name_of_log);
        if let (Some((_, function)), Some('(')) = (function, self.next_character()) {
            let argument = self.in_parentheses()?;
            return Ok(Expression::Apply(*function, Box::new(argument)));
        }
        match name {
            _ if self.variables.iter().any(|known| known == name) => self.variable(start, name),
            "pi" => Ok(Expression::Number(PI)),
            "e" => Ok(Expression::Number(E)),
            _ if function.is_some() => Err(self.expected(&format!("`(` after `{name}`"))),
            _ => self.variable(start, name),
        }
    }

    fn variable(&self, start: usize, name: &str) -> Parsed {
        if let Some(place) = self.variables.iter().position(|known| known == name) {
            return Ok(Expression::Variable(place));
        }
        let functions: Vec<&str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
        let variables = self.variables.join(", ");
        let functions = functions.join(", ");
        let message = format_args!(
            "there is no `{name}` (there are {variables}, and the functions {functions})"
        );
        Err(self.error(start, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_position() {
        let variables = ["x", "exp"].map(String::from);
        let message = |text: &str| parse(text, &variables).unwrap_err();
        for (text, expected) in [
            ("", "``: expected a number, a name or `(`, but it ends at character 1"),
            ("x + ", "`x + `: expected a number, a name or `(`, but it ends at character 5"),
            ("é", "`é`: there is no `é` (there are x, exp, and the functions "),
            ("x*(1 + x", "`x*(1 + x`: expected `)`, but it ends at character 9"),
            ("x)", "`x)`: expected the end or an operator, but found `)` at character 2"),
            ("sin x", "`sin x`: expected `(` after `sin`, but found `x` at character 5"),
            ("x + 1.2.3", "`x + 1.2.3`: `1.2.3` is not a number at character 5"),
            ("1e999", "`1e999`: `1e999` is not a number at character 1"),
            ("`x", "``x`: a backquote without its partner at character 1"),
            ("2*1e308*10", "`2*1e308*10`: these numbers make inf at character 3"),
            ("(-8)^(1/3)", "`(-8)^(1/3)`: these numbers make NaN at character 6"),
            ("x ? x", "`x ? x`: expected the end or an operator, but found `?` at character 3"),
        ] {
            assert!(message(text).starts_with(expected), "{text}: {}", message(text));
        }
        assert!(message(&"(".repeat(1000)).ends_with("nested more than 50 deep at character 52"));
        assert!(message(&"-".repeat(1000)).contains("nested more than 50 deep"));
        assert!(message(&"x*".repeat(1000)).contains("more than 400 parts"));
        assert!(message(&"x^".repeat(1000)).contains("nested more than 50 deep"));
    }

    #[test]
    fn a_function_is_called_and_a_variable_of_its_name_is_not() {
        let variables = ["x", "exp"].map(String::from);
        let call = Expression::Apply(Function::Exp, Box::new(Expression::Variable(0)));
        assert_eq!(parse("exp(x)", &variables).unwrap(), call);
        assert_eq!(parse("exp", &variables).unwrap(), Expression::Variable(1));
    }
}
