//! Declarations of variables and parameters, with their initial values.

use super::super::ast::{Initializer, Variable, VariableSpace};
use super::super::lexer::Kind;
use super::super::types::Type;
use super::{Parsed, Parser};

impl<'a> Parser<'a, '_> {
    pub(super) fn param_list(&mut self) -> Parsed<Vec<Variable<'a>>> {
        self.expect('(')?;
        let mut params = Vec::new();
        while !self.accept(')') {
            let word = self.word()?;
            if word == ".reg" {
                self.at -= 1;
                return self.fail("parameters in registers are not supported");
            }
            if word != ".param" {
                self.at -= 1;
                return self.fail("'.param' is expected here");
            }
            params.push(self.variable(VariableSpace::Param, false)?);
            self.accept(',');
        }
        Ok(params)
    }

    /// Parses declarations of one or more variables up to the semicolon.
    pub(super) fn variables(&mut self, is_extern: bool, out: &mut Vec<Variable<'a>>) -> Parsed<()> {
        let space = match self.word()? {
            ".global" => VariableSpace::Global,
            ".const" => VariableSpace::Const,
            ".shared" => VariableSpace::Shared,
            ".local" => VariableSpace::Local,
            _ => VariableSpace::Param,
        };
        out.push(self.variable(space, is_extern)?);
        self.expect(';')
    }

    /// Parses one declaration after its space: `.align 8 .b8 name[32] = {…}`.
    fn variable(&mut self, space: VariableSpace, is_extern: bool) -> Parsed<Variable<'a>> {
        let line = self.line();
        let (mut align, mut vector, mut ty) = (None, 1, None);
        let name = loop {
            let word = self.word()?;
            match word {
                ".align" => align = Some(self.integer()? as u64),
                ".v2" => vector = 2,
                ".v4" => vector = 4,
                // Attributes of a pointer parameter say what it points to, not what it is.
                ".ptr" | ".global" | ".const" | ".shared" | ".local" => {
                    if word == ".ptr" {
                        self.pointer_attributes()?;
                    }
                }
                ".attribute" => self.skip_group()?,
                _ => match word.strip_prefix('.') {
                    Some(dotted) => match Type::parse(dotted) {
                        Some(found) => ty = Some(found),
                        None => {
                            self.at -= 1;
                            return self.fail(&format!("unknown attribute '{word}'"));
                        }
                    },
                    None => break word,
                },
            }
        };
        let Some(ty) = ty else {
            return self.fail(&format!("'{name}' has no type"));
        };
        let element = u64::from(ty.bytes()) * vector;
        let (mut count, mut open_array) = (1u64, false);
        while self.accept('[') {
            if self.accept(']') {
                open_array = true;
                continue;
            }
            count = count.saturating_mul(self.integer()? as u64);
            self.expect(']')?;
        }
        let mut initializer = Vec::new();
        if self.accept('=') {
            self.initializer(ty, &mut initializer)?;
        }
        let mut bytes = if open_array { 0 } else { element.saturating_mul(count) };
        if open_array && !initializer.is_empty() {
            bytes = initializer.iter().map(Initializer::bytes).sum();
        }
        let align = align.unwrap_or(element).max(1);
        if !align.is_power_of_two() || align > 1 << 16 || bytes > 1 << 40 {
            return self.fail(&format!("'{name}' has alignment {align} and {bytes} bytes"));
        }
        Ok(Variable { space, name, align, bytes, is_extern, initializer, line })
    }

    /// Skips attributes such as `.ptr .global .align 8` up to the name.
    fn pointer_attributes(&mut self) -> Parsed<()> {
        while let Some(Kind::Word(word)) = self.tokens.get(self.at).map(|token| token.kind) {
            match word {
                ".global" | ".const" | ".shared" | ".local" => self.at += 1,
                ".align" => {
                    self.at += 1;
                    self.integer()?;
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// Parses a value, or values in braces to any depth; the braces of inner arrays have no further
    /// meaning.
    fn initializer(&mut self, ty: Type, out: &mut Vec<Initializer<'a>>) -> Parsed<()> {
        let mut depth = 0usize;
        loop {
            if self.accept('{') {
                depth += 1;
                continue;
            }
            if depth > 0 && self.accept('}') {
                depth -= 1;
            } else {
                self.initial_value(ty, out)?;
            }
            if depth == 0 {
                return Ok(());
            }
            self.accept(',');
        }
    }

    fn initial_value(&mut self, ty: Type, out: &mut Vec<Initializer<'a>>) -> Parsed<()> {
        let bytes = ty.bytes() as usize;
        let value = match self.next() {
            Some(Kind::F32(bits)) if ty == Type::F64 => f64::from(f32::from_bits(bits)).to_bits(),
            Some(Kind::F32(bits)) => u64::from(bits),
            Some(Kind::F64(bits)) if ty == Type::F32 => {
                u64::from((f64::from_bits(bits) as f32).to_bits())
            }
            Some(Kind::F64(bits)) => bits,
            Some(Kind::Integer(value)) => value,
            Some(Kind::Punctuation('-')) => (self.integer()? as u64).wrapping_neg(),
            Some(Kind::Word(mut symbol)) => {
                let generic = symbol == "generic";
                if generic {
                    self.expect('(')?;
                    symbol = self.word()?;
                    self.expect(')')?;
                }
                let offset = self.offset()?;
                out.push(Initializer::Address { symbol, offset, bytes: bytes as u64 });
                return Ok(());
            }
            _ => {
                self.at -= 1;
                return self.fail("a constant is expected here");
            }
        };
        out.push(Initializer::Bytes(value.to_le_bytes()[..bytes.min(8)].to_vec()));
        Ok(())
    }
}

impl Initializer<'_> {
    /// Returns the bytes that the element occupies.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Address { bytes, .. } => *bytes,
        }
    }
}
