//! The store of what is learned.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::tensor::Array;
use crate::tensor::{Backend, Cpu};
use crate::{Error, Real, Result};

/// Names one parameter of a [`Parameters`] store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterId {
    pub(crate) index: usize,
    store: u64,
}

/// Named arrays in the order of their insertion, in the memory of a backend: of the program, unless
/// one is named.
#[derive(Clone, Debug)]
pub struct Parameters<T: Real, B: Backend = Cpu> {
    entries: Vec<(String, Array<T, B>)>,
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
    /// An empty store on the CPU.
    pub fn new() -> Self {
        Self::empty()
    }
}

impl<T: Real, B: Backend> Parameters<T, B> {
    /// An empty store on any backend.
    pub fn empty() -> Self {
        Parameters { entries: vec![], store: STORES.fetch_add(1, Ordering::Relaxed) }
    }

    /// The same parameters, known by the same identities, on another backend.
    ///
    /// # Errors
    /// When this backend's device fails.
    pub fn to<C: Backend>(&self) -> Result<Parameters<T, C>> {
        let entries = self.entries.iter();
        let entries =
            entries.map(|(name, value)| Ok((name.clone(), C::wrap(B::host(value)?.clone()))));
        Ok(Parameters { entries: entries.collect::<Result<_>>()?, store: self.store })
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
        self.entries.push((name, B::wrap(value)));
        Ok(ParameterId { index: self.entries.len() - 1, store: self.store })
    }

    /// The parameter of this name.
    pub fn find(&self, name: &str) -> Option<ParameterId> {
        let index = self.entries.iter().position(|(known, _)| known == name)?;
        Some(ParameterId { index, store: self.store })
    }

    /// A parameter's value, fetched from the backend's memory if it is not the program's.
    ///
    /// # Errors
    /// [`Error::Argument`] when the parameter is of another store; when the backend's device fails.
    pub fn get(&self, id: ParameterId) -> Result<&Array<T>> {
        B::host(self.array(id)?)
    }

    /// A parameter's elements, to change; fetched as by [`Parameters::get`].
    ///
    /// # Errors
    /// As [`Parameters::get`].
    pub fn data_mut(&mut self, id: ParameterId) -> Result<&mut [T]> {
        B::host_mut(self.array_mut(id)?)
    }

    /// A parameter where it is kept.
    pub(crate) fn array(&self, id: ParameterId) -> Result<&Array<T, B>> {
        self.check(id)?;
        Ok(&self.entries[id.index].1)
    }

    /// A parameter where it is kept.
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

    /// Identity and name of every parameter, in order.
    pub fn names(&self) -> impl Iterator<Item = (ParameterId, &str)> {
        let entries = self.entries.iter().enumerate();
        entries.map(|(index, (name, _))| (ParameterId { index, store: self.store }, name.as_str()))
    }

    /// The name of one of these parameters.
    pub(crate) fn name(&self, id: ParameterId) -> &str {
        &self.entries[id.index].0
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

impl<T: Real> Parameters<T> {
    /// Identity, name and value of every parameter, in order.
    pub fn iter(&self) -> impl Iterator<Item = (ParameterId, &str, &Array<T>)> {
        let values = self.entries.iter().map(|(_, value)| value);
        self.names().zip(values).map(|((id, name), value)| (id, name, value))
    }
}
