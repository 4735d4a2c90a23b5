//! The ladder of models that the automatic search climbs: which candidate terms and which link are
//! tried, in which order.

use super::budget::{Budget, work};
use super::candidates::Parameter;
use super::data::Dataset;
use super::expression::{Expression, Function};
use super::extension::Extension;
use super::grid::Grid;
use super::library::{Library, TIME};
use super::link::Link;
use super::settings::Settings;
use crate::{Error, Result};

/// The most coefficients of a model of degree two, of degree three, and of any richer one: the work
/// grows with their square.
const MAX_QUADRATIC: usize = 1000;
const MAX_CUBIC: usize = 260;
const MAX_COEFFICIENTS: usize = 130;
/// The most work of a search with one model, in units of about a nanosecond. Counted work makes the
/// result independent of the machine.
const MAX_WORK: f64 = 1.5e9;
/// The linearizations that polynomials up to degree two may take, whatever their work: without
/// them there is no result.
const LINEARIZATIONS: f64 = 60.0;

/// The functions of single variables that a rung adds to the monomials.
#[derive(Clone, Copy, Debug)]
enum Functions {
    None,
    /// Sine and cosine.
    Waves,
    /// Sine, cosine and absolute value, their products with each other and with all variables.
    WaveProducts,
    /// exp(−x), logarithm and square root, and their products with all variables.
    Growth,
}

/// A rung: monomials up to a degree, functions, and a link.
#[derive(Clone, Copy, Debug)]
struct Rung(usize, Functions, Link);

/// The rungs in steps: all rungs of a step are tried at the same time, simpler ones first. The
/// quadratic one begins, because it has the linear one in it and is quick where it is right.
const LADDER: [&[Rung]; 3] = [
    &[Rung(2, Functions::None, Link::Identity)],
    &[Rung(1, Functions::None, Link::Identity), Rung(3, Functions::None, Link::Identity)],
    &[
        Rung(1, Functions::Waves, Link::Identity),
        Rung(4, Functions::None, Link::Identity),
        Rung(5, Functions::None, Link::Identity),
        Rung(1, Functions::WaveProducts, Link::Identity),
        Rung(1, Functions::Growth, Link::Identity),
        Rung(1, Functions::None, Link::Tanh),
        Rung(1, Functions::None, Link::Sigmoid),
        Rung(1, Functions::None, Link::Ratio),
        Rung(2, Functions::None, Link::Ratio),
        Rung(3, Functions::None, Link::Ratio),
    ],
];

/// A model: candidate terms and a link for each equation.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// What distinguishes the model, in a few words.
    pub name: String,
    pub library: Library,
    /// The link of each equation (K).
    pub links: Vec<Link>,
    /// Whether each term of the library is a candidate in each equation (K, L); empty if all are.
    pub allowed: Vec<bool>,
    /// The most work of the search, in units of about a nanosecond.
    pub work: f64,
    /// The linearizations with all terms that may be done even if they are more work.
    pub linearizations: f64,
    /// The place among all models, simpler ones first.
    pub place: usize,
}

/// Models that are tried at the same time, simpler ones first.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub models: Vec<Model>,
    /// The names of models that are too large, each with the reason.
    pub refused: Vec<(String, String)>,
}

impl Model {
    /// Makes the model that the settings describe, the same for all equations.
    ///
    /// # Errors
    /// Those of [`Library::new`].
    pub fn new(data: &Dataset, settings: &Settings) -> Result<Self> {
        let library = Library::for_data(data, settings)?;
        let mut name = format!("degree {}", settings.degree);
        if settings.sine_cosine {
            name += ", sin and cos";
        }
        name += &link_name(settings.link);
        let links = vec![settings.link; data.states.len()];
        Ok(Model {
            name,
            library,
            links,
            allowed: vec![],
            work: f64::INFINITY,
            linearizations: 0.0,
            place: settings.degree,
        })
    }

    /// Makes the model in which each equation has the candidates and the link that it has in a
    /// model of its own; all must have libraries of the same variables.
    pub fn mixed(own: &[&Model]) -> Self {
        let mut names: Vec<&str> = own.iter().map(|model| &*model.name).collect();
        names.dedup();
        let mut library = own[0].library.clone();
        for model in &own[1..] {
            library = library.united(&model.library);
        }
        let allowed = own
            .iter()
            .enumerate()
            .flat_map(|(equation, model)| {
                let in_own = |term: usize| {
                    let place = model.library.position(library.factors(term));
                    place.is_some_and(|place| model.allows(equation, place))
                };
                (0..library.len()).map(in_own).collect::<Vec<_>>()
            })
            .collect();
        let links = own.iter().enumerate().map(|(equation, model)| model.links[equation]).collect();
        Model {
            name: names.join(" | "),
            library,
            links,
            allowed,
            work: MAX_WORK,
            linearizations: 0.0,
            place: usize::MAX,
        }
    }

