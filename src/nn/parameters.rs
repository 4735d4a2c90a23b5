//! The store of what is learned.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::tape::Array;
use crate::{Error, Real, Result};

/// Names one parameter of a [`Parameters`] store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterId {
    pub(super) index: usize,
    store: u64,
}

/// Named arrays in the order of their insertion.
#[derive(Clone, Debug)]
pub struct Parameters<T> {
    entries: Vec<(String, Array<T>)>,
    /// Tells the parameters of this store (and its clones) from those of others.
    store: u64,
}

static STORES: AtomicU64 = AtomicU64::new(0);

impl<T: Real> Default for Parameters<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> Parameters<T> {
    /// An empty store.
    pub fn new() -> Self {
        Parameters { entries: vec![], store: STORES.fetch_add(1, Ordering::Relaxed) }
    }

    /// Adds a parameter.
    ///
    /// # Errors
    /// [`Error::Argument`] when the name is taken.
    pub fn insert(&mut self, name: impl Into<String>, value: Array<T>) -> Result<ParameterId> {
        let name = name.into();
        if self.find(&name).is_some() {
            return Err(Error::argument("name", format!("a parameter {name:?} exists already")));
        }
        self.entries.push((name, value));
        Ok(ParameterId { index: self.entries.len() - 1, store: self.store })
    }

    /// The parameter of this name.
    pub fn find(&self, name: &str) -> Option<ParameterId> {
        let index = self.entries.iter().position(|(known, _)| known == name)?;
        Some(ParameterId { index, store: self.store })
    }

    /// A parameter's value.
    ///
    /// # Errors
    /// [`Error::Argument`] when the parameter is of another store.
    pub fn get(&self, id: ParameterId) -> Result<&Array<T>> {
        self.check(id)?;
        Ok(&self.entries[id.index].1)
    }

    /// A parameter's elements, to change.
    ///
    /// # Errors
    /// [`Error::Argument`] when the parameter is of another store.
    pub fn data_mut(&mut self, id: ParameterId) -> Result<&mut [T]> {
        self.check(id)?;
        Ok(self.entries[id.index].1.data_mut())
    }

    fn check(&self, id: ParameterId) -> Result<()> {
        if id.store == self.store && id.index < self.entries.len() {
            Ok(())
        } else {
            Err(Error::argument("parameter", "belongs to another store"))
        }
    }

    /// Identity, name and value of every parameter, in order.
    pub fn iter(&self) -> impl Iterator<Item = (ParameterId, &str, &Array<T>)> {
        self.entries.iter().enumerate().map(|(index, (name, value))| {
            (ParameterId { index, store: self.store }, name.as_str(), value)
        })
    }

    /// Number of parameters (arrays).
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
