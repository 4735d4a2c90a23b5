//! An opcode with its modifiers, which are taken one by one so that none is overlooked.

use super::Decoded;
use crate::ptx::types::Type;

/// An opcode `name.modifier.modifier…`; a modifier that nobody takes makes the instruction unknown.
pub(crate) struct Opcode<'a> {
    /// The whole opcode, for messages.
    pub(crate) text: &'a str,
    /// The part before the first dot.
    pub(crate) name: &'a str,
    modifiers: Vec<Option<&'a str>>,
}

impl<'a> Opcode<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut parts = text.split('.');
        let name = parts.next().unwrap_or("");
        Self { text, name, modifiers: parts.map(Some).collect() }
    }

    /// Takes a modifier if it is there.
    pub(crate) fn take(&mut self, modifier: &str) -> bool {
        let slot = self.modifiers.iter_mut().find(|slot| **slot == Some(modifier));
        slot.map(Option::take).is_some()
    }

    /// Takes the first of the modifiers that is there.
    pub(crate) fn take_one(&mut self, choices: &[&'static str]) -> Option<&'static str> {
        for slot in &mut self.modifiers {
            if let Some(choice) = slot.and_then(|m| choices.iter().find(|choice| **choice == m)) {
                *slot = None;
                return Some(choice);
            }
        }
        None
    }

    /// Takes the first type among the modifiers.
    pub(crate) fn take_type(&mut self) -> Decoded<Type> {
        for slot in &mut self.modifiers {
            if let Some(ty) = slot.and_then(Type::parse) {
                *slot = None;
                return Ok(ty);
            }
        }
        Err(format!("'{}' has no type", self.text))
    }

    /// Returns the last type among the modifiers, and leaves it in place.
    pub(crate) fn last_type(&self) -> Option<Type> {
        self.modifiers.iter().rev().flatten().find_map(|modifier| Type::parse(modifier))
    }

    /// Takes the first modifier that starts with `prefix`.
    pub(crate) fn take_prefixed(&mut self, prefix: &str) -> Option<&'a str> {
        let slot = self.modifiers.iter_mut().find(|m| m.is_some_and(|m| m.starts_with(prefix)))?;
        slot.take()
    }

    /// Returns the message for an instruction that this simulator does not know.
    pub(crate) fn unknown(&self) -> String {
        format!("unknown instruction '{}'", self.text)
    }

    /// Fails if a modifier was not taken.
    pub(crate) fn finish(&self) -> Decoded<()> {
        match self.modifiers.iter().flatten().next() {
            None => Ok(()),
            Some(modifier) => {
                Err(format!("unknown instruction '{}': modifier '.{modifier}'", self.text))
            }
        }
    }
}
