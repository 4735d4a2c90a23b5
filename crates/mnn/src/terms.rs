//! Terms and their constraints as users write them in flags: `x' : x^2 y`.

use std::{convert::Infallible, path::Path, str::FromStr};

use mechanistic::discovery::{EqualTerms, KnownTerm, TermName};
use mechanistic::{Error, Result, ensure_memory};

/// The names of columns that the value of a flag lists, separated by commas; in backquotes they may
/// have commas.
#[derive(Clone, Debug)]
pub struct ColumnNames(Vec<String>);

impl FromStr for ColumnNames {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        // A column may be called `T (C`, or have a backquote within its name.
        let (mut in_name, mut begins) = (false, true);
        let separates = |character: char| {
            in_name ^= character == '`' && (in_name || begins);
            begins = character == ',' && !in_name || begins && character == ' ';
            character == ',' && !in_name
        };
        let names = text.split(separates).map(|name| without_backquotes(name.trim()));
        Ok(ColumnNames(names.collect()))
    }
}

impl ColumnNames {
    /// Returns the names of all values of a flag, which may be repeated.
    pub fn all(given: &[ColumnNames]) -> Vec<String> {
        given.iter().flat_map(|names| names.0.iter().cloned()).collect()
    }
}

/// Returns the file that the value of `--terms` names, if it names one: a pipe too, as `<(...)` makes.
pub fn file(value: &str) -> Option<&Path> {
    Some(Path::new(value)).filter(|path| path.exists() && !path.is_dir())
}

/// Returns the expressions that the value of `--terms` lists, separated by commas, or that the file of
/// this name does, one in a line; there, what follows a `#` is a comment.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read, [`Error::Argument`] if there are no expressions.
pub fn expressions(value: &str) -> Result<Vec<String>> {
    let found: Vec<String> = match file(value) {
        Some(path) => {
            let size = std::fs::metadata(path).map_or(0, |file| file.len());
            ensure_memory(&format!("the terms {}", path.display()), &[(size as usize, 1)])?;
            let text = std::fs::read_to_string(path)
                .map_err(|source| Error::Io { path: path.to_owned(), source })?;
            let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
            lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
        }
        None => list(value).into_iter().map(str::to_owned).collect(),
    };
    if found.iter().all(String::is_empty) {
        let message =
            "expected expressions such as `exp(-x), x/(1 + y)`, or a file of them, got none";
        return Err(Error::argument("--terms", message));
    }
    Ok(found)
}

/// Reads a term with its coefficient: `x' : y = 1`.
pub fn fixed(text: &str, order: usize) -> Result<KnownTerm> {
    let expected = |what: String| {
        Error::argument("--fix", format!("expected `x' : y = 1`: {what} in `{text}`"))
    };
    let Some((term, value)) = rsplit_once(text, '=') else {
        return Err(expected("there is no `=`".into()));
    };
    let coefficient =
        value.trim().parse().map_err(|_| expected(format!("`{}` is no number", value.trim())))?;
    let TermName { state, factors } = named("--fix", term, order)?;
    Ok(KnownTerm { state, factors, coefficient })
}

/// Reads a term that is excluded: `x' : y`.
pub fn forbidden(text: &str, order: usize) -> Result<KnownTerm> {
    let TermName { state, factors } = named("--forbid", text, order)?;
    Ok(KnownTerm { state, factors, coefficient: 0.0 })
}

/// Reads the name of a term as a flag has it: `x' : y`.
pub fn named(flag: &str, text: &str, order: usize) -> Result<TermName> {
    let primes = "'".repeat(order);
    let refuse = |message: String| Err(Error::argument(flag, message));
    let Some((lhs, term)) = rsplit_once(text, ':') else {
        return refuse(format!(
            "expected an equation and a term, as in `x{primes} : y`, got `{text}`"
        ));
    };
    let (lhs, term) = (lhs.trim(), term.trim());
    let state = lhs.strip_suffix(&primes).filter(|name| !name.is_empty() && !name.ends_with('\''));
    match state {
        Some(_) if term.is_empty() => {
            refuse(format!("there is no term after the colon of `{text}`"))
        }
        Some(state) => {
            Ok(TermName { state: without_backquotes(state), factors: vec![term.into()] })
        }
        None => {
            refuse(format!("`{lhs}` is no left-hand side of order {order}, such as `x{primes}`"))
        }
    }
}

/// Reads terms with equal coefficients, `x' : y, y' : x`; those with a minus in front have the
/// opposite one.
pub fn equal(text: &str, order: usize) -> Result<Vec<EqualTerms>> {
    let mut terms = Vec::new();
    for part in list(text) {
        let positive = part.strip_prefix(['-', '−']);
        terms.push((named("--equal", positive.unwrap_or(part).trim(), order)?, positive.is_some()));
    }
    let (first, opposite_first) = &terms[0];
    let others = &terms[1..];
    if others.is_empty() {
        let message = format!("expected several terms, as in `x' : y, y' : x`, got `{text}`");
        return Err(Error::argument("--equal", message));
    }
    let pair = |(second, opposite): &(TermName, bool)| EqualTerms {
        first: first.clone(),
        second: second.clone(),
        opposite: opposite != opposite_first,
    };
    Ok(others.iter().map(pair).collect())
}

