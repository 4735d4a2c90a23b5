//! Hidden states: states of which there are no data.
//!
//! A hidden state is known only up to a change of variables: any invertible function of it and of the
//! other states obeys equations of its own, and explains the data as well. So that there is one answer,
//! hidden states are derivatives here. Of states x₁, …, x_K with data and N hidden ones,
//!
//! ```text
//! x₁' = h₁, …, x_K' = h_K, h₁' = h_{K+1}, …
//! ```
//!
//! as far as N goes, and the equations of the states that are left, among them the last hidden ones, are
//! to be found. With N = K that is what order 2 finds. A state whose derivative depends on no hidden
//! state does not define one: then h is a function of the others, and the data cannot tell it from them.

use super::data::{Dataset, Trajectory};
use super::expression::Expression;
use super::grid::Smooth;
use super::ladder::Model;
use super::library::{Function, Library};
use super::link::Link;
use super::settings::{KnownTerm, Settings};
use super::smoothing;
use crate::{Error, Result};

/// The most hidden states for each state with data: third derivatives of noisy values say nothing.
const MOST: usize = 2;
/// The change of a slope, relative to its size, that is rounding.
const CONSTANT: f64 = 1e-9;

/// The hidden states of a search.
#[derive(Clone, Debug, Default)]
pub(super) struct Hidden {
    /// Their names (N).
    pub names: Vec<String>,
    /// The state of which each is the derivative (N): a number among those with data and then the
    /// hidden ones.
    parents: Vec<usize>,
}

/// A search with one hidden state less.
pub(super) struct Without {
    pub hidden: Hidden,
    pub model: Model,
    pub settings: Settings,
}

impl Hidden {
    /// Makes the hidden states that the settings ask for, beside the states of these data.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are too many, a name is taken, or a constraint is on an equation
    /// that defines one.
    pub fn new(data: &Dataset, settings: &Settings) -> Result<Self> {
        let (k, count) = (data.states.len(), settings.hidden);
        if count > MOST * k {
            let message = format!(
                "at most {MOST} for each of the {k} states with data, which are its first \
                 derivatives: {}, got {count}",
                MOST * k
            );
            return Err(Error::argument("hidden", message));
        }
        let names: Vec<String> = (1..=count).map(|number| format!("hidden{number}")).collect();
        let taken = |name: &&String| data.states.contains(*name) || data.inputs.contains(*name);
        if let Some(name) = names.iter().find(taken) {
            let message = format!(
                "the data have a column `{name}`, which is what a hidden state is called: give it \
                 another name, or leave it out"
            );
            return Err(Error::argument("hidden", message));
        }
        let hidden = Hidden { parents: (0..count).collect(), names };
        hidden.refuse_constraints(&data.states, settings)?;
        Ok(hidden)
    }

    /// Checks that no constraint is on an equation that defines a hidden state.
    fn refuse_constraints(&self, states: &[String], settings: &Settings) -> Result<()> {
        let Settings { known, positive, negative, equal, .. } = settings;
        let known = known.iter().map(|term| ("known", &term.state));
        let signs = [("positive", positive), ("negative", negative)];
        let signs = signs.iter().flat_map(|(name, terms)| terms.iter().map(|t| (*name, &t.state)));
        let equal = equal.iter().flat_map(|pair| [&pair.first, &pair.second]);
        let equal = equal.map(|term| ("equal", &term.state));
        for (argument, state) in known.chain(signs).chain(equal) {
            let of = |(_, parent): &(&String, &usize)| self.name(states, **parent) == state;
            if let Some((name, _)) = self.names.iter().zip(&self.parents).find(of) {
                let message = format!(
                    "{state}' = {name} is what `{name}` is defined by, so that nothing can be asked \
                     of this equation"
                );
                return Err(Error::argument(argument, message));
            }
        }
        Ok(())
    }

    /// Returns the name of a state, of which those with data are `states`.
    fn name<'n>(&'n self, states: &'n [String], state: usize) -> &'n String {
        states.get(state).unwrap_or_else(|| &self.names[state - states.len()])
    }

    /// Returns the settings with which the equations that define the hidden states are known.
    pub fn defined(&self, states: &[String], settings: &Settings) -> Settings {
        let definition = |(name, parent): (&String, &usize)| KnownTerm {
            state: self.name(states, *parent).clone(),
            factors: vec![name.clone()],
            coefficient: 1.0,
        };
        let definitions = self.names.iter().zip(&self.parents).map(definition);
        let known = settings.known.iter().cloned().chain(definitions).collect();
        Settings { known, ..settings.clone() }
    }

    /// Returns the model without candidates in the equations that define the hidden states.
    pub fn restricted(&self, model: Model) -> Model {
        if self.names.is_empty() {
            return model;
        }
        let Model { mut links, library, .. } = model;
        let of_equation =
            |equation: usize| std::iter::repeat_n(!self.parents.contains(&equation), library.len());
        let allowed = (0..links.len()).flat_map(of_equation).collect();
        self.parents.iter().for_each(|&parent| links[parent] = Link::Identity);
        Model { links, library, allowed, ..model }
    }

