//! Expressions of variables, such as `exp(-x)/(1 + y^2)`, as users write candidate terms: read,
//! written, taken apart into factors, and differentiated exactly.

mod evaluation;
mod parser;

pub(super) use evaluation::Compiled;
pub(super) use parser::{is_plain, parse};

/// A function of one argument. Powers have numbers as exponents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Function {
    Negative,
    Power(f64),
    Abs,
    Atan,
    Cos,
    Cosh,
    Exp,
    Log,
    Sin,
    Sinh,
    Sqrt,
    Tan,
    Tanh,
}

/// The functions by their names in expressions, which Python and SymPy know too.
const FUNCTIONS: [(&str, Function); 11] = [
    ("abs", Function::Abs),
    ("atan", Function::Atan),
    ("cos", Function::Cos),
    ("cosh", Function::Cosh),
    ("exp", Function::Exp),
    ("log", Function::Log),
    ("sin", Function::Sin),
    ("sinh", Function::Sinh),
    ("sqrt", Function::Sqrt),
    ("tan", Function::Tan),
    ("tanh", Function::Tanh),
];

/// Returns whether a function has this name.
pub(super) fn is_function(name: &str) -> bool {
    FUNCTIONS.iter().any(|(known, _)| *known == name)
}

impl Function {
    /// Returns the name of a function that has one.
    fn name(self) -> &'static str {
        FUNCTIONS.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

/// A function of two arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

/// An expression; variables are numbers of names in a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Number(f64),
    Variable(usize),
    Apply(Function, Box<Expression>),
    Combine(Operation, Box<Expression>, Box<Expression>),
}

/// How tightly an expression binds, from the sum to what is whole by itself.
const SUM: u8 = 1;
const PRODUCT: u8 = 2;
const POWER: u8 = 3;
const WHOLE: u8 = 4;
/// The largest power that is written out as so many equal factors.
const MOST_FACTORS: f64 = 20.0;

impl Expression {
    /// Reads one factor of a term, as equations name it: the bare name of a variable, whatever its
    /// characters, a function of one, or an expression.
    ///
    /// # Errors
    /// The message of [`parse`].
    pub fn of_factor(factor: &str, variables: &[String]) -> Result<Self, String> {
        let variable =
            |name: &str| variables.iter().position(|known| known == name).map(Expression::Variable);
        let applied = || {
            let (name, argument) = factor.strip_suffix(')')?.split_once('(')?;
            let (_, function) = FUNCTIONS.iter().find(|(known, _)| *known == name)?;
            Some(Expression::Apply(*function, Box::new(variable(argument)?)))
        };
        variable(factor).or_else(applied).map_or_else(|| parse(factor, variables), Ok)
    }

    /// Returns a function of the variable with this number.
    pub fn of(function: Function, variable: usize) -> Self {
        Expression::Apply(function, Box::new(Expression::Variable(variable)))
    }

    /// Returns the expression as a number times factors: a product is taken apart, and a power of a
    /// variable or a function is that factor so many times.
    pub fn factors(self) -> (f64, Vec<Expression>) {
        use {Expression as E, Function as F, Operation as O};
        match self {
            E::Number(number) => (number, vec![]),
            E::Apply(F::Negative, inner) => {
                let (number, factors) = inner.factors();
                (-number, factors)
            }
            E::Apply(F::Power(n), inner)
                if (1.0..=MOST_FACTORS).contains(&n) && n.fract() == 0.0 && inner.is_whole() =>
            {
                (1.0, vec![*inner; n as usize])
            }
            E::Combine(O::Multiply, a, b) => {
                let ((a, mut factors), (b, more)) = (a.factors(), b.factors());
                factors.extend(more);
                (a * b, factors)
            }
            E::Combine(O::Divide, a, b) => match (*a, *b) {
                (a, E::Number(divisor)) => {
                    let (number, factors) = a.factors();
                    (number / divisor, factors)
                }
                (E::Number(number), b) => {
                    let one = Box::new(E::Number(1.0));
                    (number, vec![E::Combine(O::Divide, one, Box::new(b))])
                }
                (a, b) => (1.0, vec![E::Combine(O::Divide, Box::new(a), Box::new(b))]),
            },
            other => (1.0, vec![other]),
        }
    }

