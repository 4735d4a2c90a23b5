//! The parser, which builds the syntax tree of a module from tokens.

mod declarations;

use super::PtxError;
use super::ast::*;
use super::lexer::{Kind, Token};
use super::types::Type;

/// Parses the tokens of a whole module.
pub(super) fn parse<'a>(tokens: &[Token<'a>]) -> Result<Program<'a>, PtxError> {
    Parser { tokens, at: 0, source: SourceLocation::default() }.program()
}

struct Parser<'a, 't> {
    tokens: &'t [Token<'a>],
    at: usize,
    /// Source location of the latest `.loc`.
    source: SourceLocation,
}

type Parsed<T> = Result<T, PtxError>;

impl<'a> Parser<'a, '_> {
    fn program(mut self) -> Parsed<Program<'a>> {
        let mut program = Program::default();
        let mut is_extern = false;
        while let Some(token) = self.tokens.get(self.at) {
            let Kind::Word(word) = token.kind else {
                if self.accept(';') {
                    continue;
                }
                return self.fail("a directive is expected here");
            };
            match word {
                ".version" | ".target" | ".address_size" => self.skip_line(),
                ".file" => {
                    self.at += 1;
                    let number = self.integer()?;
                    let Some(Kind::Text(name)) = self.next() else {
                        return self.fail(".file needs a name");
                    };
                    program.files.insert(number as u64, name);
                    self.at -= 1;
                    self.skip_line();
                }
                ".section" => self.skip_block()?,
                ".pragma" => self.skip_statement(),
                ".visible" | ".weak" | ".common" => self.at += 1,
                ".extern" => {
                    is_extern = true;
                    self.at += 1;
                }
                ".entry" | ".func" => {
                    program.functions.push(self.function()?);
                    is_extern = false;
                }
                ".global" | ".const" | ".shared" => {
                    self.variables(is_extern, &mut program.variables)?;
                    is_extern = false;
                }
                _ => return self.fail(&format!("unknown directive '{word}'")),
            }
        }
        Ok(program)
    }

    fn function(&mut self) -> Parsed<Function<'a>> {
        let line = self.line();
        let is_entry = self.word()? == ".entry";
        let results = if self.peek_is('(') { self.param_list()? } else { Vec::new() };
        let name = self.word()?;
        let params = if self.peek_is('(') { self.param_list()? } else { Vec::new() };
        let mut function = Function {
            name,
            is_entry,
            results,
            params,
            body: None,
            max_threads: None,
            required_threads: None,
            min_blocks: None,
            line,
        };
        loop {
            if self.accept(';') {
                return Ok(function);
            }
            if self.accept('{') {
                function.body = Some(self.body()?);
                return Ok(function);
            }
            match self.word()? {
                ".maxntid" => function.max_threads = Some(self.extents()?),
                ".reqntid" => function.required_threads = Some(self.extents()?),
                ".minnctapersm" => function.min_blocks = Some(self.integer()? as u32),
                ".maxnreg" | ".maxnctapersm" | ".maxclusterrank" => {
                    self.integer()?;
                }
                ".noreturn" => {}
                ".pragma" => self.skip_statement(),
                other => {
                    self.at -= 1;
                    return self.fail(&format!("unknown function directive '{other}'"));
                }
            }
        }
    }

    fn extents(&mut self) -> Parsed<[u32; 3]> {
        let mut extents = [1; 3];
        for (i, extent) in extents.iter_mut().enumerate() {
            if i > 0 && !self.accept(',') {
                break;
            }
            *extent = self.integer()? as u32;
        }
        Ok(extents)
    }

    fn body(&mut self) -> Parsed<Vec<Statement<'a>>> {
        let mut body = Vec::new();
        let mut depth = 0;
        loop {
            if self.accept(';') {
                continue;
            }
            if self.accept('{') {
                depth += 1;
                body.push(Statement::Open);
                continue;
            }
            if self.accept('}') {
                if depth == 0 {
                    return Ok(body);
                }
                depth -= 1;
                body.push(Statement::Close);
                continue;
            }
            self.statement(&mut body)?;
        }
    }

    fn statement(&mut self, body: &mut Vec<Statement<'a>>) -> Parsed<()> {
        if self.peek_is('@') {
            body.push(Statement::Instruction(self.instruction()?));
            return Ok(());
        }
        let Some(Kind::Word(word)) = self.tokens.get(self.at).map(|token| token.kind) else {
            return self.fail("an instruction is expected here");
        };
        match word {
            ".loc" => self.location()?,
            ".pragma" => self.skip_statement(),
            ".reg" => self.registers(body)?,
            ".local" | ".shared" | ".param" | ".global" | ".const" => {
                let mut variables = Vec::new();
                self.variables(false, &mut variables)?;
                body.extend(variables.into_iter().map(Statement::Variable));
            }
            _ if word.starts_with('.') => {
                return self.fail(&format!("unknown directive '{word}'"));
            }
            _ if self.token_is(self.at + 1, ':') => {
                self.at += 2;
                if matches!(
                    self.tokens.get(self.at).map(|t| t.kind),
                    Some(Kind::Word(".branchtargets"))
                ) {
                    self.at += 1;
                    let mut labels = vec![self.word()?];
                    while self.accept(',') {
                        labels.push(self.word()?);
                    }
                    self.expect(';')?;
                    body.push(Statement::Targets { name: word, labels });
                } else {
                    body.push(Statement::Label(word));
                }
            }
            _ => body.push(Statement::Instruction(self.instruction()?)),
        }
        Ok(())
    }

    /// Parses `.loc file line column[, function_name label, inlined_at file line column]`.
    fn location(&mut self) -> Parsed<()> {
        self.at += 1;
        let (file, line) = (self.integer()? as u32, self.integer()? as u32);
        let ptx_line = self.tokens[self.at - 1].line;
        let rest = self.tokens[self.at..].iter();
        let rest = rest.take_while(|token| token.line == ptx_line).map(|token| token.kind);
        let mut inlined = rest.skip_while(|kind| *kind != Kind::Word("inlined_at")).skip(1);
        let inlined_at = match (inlined.next(), inlined.next()) {
            (Some(Kind::Integer(file)), Some(Kind::Integer(line))) => {
                Some((file as u32, line as u32))
            }
            _ => None,
        };
        self.source = SourceLocation { file, line, inlined_at };
        self.at -= 1;
        self.skip_line();
        Ok(())
    }

    fn registers(&mut self, body: &mut Vec<Statement<'a>>) -> Parsed<()> {
        self.at += 1;
        let line = self.line();
        let word = self.word()?;
        let Some(ty) = word.strip_prefix('.').and_then(Type::parse) else {
            self.at -= 1;
            return self.fail(&format!("unknown register type '{word}'"));
        };
        loop {
            let name = self.word()?;
            let mut count = None;
            if self.accept('<') {
                count = Some(self.integer()? as u64);
                self.expect('>')?;
            }
            body.push(Statement::Registers { ty, name, count, line });
            if !self.accept(',') {
                return self.expect(';');
            }
        }
    }

    fn instruction(&mut self) -> Parsed<Instruction<'a>> {
        let mut guard = None;
        if self.accept('@') {
            let negated = self.accept('!');
            guard = Some((self.word()?, negated));
        }
        let line = self.line();
        let opcode = self.word()?;
        let mut operands = Vec::new();
        while !self.accept(';') {
            if !operands.is_empty() {
                self.expect(',')?;
            }
            operands.push(self.operand()?);
        }
        Ok(Instruction { guard, opcode, operands, line, source: self.source })
    }

    fn operand(&mut self) -> Parsed<Operand<'a>> {
        Ok(match self.next() {
            Some(Kind::Integer(value)) => Operand::Integer(value as i64),
            Some(Kind::F32(bits)) => Operand::F32(bits),
            Some(Kind::F64(bits)) => Operand::F64(bits),
            Some(Kind::Punctuation('-')) => match self.next() {
                Some(Kind::Integer(value)) => Operand::Integer((value as i64).wrapping_neg()),
                Some(Kind::F32(bits)) => Operand::F32(bits ^ 1 << 31),
                Some(Kind::F64(bits)) => Operand::F64(bits ^ 1 << 63),
                _ => {
                    self.at -= 1;
                    return self.fail("only a number can be negated");
                }
            },
            Some(Kind::Punctuation('!')) => Operand::Not(self.word()?),
            Some(Kind::Punctuation('{')) => Operand::Vector(self.list('}')?),
            Some(Kind::Punctuation('(')) => Operand::Group(self.list(')')?),
            Some(Kind::Punctuation('[')) => {
                let address = match self.next() {
                    Some(Kind::Word(base)) => Operand::Address(Some(base), self.offset()?),
                    Some(Kind::Integer(value)) => Operand::Address(None, value as i64),
                    _ => {
                        self.at -= 1;
                        return self.fail("an address is expected here");
                    }
                };
                self.expect(']')?;
                address
            }
            Some(Kind::Word(name)) => {
                if self.accept('|') {
                    Operand::Pair(name, self.word()?)
                } else {
                    Operand::Name(name, self.offset()?)
                }
            }
            _ => {
                self.at -= 1;
                return self.fail("an operand is expected here");
            }
        })
    }

    /// Parses operands up to `close`. Lists do not hold lists, so that no text nests without bound.
    fn list(&mut self, close: char) -> Parsed<Vec<Operand<'a>>> {
        let mut list = Vec::new();
        while !self.accept(close) {
            if !list.is_empty() {
                self.expect(',')?;
            }
            if self.peek_is('{') || self.peek_is('(') {
                return self.fail("a list in a list");
            }
            list.push(self.operand()?);
        }
        Ok(list)
    }

    /// Parses an optional `+ number` or `- number` after a symbol.
    fn offset(&mut self) -> Parsed<i64> {
        if self.accept('+') {
            self.integer()
        } else if self.accept('-') {
            Ok(self.integer()?.wrapping_neg())
        } else {
            Ok(0)
        }
    }

    fn next(&mut self) -> Option<Kind<'a>> {
        let kind = self.tokens.get(self.at).map(|token| token.kind);
        self.at += 1;
        kind
    }

    fn word(&mut self) -> Parsed<&'a str> {
        match self.next() {
            Some(Kind::Word(word)) => Ok(word),
            _ => {
                self.at -= 1;
                self.fail("a name is expected here")
            }
        }
    }

    fn integer(&mut self) -> Parsed<i64> {
        let negative = self.accept('-');
        match self.next() {
            Some(Kind::Integer(value)) if negative => Ok((value as i64).wrapping_neg()),
            Some(Kind::Integer(value)) => Ok(value as i64),
            _ => {
                self.at -= 1;
                self.fail("a number is expected here")
            }
        }
    }

    fn token_is(&self, at: usize, wanted: char) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == Kind::Punctuation(wanted))
    }

    fn peek_is(&self, wanted: char) -> bool {
        self.token_is(self.at, wanted)
    }

    fn accept(&mut self, wanted: char) -> bool {
        let found = self.peek_is(wanted);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: char) -> Parsed<()> {
        if self.accept(wanted) {
            Ok(())
        } else {
            self.fail(&format!("'{wanted}' is expected here"))
        }
    }

    /// Returns the line of the current token, or of the last one at the end of the text.
    fn line(&self) -> u32 {
        let token = self.tokens.get(self.at).or(self.tokens.last());
        token.map_or(1, |token| token.line)
    }

    fn fail<T>(&self, message: &str) -> Parsed<T> {
        let found = match self.tokens.get(self.at).map(|token| token.kind) {
            Some(Kind::Word(word)) => format!(" (found '{word}')"),
            Some(Kind::Punctuation(c)) => format!(" (found '{c}')"),
            None => " (found the end of the text)".into(),
            _ => String::new(),
        };
        Err(PtxError { line: self.line(), message: format!("{message}{found}") })
    }

    fn skip_line(&mut self) {
        let line = self.line();
        while self.tokens.get(self.at).is_some_and(|token| token.line == line) {
            self.at += 1;
        }
    }

    fn skip_statement(&mut self) {
        while self.at < self.tokens.len() && !self.accept(';') {
            self.at += 1;
        }
    }

    /// Skips a directive with its `( … )`.
    fn skip_group(&mut self) -> Parsed<()> {
        self.expect('(')?;
        while !self.accept(')') {
            if self.next().is_none() {
                return self.fail("')' is missing");
            }
        }
        Ok(())
    }

    /// Skips a directive with its `{ … }`.
    fn skip_block(&mut self) -> Parsed<()> {
        while !self.accept('}') {
            if self.next().is_none() {
                return self.fail("'}' is missing");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    fn error(text: &str) -> PtxError {
        parse(&tokens(text).unwrap()).unwrap_err()
    }

    #[test]
    fn a_kernel_with_every_kind_of_operand() {
        let text = ".version 9.5\n.target sm_80\n.global .align 4 .u32 v[2] = {7, -1};\n\
            .visible .entry k(.param .u64 k_param_0, .param .align 8 .b8 k_param_1[24])\n\
            .maxntid 128, 2\n{\n.reg .b32 %r<4>;\n\
            .loc 2 7 3, function_name $L1, inlined_at 1 9 5\n\
            $L: @!%p1 ld.v2.u32 {%r1, %r2}, [%rd1+-8];\n\
            shfl.sync.idx.b32 %r1|%p2, %r2, -1, 31, 0x1F;\ncall (ret), f, (a, b);\n}";
        let program = parse(&tokens(text).unwrap()).unwrap();
        let kernel = &program.functions[0];
        assert_eq!(program.variables[0].initializer.len(), 2);
        assert_eq!(kernel.params[1].bytes, 24);
        assert_eq!(kernel.max_threads, Some([128, 2, 1]));
        let body = kernel.body.as_ref().unwrap();
        let Statement::Instruction(load) = &body[2] else { panic!("{body:?}") };
        assert_eq!(load.guard, Some(("%p1", true)));
        let inlined = SourceLocation { file: 2, line: 7, inlined_at: Some((1, 9)) };
        assert_eq!(load.source, inlined);
        assert_eq!(load.operands[1], Operand::Address(Some("%rd1"), -8));
        let Statement::Instruction(shuffle) = &body[3] else { panic!("{body:?}") };
        assert_eq!(shuffle.operands[0], Operand::Pair("%r1", "%p2"));
        assert_eq!(shuffle.operands[2], Operand::Integer(-1));
    }

    #[test]
    fn errors_carry_their_line() {
        assert_eq!(error(".version 9.5\n.entry k()\n{\n.reg .q32 %r<2>;\n}").line, 4);
        assert_eq!(error(".version 9.5\n.entry k()\n{\nadd.u32 %r1 %r2;\n}").line, 4);
        assert_eq!(error(".version 9.5\n\n.bogus").line, 3);
    }
}
