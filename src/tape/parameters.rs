//! The store of parameters: the arrays that training changes.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::tensor::Array;
use crate::tensor::{Backend, Cpu};
use crate::{Error, Real, Result};

/// The identity of a parameter in a [`Parameters`] store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterId {
    pub(crate) index: usize,
    store: u64,
}

/// A store of named arrays in the order of their insertion, in the memory of a backend: the
/// program's own memory, unless another backend is named.
#[derive(Clone, Debug)]
pub struct Parameters<T: Real, B: Backend = Cpu> {
    entries: Vec<(String, Array<T, B>)>,
    /// Number that tells the parameters of this store (and its clones) from those of others.
    store: u64,
}

static STORES: AtomicU64 = AtomicU64::new(0);

impl<T: Real> Default for Parameters<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> Parameters<T> {
    /// Makes an empty store on the CPU.
    pub fn new() -> Self {
        Self::empty()
    }
}

impl<T: Real, B: Backend> Parameters<T, B> {
    /// Makes an empty store on any backend.
    pub fn empty() -> Self {
        Parameters { entries: vec![], store: STORES.fetch_add(1, Ordering::Relaxed) }
    }

    /// Copies the parameters to another backend, where they have the same identities.
    ///
    /// # Errors
    /// [`Error::Device`] when this backend's device fails.
    pub fn to<C: Backend>(&self) -> Result<Parameters<T, C>> {
        let entries = self.entries.iter();
        let entries =
            entries.map(|(name, value)| Ok((name.clone(), C::wrap(B::host(value)?.clone()))));
        Ok(Parameters { entries: entries.collect::<Result<_>>()?, store: self.store })
    }

    /// Adds a parameter under a name of its own.
    ///
    /// # Errors
    /// [`Error::Argument`] when the name is taken.
    pub fn insert(&mut self, name: impl Into<String>, value: Array<T>) -> Result<ParameterId> {
        let name = name.into();
        if self.find(&name).is_some() {
            return Err(Error::argument("name", format!("a parameter {name:?} exists already")));
        }
        self.entries.push((name, B::wrap(value)));
        Ok(ParameterId { index: self.entries.len() - 1, store: self.store })
    }

    /// Returns the identity of the parameter of this name, or `None` if there is none.
    pub fn find(&self, name: &str) -> Option<ParameterId> {
        let index = self.entries.iter().position(|(known, _)| known == name)?;
        Some(ParameterId { index, store: self.store })
    }

    /// Returns the value of a parameter, fetched from the backend's memory if it is not the
    /// program's.
    ///
    /// # Errors
    /// [`Error::Argument`] when the parameter is of another store; [`Error::Device`] when the
    /// backend's device fails.
    pub fn get(&self, id: ParameterId) -> Result<&Array<T>> {
        B::host(self.array(id)?)
    }

    /// Returns the elements of a parameter, to be changed, fetched from the backend's memory if it
    /// is not the program's.
    ///
    /// # Errors
    /// Those of [`Parameters::get`].
    pub fn data_mut(&mut self, id: ParameterId) -> Result<&mut [T]> {
        B::host_mut(self.array_mut(id)?)
    }

    /// Returns a parameter in the memory where it is kept.
    pub(crate) fn array(&self, id: ParameterId) -> Result<&Array<T, B>> {
        self.check(id)?;
        Ok(&self.entries[id.index].1)
    }

    /// Returns a parameter in the memory where it is kept, to be changed.
    pub(crate) fn array_mut(&mut self, id: ParameterId) -> Result<&mut Array<T, B>> {
        self.check(id)?;
        Ok(&mut self.entries[id.index].1)
    }

    fn check(&self, id: ParameterId) -> Result<()> {
        if id.store == self.store && id.index < self.entries.len() {
            Ok(())
        } else {
            Err(Error::argument("parameter", "belongs to another store"))
        }
    }

    /// Iterates over the identity and name of every parameter, in the order of insertion.
    pub fn names(&self) -> impl Iterator<Item = (ParameterId, &str)> {
        let entries = self.entries.iter().enumerate();
        entries.map(|(index, (name, _))| (ParameterId { index, store: self.store }, name.as_str()))
    }

    /// Returns the name of a parameter of this store.
    pub(crate) fn name(&self, id: ParameterId) -> &str {
        &self.entries[id.index].0
    }

    /// Returns the number of parameters (arrays).
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether the store has no parameter.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<T: Real> Parameters<T> {
    /// Iterates over the identity, name and value of every parameter, in the order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = (ParameterId, &str, &Array<T>)> {
        let values = self.entries.iter().map(|(_, value)| value);
        self.names().zip(values).map(|((id, name), value)| (id, name, value))
    }
}