    /// Returns the names of the factors of a product of these expressions, such that the product of
    /// the names, with equal ones gathered into powers, is the expression again.
    pub fn names(factors: &[Expression], variables: &[String]) -> Vec<String> {
        let alone = factors.len() == 1;
        let name = |factor: &Expression| {
            let written = |style| {
                let name = factor.written(variables, style);
                let loose = factor.binding() <= if alone { SUM } else { POWER };
                if loose { format!("({name})") } else { name }
            };
            factor.bare_name(variables).unwrap_or_else(|| {
                let name = written(&TEXT);
                // Another variable may be called like a part of the expression.
                let is_read_as_another =
                    Expression::of_factor(&name, variables).is_ok_and(|read| read.is_bare());
                if is_read_as_another { written(&QUOTED) } else { name }
            })
        };
        factors.iter().map(name).collect()
    }

    /// Returns the name of a variable, or of a function of one: as everywhere, the variable is called
    /// by its bare name.
    fn bare_name(&self, variables: &[String]) -> Option<String> {
        match self {
            Expression::Variable(v) => Some(variables[*v].clone()),
            Expression::Apply(function, inner) if !function.name().is_empty() => match **inner {
                Expression::Variable(v) => Some(format!("{}({})", function.name(), variables[v])),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns whether the expression is a variable, or a function of one that has a name.
    fn is_bare(&self) -> bool {
        match self {
            Expression::Variable(_) => true,
            Expression::Apply(function, inner) => {
                !function.name().is_empty() && matches!(**inner, Expression::Variable(_))
            }
            _ => false,
        }
    }

    /// Returns whether the variable with this number occurs.
    pub fn has(&self, variable: usize) -> bool {
        match self {
            Expression::Number(_) => false,
            Expression::Variable(v) => *v == variable,
            Expression::Apply(_, inner) => inner.has(variable),
            Expression::Combine(_, a, b) => a.has(variable) || b.has(variable),
        }
    }

    /// Writes the expression with these names of the variables.
    pub fn written(&self, names: &[String], style: &Style) -> String {
        let at_least = |inner: &Expression, binding: u8| {
            let text = inner.written(names, style);
            if inner.binding() < binding { format!("({text})") } else { text }
        };
        match self {
            Expression::Number(number) => number_written(*number),
            Expression::Variable(v) => (style.name)(&names[*v]),
            Expression::Apply(Function::Negative, inner) => {
                format!("-{}", at_least(inner, POWER))
            }
            Expression::Apply(Function::Power(n), inner) => {
                let exponent = Expression::Number(*n);
                let (base, exponent) = (at_least(inner, WHOLE), at_least(&exponent, WHOLE));
                format!("{base}{}{exponent}", style.power)
            }
            Expression::Apply(function, inner) => {
                format!("{}({})", function.name(), inner.written(names, style))
            }
            Expression::Combine(operation, a, b) => {
                let (sign, left, right) = match operation {
                    Operation::Add => (" + ", SUM, PRODUCT),
                    Operation::Subtract => (" - ", SUM, PRODUCT),
                    Operation::Multiply => ("*", PRODUCT, POWER),
                    Operation::Divide => ("/", PRODUCT, POWER),
                    Operation::Power => (style.power, WHOLE, WHOLE),
                };
                format!("{}{sign}{}", at_least(a, left), at_least(b, right))
            }
        }
    }

    /// Writes the expression as a formula in LaTeX, with these names of the variables in LaTeX. What is
    /// whole only in parentheses, as a sum among factors, is set in them.
    pub fn latex(&self, names: &[String]) -> String {
        let formula = self.latex_within(names);
        if self.binding() == SUM { parenthesized(&formula) } else { formula }
    }

    fn latex_within(&self, names: &[String]) -> String {
        let at_least = |inner: &Expression, binding: u8| {
            let text = inner.latex_within(names);
            if inner.binding() < binding { parenthesized(&text) } else { text }
        };
        let inside = |inner: &Expression| inner.latex_within(names);
        match self {
            Expression::Number(number) => match number_written(*number).split_once('e') {
                Some((digits, power)) => format!("{digits} \\times 10^{{{power}}}"),
                None => number_written(*number),
            },
            Expression::Variable(v) => names[*v].clone(),
            Expression::Apply(function, inner) => match function {
                Function::Negative => format!("-{}", at_least(inner, POWER)),
                Function::Power(n) => format!("{}^{{{n}}}", at_least(inner, WHOLE)),
                Function::Abs => format!("\\left|{}\\right|", inside(inner)),
                Function::Sqrt => format!("\\sqrt{{{}}}", inside(inner)),
                Function::Atan => format!("\\arctan({})", inside(inner)),
                named => format!("\\{}({})", named.name(), inside(inner)),
            },
            Expression::Combine(operation, a, b) => match operation {
                Operation::Add => format!("{} + {}", inside(a), at_least(b, PRODUCT)),
                Operation::Subtract => format!("{} - {}", inside(a), at_least(b, PRODUCT)),
                Operation::Multiply => {
                    format!("{} \\, {}", at_least(a, PRODUCT), at_least(b, POWER))
                }
                Operation::Divide => format!("\\frac{{{}}}{{{}}}", inside(a), inside(b)),
                Operation::Power => format!("{}^{{{}}}", at_least(a, WHOLE), inside(b)),
            },
        }
    }

    fn binding(&self) -> u8 {
        use {Expression as E, Function as F, Operation as O};
        match self {
            E::Number(number) if number.is_sign_negative() => PRODUCT,
            E::Apply(F::Negative, _) | E::Combine(O::Multiply | O::Divide, ..) => PRODUCT,
            E::Combine(O::Add | O::Subtract, ..) => SUM,
            E::Apply(F::Power(_), _) | E::Combine(O::Power, ..) => POWER,
            E::Number(_) | E::Variable(_) | E::Apply(..) => WHOLE,
        }
    }

    /// Returns whether the expression can stand among factors without parentheses.
    pub fn is_whole(&self) -> bool {
        self.binding() == WHOLE
    }
}

fn parenthesized(formula: &str) -> String {
    format!("\\left({formula}\\right)")
}

/// The differences between the notation of expressions and that of Python.
pub(super) struct Style {
    name: fn(&str) -> String,
    power: &'static str,
}

/// The notation in which expressions are read.
pub(super) const TEXT: Style = Style { name: quoted, power: "^" };
/// The same, with all names in backquotes.
const QUOTED: Style = Style { name: in_backquotes, power: "^" };
/// The notation of Python.
pub(super) const PYTHON: Style = Style { name: str::to_owned, power: "**" };

/// Returns a name as it is read in an expression: in backquotes if it has characters that others
/// could be confused with.
fn quoted(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { in_backquotes(name) }
}

/// Returns a factor as equations show it, given the names of the columns: one of these, its velocity or a
/// function of it in backquotes if it could be confused with something else.
pub(super) fn shown(factor: &str, columns: &[String]) -> String {
    let is_column = |text: &str| columns.iter().any(|column| column == text);
    // x' is the velocity of x, unless a column is called so.
    let is_odd = |name: &str| !is_plain(name) || name.ends_with('\'');
    let velocity = || factor.strip_suffix('\'').filter(|name| is_column(name));
    let call = || factor.strip_suffix(')').and_then(|call| call.split_once('('));
    if is_column(factor) {
        return if is_odd(factor) { in_backquotes(factor) } else { factor.to_owned() };
    }
    match (velocity(), call()) {
        (Some(name), _) if is_odd(name) => in_backquotes(factor),
        (_, Some((function, name))) if is_plain(function) && is_column(name) && is_odd(name) => {
            format!("{function}({})", in_backquotes(name))
        }
        _ => factor.to_owned(),
    }
}

fn in_backquotes(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn number_written(number: f64) -> String {
    match number.abs() {
        size if size != 0.0 && !(1e-5..1e16).contains(&size) => format!("{number:e}"),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Vec<String> {
        ["x", "y", "x'", "T_in [K]"].map(String::from).to_vec()
    }

    fn again(text: &str) -> String {
        parse(text, &variables()).unwrap().written(&variables(), &TEXT)
    }

    #[test]
    fn names_are_read_as_what_they_were_written_for() {
        use Expression as E;
        let columns = ["x", "-x", "x^2", "x + 1", "a`b", "``"].map(String::from).to_vec();
        let negative = E::of(Function::Negative, 0);
        let power = E::of(Function::Power(2.0), 0);
        let one = Box::new(E::Number(1.0));
        let sum = E::Combine(Operation::Add, Box::new(E::Variable(0)), one);
        let of = |inner: &E| E::Apply(Function::Exp, Box::new(inner.clone()));
        let expected = [
            (of(&negative), "exp(-`x`)"),
            (of(&E::Variable(1)), "exp(-x)"),
            (of(&power), "exp(`x`^2)"),
            (of(&E::Variable(2)), "exp(x^2)"),
            (of(&sum), "exp(`x` + 1)"),
            (of(&E::of(Function::Negative, 1)), "exp(-`-x`)"),
            (of(&E::of(Function::Negative, 4)), "exp(-`a``b`)"),
            (of(&E::of(Function::Negative, 5)), "exp(-``````)"),
        ];
        for (expression, name) in expected {
            let written = E::names(std::slice::from_ref(&expression), &columns);
            assert_eq!(written, [name]);
            assert_eq!(E::of_factor(name, &columns).unwrap(), expression, "{name}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for (text, expected) in [
            ("exp( -x )", "exp(-x)"),
            ("x/(1+x)", "x/(1 + x)"),
            ("2 x y", "2*x*y"),
            ("x**2 y", "x^2*y"),
            ("-x^2", "-x^2"),
            ("(-x)^2", "(-x)^2"),
            ("x^-2", "x^(-2)"),
            ("x^(1/2)", "x^0.5"),
            ("x^y^2", "x^(y^2)"),
            ("x - (y - 1)", "x - (y - 1)"),
            ("x/(y*x')", "x/(y*x')"),
            ("x*-y", "x*(-y)"),
            ("`T_in [K]` - 3e-9", "`T_in [K]` - 3e-9"),
            ("ln(abs(x)) + pi", "log(abs(x)) + 3.141592653589793"),
            ("x (1 + y)", "x*(1 + y)"),
            ("2exp(-x)", "2*exp(-x)"),
            ("2e-3 x + 3e+2 - 2e", "0.002*x + 300 - 5.43656365691809"),
        ] {
            assert_eq!(again(text), expected, "{text}");
            assert_eq!(again(expected), expected, "{text}");
        }
        let names = ["x", "y", "x_dot", "T_in__K_"].map(String::from);
        let python = parse("x'^2/`T_in [K]`", &variables()).unwrap().written(&names, &PYTHON);
        assert_eq!(python, "x_dot**2/T_in__K_");
    }

    #[test]
    fn products_are_taken_apart() {
        let names = |text: &str| {
            let (number, factors) = parse(text, &variables()).unwrap().factors();
            (number, Expression::names(&factors, &variables()).join("|"))
        };
        assert_eq!(names("x^2*sin(y)*y"), (1.0, "x|x|sin(y)|y".into()));
        assert_eq!(names("-2*x/4"), (-0.5, "x".into()));
        assert_eq!(names("3/x"), (3.0, "1/x".into()));
        assert_eq!(names("x/(1 + x)"), (1.0, "x/(1 + x)".into()));
        assert_eq!(names("y*(x/(1 + x))"), (1.0, "y|(x/(1 + x))".into()));
        assert_eq!(names("x + y"), (1.0, "(x + y)".into()));
        assert_eq!(names("sqrt(x)^2 `T_in [K]`"), (1.0, "sqrt(x)|sqrt(x)|T_in [K]".into()));
        assert_eq!(names("sin(`T_in [K]`) exp(-x)"), (1.0, "sin(T_in [K])|exp(-x)".into()));
        assert_eq!(names("7"), (7.0, String::new()));
    }

    #[test]
    fn factors_are_read_as_equations_name_them() {
        let read = |factor: &str| {
            let expression = Expression::of_factor(factor, &variables());
            expression.map(|expression| expression.written(&variables(), &TEXT))
        };
        for factor in ["x'", "T_in [K]", "sin(T_in [K])", "(x/(1 + x))", "exp(-y)"] {
            assert!(read(factor).is_ok(), "{factor}");
        }
        assert_eq!(read("sin(T_in [K])").unwrap(), "sin(`T_in [K]`)");
        assert!(read("u(x)").unwrap_err().contains("there is no `u`"));
    }
}