    /// Returns the model with the time as a further candidate of all equations; `None` if it has it already,
    /// or a state or an input is called like it.
    pub fn with_time(&self) -> Option<Model> {
        let Model { library, .. } = self;
        let time = vec![TIME.to_owned()];
        if [library.variables(), library.inputs()].concat().contains(&time[0]) {
            return None;
        }
        let terms: Vec<Vec<String>> =
            (0..library.len()).map(|term| library.factors(term).to_vec()).chain([time]).collect();
        let variables = library.variables().to_vec();
        let wider = Library::of_terms(variables, library.inputs(), &terms).ok()?;
        let of_equation = |equation: usize| {
            let present = (0..library.len()).map(move |term| self.allows(equation, term));
            present.chain([true])
        };
        let allowed = (0..self.links.len()).flat_map(of_equation).collect();
        Some(Model { library: wider, allowed, ..self.clone() })
    }

    /// Returns the number of unknowns at a point and of coefficients.
    pub fn unknowns(&self) -> usize {
        self.library.variables().len().saturating_add(self.coefficients())
    }

    /// Returns the budget of a search on this grid.
    pub fn budget(&self, grid: &Grid) -> Budget {
        Budget::new(self.work.max(self.linearizations * work(grid.points(), self.unknowns())))
    }

    fn allows(&self, equation: usize, term: usize) -> bool {
        self.allowed.get(equation * self.library.len() + term).copied().unwrap_or(true)
    }

    /// Returns whether the coefficient is a candidate of this model.
    pub fn has(&self, parameter: &Parameter) -> bool {
        self.allows(parameter.equation, parameter.term)
    }

    /// Returns the number of coefficients of all equations.
    pub fn coefficients(&self) -> usize {
        self.coefficients_with(&Extension { functions: vec![], products: false })
    }

    /// Returns the number, at most, of coefficients of all equations with an extended library.
    fn coefficients_with(&self, extension: &Extension) -> usize {
        let of = |link: &Link| if *link == Link::Ratio { 2 } else { 1 };
        let terms = self.library.len().saturating_add(extension.terms(self.library.arguments()));
        self.links.iter().map(of).sum::<usize>().saturating_mul(terms)
    }

    /// Returns whether equations of this model about an offset can be multiplied out: whether all
    /// terms are products of states and inputs, and no constant is fixed at one, as in the
    /// denominator of a ratio.
    pub fn is_translatable(&self) -> bool {
        let arguments = [self.library.variables(), self.library.inputs()].concat();
        let monomial =
            |term: usize| self.library.factors(term).iter().all(|f| arguments.contains(f));
        !self.links.contains(&Link::Ratio) && (0..self.library.len()).all(monomial)
    }
}

fn link_name(link: Link) -> String {
    match link {
        Link::Identity => String::new(),
        link => format!(", {}", link.name()),
    }
}

/// Returns the models to be tried, in steps: all of the settings' own, or those of the ladder.
///
/// # Errors
/// Those of [`Library::new`] with the settings' own model, or with the lowest rung.
pub(super) fn models(data: &Dataset, settings: &Settings) -> Result<Vec<Step>> {
    if settings.automatic {
        return automatic(data, settings);
    }
    // A ratio can always be extended by a common factor, so its lowest sufficient degree is to be
    // found.
    let lowest =
        if settings.link == Link::Ratio { settings.degree.min(1) } else { settings.degree };
    let of = |degree| Model::new(data, &Settings { degree, ..settings.clone() });
    let models = (lowest..=settings.degree).map(of).collect::<Result<_>>()?;
    Ok(vec![Step { models, refused: vec![] }])
}