    /// Returns the splines with those of the hidden states: of the slopes of what they are derivatives
    /// of.
    pub fn smoothed(&self, mut smooth: Smooth) -> Smooth {
        for &parent in &self.parents {
            let series: Vec<(Vec<f64>, Vec<f64>)> =
                smooth.splines.iter().map(|splines| splines[parent].slopes()).collect();
            let deviation = super::grid::deviation(series.iter().flat_map(|(_, slopes)| slopes));
            let splines = smoothing::smooth(&series).splines;
            smooth.splines.iter_mut().zip(splines).for_each(|(all, own)| all.push(own));
            let root = smooth.roots[parent];
            smooth.roots.push(root);
            smooth.noise.push(smooth.noise[root] / smooth.deviation[root] * deviation);
            smooth.deviation.push(deviation);
        }
        smooth
    }

    /// Checks that the hidden states change, of the data with these states and splines.
    ///
    /// # Errors
    /// [`Error::Data`] naming a hidden state that never changes.
    pub fn ensure_change(&self, states: &[String], smooth: &Smooth) -> Result<()> {
        let deviations = &smooth.deviation[states.len()..];
        for ((name, &parent), deviation) in self.names.iter().zip(&self.parents).zip(deviations) {
            let slopes = smooth.splines.iter().flat_map(|splines| splines[parent].slopes().1);
            let largest = slopes.fold(0.0, |most: f64, slope| most.max(slope.abs()));
            if *deviation <= CONSTANT * largest {
                return Err(Error::Data(format!(
                    "`{name}` cannot be identified: it is the slope of `{}`, which never changes",
                    self.name(states, parent)
                )));
            }
        }
        Ok(())
    }

    /// Returns the numbers of the hidden states of which no other is the derivative.
    pub fn last(&self, measured: usize) -> impl Iterator<Item = usize> {
        let is_last = move |number: &usize| !self.parents.contains(&(measured + number));
        (0..self.names.len()).filter(is_last)
    }

    /// Returns the search without the hidden state of this number, one of the [`last`](Self::last): the
    /// terms of the model that do not depend on it are candidates in the equation of its parent, which
    /// is no definition then. Terms that are functions of the caller's count on it, and are left out.
    pub fn without(&self, number: usize, model: &Model, settings: &Settings) -> Without {
        let (variables, inputs) = (model.library.variables(), model.library.measured_inputs());
        let variable = variables.len() - self.names.len() + number;
        let arguments = [variables, model.library.inputs()].concat();
        let depends = |factor: &String| {
            Expression::of_factor(factor, &arguments).is_ok_and(|factor| factor.has(variable))
        };
        let kept = |term: &usize| {
            let own = matches!(model.library.function(*term), Function::User(_));
            !own && !model.library.factors(*term).iter().any(depends)
        };
        let terms: Vec<Vec<String>> = (0..model.library.len())
            .filter(kept)
            .map(|term| model.library.factors(term).to_vec())
            .collect();
        let mut states = variables.to_vec();
        states.remove(variable);
        let library = Library::of_terms(states, inputs, &terms);
        let library = library.expect("the terms of a library can be read again");

        let mut hidden = self.clone();
        hidden.names.remove(number);
        let parent = hidden.parents.remove(number);
        hidden.parents.iter_mut().filter(|p| **p > variable).for_each(|p| *p -= 1);
        let mut links = model.links.clone();
        links[parent] = links.remove(variable);
        let there = |state: &String, factors: &[String]| {
            library.variables().contains(state) && library.position(factors).is_some()
        };
        let mut settings = Settings {
            terms: vec![],
            user_terms: vec![],
            hidden: hidden.names.len(),
            ..settings.clone()
        };
        settings.known.retain(|known| there(&known.state, &known.factors));
        for terms in [&mut settings.positive, &mut settings.negative] {
            terms.retain(|term| there(&term.state, &term.factors));
        }
        settings.equal.retain(|pair| {
            [&pair.first, &pair.second].iter().all(|term| there(&term.state, &term.factors))
        });
        let model = Model { library, links, allowed: vec![], ..model.clone() };
        Without { model: hidden.restricted(model), hidden, settings }
    }

    /// Returns the number of the state of which this hidden state is the derivative.
    pub fn parent(&self, number: usize) -> usize {
        self.parents[number]
    }
}

impl Dataset {
    /// Returns the data with further states of these names, all of whose values are missing, as the
    /// hidden states of a [`Discovery`](super::Discovery) have it.
    #[must_use]
    pub fn with_hidden(&self, names: &[String]) -> Dataset {
        if names.is_empty() {
            return self.clone();
        }
        let extended = |trajectory: &Trajectory| {
            let rows = trajectory.values.chunks_exact(self.states.len().max(1));
            let missing = || std::iter::repeat_n(f64::NAN, names.len());
            let values = rows.flat_map(|row| row.iter().copied().chain(missing())).collect();
            Trajectory { values, ..trajectory.clone() }
        };
        let trajectories = self.trajectories.iter().map(extended).collect();
        let states = [&self.states[..], names].concat();
        Dataset { states, trajectories, inputs: self.inputs.clone() }
    }
}