/// Splits a text at the last of these characters that does not stand within backquotes.
fn rsplit_once(text: &str, separator: char) -> Option<(&str, &str)> {
    let mut in_name = false;
    let places = text.char_indices().filter(|&(_, character)| {
        in_name ^= character == '`';
        character == separator && !in_name
    });
    let (place, _) = places.last()?;
    Some((&text[..place], &text[place + separator.len_utf8()..]))
}

/// Splits a list at its commas, but not within parentheses or backquotes.
fn list(text: &str) -> Vec<&str> {
    let (mut depth, mut in_name) = (0, false);
    let separates = |character: char| {
        match character {
            '`' => in_name = !in_name,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        character == ',' && depth <= 0 && !in_name
    };
    text.split(separates).map(str::trim).collect()
}

/// Returns a name that may stand in backquotes; there, a backquote of its own is written twice.
fn without_backquotes(name: &str) -> String {
    let inner = name.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    inner.map_or_else(|| name.to_owned(), |inner| inner.replace("``", "`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_backquotes_may_have_commas() {
        let names = |texts: &[&str]| {
            let given: Vec<ColumnNames> = texts.iter().map(|text| text.parse().unwrap()).collect();
            ColumnNames::all(&given)
        };
        assert_eq!(names(&["x, prey (10^3)"]), ["x", "prey (10^3)"]);
        assert_eq!(names(&["T (C,y", "a`b,c, `d,e`"]), ["T (C", "y", "a`b", "c", "d,e"]);
        assert_eq!(
            names(&["`prey, adult`,y'", "a``b,`a``b`"]),
            ["prey, adult", "y'", "a``b", "a`b"]
        );
        assert_eq!(named("--forbid", "`prey, adult`' : y", 1).unwrap().state, "prey, adult");
        assert_eq!(named("--forbid", "`x'`' : y", 1).unwrap().state, "x'");
    }

    #[test]
    fn lists_are_split_outside_parentheses() {
        assert_eq!(list("a, f(b, c) ,`d,e`"), ["a", "f(b, c)", "`d,e`"]);
        assert_eq!(list("a),b"), ["a)", "b"]);
        assert_eq!(list(""), [""]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn pipes_are_files_of_terms_and_folders_are_not() {
        use std::io::Write;
        use std::os::fd::AsRawFd;

        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"exp(-x) # decay\n\nx/(1 + y)\n").unwrap();
        drop(writer);
        let found = expressions(&format!("/proc/self/fd/{}", reader.as_raw_fd())).unwrap();
        assert_eq!(found, ["exp(-x)", "x/(1 + y)"]);
        assert_eq!(file("/dev/stdin"), Some(Path::new("/dev/stdin")));
        assert_eq!((file("/"), file("exp(-x)")), (None, None));
    }

    #[test]
    fn terms_and_constraints_are_read() {
        let name =
            |state: &str, term: &str| TermName { state: state.into(), factors: vec![term.into()] };
        assert_eq!(named("--positive", " x' : x^2 y", 1).unwrap(), name("x", "x^2 y"));
        assert_eq!(named("--positive", "a:b'':x'", 2).unwrap(), name("a:b", "x'"));
        assert_eq!(named("--positive", "x' : `a:b`*x", 1).unwrap(), name("x", "`a:b`*x"));
        assert_eq!(fixed("x' : `a=b:c` = 2", 1).unwrap().factors, ["`a=b:c`"]);
        let known = fixed("x' : exp(-x) = -1e-3", 1).unwrap();
        assert_eq!((known.factors, known.coefficient), (vec!["exp(-x)".to_owned()], -1e-3));
        assert_eq!(forbidden("x' : 1", 1).unwrap().coefficient, 0.0);
        let pairs = equal("x' : y, -y' : x, z' : z", 1).unwrap();
        let expected = [(name("y", "x"), true), (name("z", "z"), false)];
        for (pair, (second, opposite)) in pairs.into_iter().zip(expected) {
            assert_eq!(pair, EqualTerms { first: name("x", "y"), second, opposite });
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let message = |outcome: Result<()>| outcome.unwrap_err().to_string();
        let fix = |text: &str| message(fixed(text, 1).map(drop));
        assert_eq!(fix("x' : y"), "--fix: expected `x' : y = 1`: there is no `=` in `x' : y`");
        assert_eq!(
            fix("x' : y = one"),
            "--fix: expected `x' : y = 1`: `one` is no number in `x' : y = one`"
        );
        let forbid = |text: &str, order| message(forbidden(text, order).map(drop));
        assert_eq!(
            forbid("y", 2),
            "--forbid: expected an equation and a term, as in `x'' : y`, got `y`"
        );
        assert_eq!(
            forbid("x : y", 1),
            "--forbid: `x` is no left-hand side of order 1, such as `x'`"
        );
        assert_eq!(
            forbid("x'' : y", 1),
            "--forbid: `x''` is no left-hand side of order 1, such as `x'`"
        );
        assert_eq!(forbid("x' :", 1), "--forbid: there is no term after the colon of `x' :`");
        assert_eq!(
            message(equal("x' : y", 1).map(drop)),
            "--equal: expected several terms, as in `x' : y, y' : x`, got `x' : y`"
        );
        assert_eq!(
            message(expressions(" ").map(drop)),
            "--terms: expected expressions such as `exp(-x), x/(1 + y)`, or a file of them, got none"
        );
    }
}