fn automatic(data: &Dataset, settings: &Settings) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut refused: Option<(usize, Error)> = None;
    for (index, rungs) in LADDER.iter().enumerate() {
        let mut step = Step::default();
        for (number, rung) in rungs.iter().enumerate() {
            match rung.start(data, settings) {
                Ok((model, extension)) => {
                    // Counted before they are made: products of functions may be millions.
                    let count = model.coefficients_with(&extension);
                    if count > rung.most_coefficients() {
                        step.refused.push((rung.name(), format!("too many terms ({count})")));
                        continue;
                    }
                    let rich = rung.is_rich();
                    step.models.push(Model {
                        library: model.library.with_functions(&extension),
                        work: MAX_WORK,
                        place: if rich { 10 * index + number } else { model.place },
                        linearizations: if rich { model.linearizations } else { LINEARIZATIONS },
                        ..model
                    });
                }
                // Other models would only hide that the name of a state is ambiguous.
                Err(Error::Argument { argument, message }) if argument != "states" => {
                    let error = Error::Argument { argument, message };
                    step.refused.push((rung.name(), error.to_string()));
                    // The lowest rung says best what is too large.
                    if refused.as_ref().is_none_or(|(lowest, _)| rung.0 < *lowest) {
                        refused = Some((rung.0, error));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        steps.push(step);
    }
    let none = steps.iter().all(|step: &Step| step.models.is_empty());
    match (none, refused) {
        (true, Some((_, error))) => Err(error),
        _ => Ok(steps),
    }
}

impl Rung {
    /// Returns whether the rung is more than polynomials of degree two.
    fn is_rich(&self) -> bool {
        !matches!(self, Rung(0..=2, Functions::None, Link::Identity))
    }

    /// Returns the most coefficients that the model of this rung may have.
    fn most_coefficients(&self) -> usize {
        match self {
            Rung(1, Functions::None, Link::Identity) => usize::MAX,
            Rung(2, Functions::None, Link::Identity) => MAX_QUADRATIC,
            Rung(3, Functions::None, Link::Identity) => MAX_CUBIC,
            _ => MAX_COEFFICIENTS,
        }
    }

    fn name(&self) -> String {
        let Rung(degree, functions, link) = self;
        let what = match functions {
            Functions::None => "",
            Functions::Waves => ", sin and cos",
            Functions::WaveProducts => ", sin, cos, abs and products",
            Functions::Growth => ", exp, log, sqrt and products",
        };
        format!("degree {degree}{what}{}", link_name(*link))
    }

    /// Returns the model of this rung with polynomials only, and the functions that belong to it
    /// besides.
    ///
    /// # Errors
    /// Those of [`Library::new`].
    fn start(&self, data: &Dataset, settings: &Settings) -> Result<(Model, Extension)> {
        let &Rung(degree, functions, link) = self;
        let settings = Settings { degree, link, sine_cosine: false, ..settings.clone() };
        let k = data.states.len();
        let positive = |state: usize| {
            let values =
                data.trajectories.iter().flat_map(|t| t.values.iter().skip(state).step_by(k));
            values.filter(|x| !x.is_nan()).all(|x| *x > 0.0)
        };
        let of_states = |functions: &[Function]| -> Vec<Expression> {
            let states = (0..k).flat_map(|state| functions.iter().map(move |f| (*f, state)));
            let needs_positive = |f: Function| matches!(f, Function::Log | Function::Sqrt);
            states
                .filter(|(f, state)| !needs_positive(*f) || positive(*state))
                .map(|(f, state)| match f {
                    // Of exponential functions, the decay exp(−x).
                    Function::Exp => {
                        let negative = Expression::of(Function::Negative, state);
                        Expression::Apply(f, Box::new(negative))
                    }
                    f => Expression::of(f, state),
                })
                .collect()
        };
        let model = Model { name: self.name(), ..Model::new(data, &settings)? };
        let (functions, products) = match functions {
            Functions::None => (vec![], false),
            Functions::Waves => (of_states(&[Function::Sin, Function::Cos]), false),
            Functions::WaveProducts => {
                (of_states(&[Function::Sin, Function::Cos, Function::Abs]), true)
            }
            Functions::Growth => (of_states(&[Function::Exp, Function::Log, Function::Sqrt]), true),
        };
        Ok((model, Extension { functions, products }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::data::Trajectory;

    fn data(states: usize, value: f64) -> Dataset {
        let values = (0..4 * states).map(|i| value + i as f64).collect();
        Dataset {
            states: (0..states).map(|i| format!("x{i}")).collect(),
            trajectories: vec![Trajectory {
                time: vec![0.0, 1.0, 2.0, 3.0],
                values,
                ..Trajectory::default()
            }],
            ..Dataset::default()
        }
    }

    fn names(data: &Dataset, settings: &Settings) -> Vec<String> {
        let steps = models(data, settings).unwrap().into_iter();
        steps.flat_map(|step| step.models).map(|model| model.name).collect()
    }

    #[test]
    fn the_ladder_leaves_out_what_is_too_large_or_undefined() {
        let automatic = Settings { automatic: true, ..Settings::default() };
        let small = names(&data(1, 1.0), &automatic);
        assert_eq!(small.len(), LADDER.concat().len());
        assert_eq!(small[..3], ["degree 2", "degree 1", "degree 3"]);
        assert_eq!(names(&data(10, 1.0), &automatic)[..2], ["degree 2", "degree 1"]);
        let large = models(&data(10, 1.0), &automatic).unwrap();
        // Of ten equations with the 286 monomials of ten variables each.
        let refused = ("degree 3".to_owned(), "too many terms (2860)".to_owned());
        assert_eq!(large[1].refused, [refused]);
        let count = |step: &Step| step.models.len() + step.refused.len();
        assert_eq!(large.iter().map(count).sum::<usize>(), LADDER.concat().len());
        let terms = |value: f64| {
            let steps = models(&data(1, value), &automatic).unwrap();
            let growth = |model: &&Model| model.name.contains("exp");
            steps.iter().flat_map(|step| &step.models).find(growth).unwrap().library.clone()
        };
        let log = ["log(x0)".to_owned()];
        assert!(terms(1.0).position(&log).is_some());
        assert!(terms(-1.0).position(&log).is_none());
    }

    /// Made before they are counted, the products of 2700 functions would take hours.
    #[test]
    fn terms_are_counted_before_they_are_made() {
        let automatic = Settings { automatic: true, ..Settings::default() };
        let steps = models(&data(900, 1.0), &automatic).unwrap();
        let left: Vec<&str> =
            steps.iter().flat_map(|step| &step.models).map(|model| model.name.as_str()).collect();
        assert_eq!(left, ["degree 1"]);
        let (_, failure) = steps
            .iter()
            .flat_map(|step| &step.refused)
            .find(|(name, _)| name.contains("abs"))
            .unwrap();
        let terms = 901 + 2700 + 2700 * 900 + 2700 * 2699 / 2_usize;
        assert_eq!(*failure, format!("too many terms ({})", 900 * terms));
    }

    #[test]
    fn a_given_model_is_the_only_one() {
        let given = |settings: Settings| names(&data(2, 1.0), &settings);
        assert_eq!(given(Settings::default()), ["degree 2"]);
        let ratio = Settings { link: Link::Ratio, ..Settings::default() };
        assert_eq!(given(ratio), ["degree 1, ratio", "degree 2, ratio"]);
    }

    #[test]
    fn the_time_is_one_more_candidate_of_every_equation() {
        let automatic = Settings { automatic: true, ..Settings::default() };
        let steps = models(&data(2, 1.0), &automatic).unwrap();
        let all: Vec<&Model> = steps.iter().flat_map(|step| &step.models).collect();
        let mixed = Model::mixed(&[all[0], all[3]]);
        let wider = mixed.with_time().unwrap();
        assert_eq!(wider.library.inputs(), [TIME]);
        assert_eq!(wider.library.len(), mixed.library.len() + 1);
        for equation in 0..2 {
            for term in 0..wider.library.len() {
                let place = mixed.library.position(wider.library.factors(term));
                let here = place.is_none_or(|term| mixed.allows(equation, term));
                assert_eq!(wider.allows(equation, term), here);
            }
        }
        assert!(wider.with_time().is_none());
    }

    #[test]
    fn each_equation_has_the_terms_of_its_own_model() {
        let automatic = Settings { automatic: true, ..Settings::default() };
        let steps = models(&data(2, 1.0), &automatic).unwrap();
        let all: Vec<&Model> = steps.iter().flat_map(|step| &step.models).collect();
        let find = |name: &str| *all.iter().find(|model| model.name == name).unwrap();
        let (waves, ratio) = (find("degree 1, sin and cos"), find("degree 2, ratio"));
        let mixed = Model::mixed(&[waves, ratio]);
        assert_eq!(mixed.links, [Link::Identity, Link::Ratio]);
        assert_eq!(mixed.name, "degree 1, sin and cos | degree 2, ratio");
        // Neighbors that share a model are named once.
        assert_eq!(Model::mixed(&[waves, waves]).name, waves.name);
        let has = |equation: usize, factors: &[&str]| {
            let factors: Vec<String> = factors.iter().map(ToString::to_string).collect();
            let term = mixed.library.position(&factors).unwrap();
            mixed.has(&Parameter { equation, term, denominator: false })
        };
        assert!(has(0, &["sin(x0)"]) && !has(1, &["sin(x0)"]));
        assert!(!has(0, &["x0", "x1"]) && has(1, &["x0", "x1"]));
        assert!(has(0, &["x1"]) && has(1, &["x1"]));
    }
}
