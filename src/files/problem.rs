//! Batches of linear ODEs and their solutions as safetensors files.
//!
//! A problem file holds the tensors `coefficients`, `rhs`, `initial_values` and `steps` in the
//! shapes of [`ProblemBuilder`](crate::ProblemBuilder), possibly a `cotangent` (B, N, K, Q), and
//! the options as metadata ([`OPTION_KEYS`]). All tensors are F64, or all are F32, F16 or BF16; the
//! latter three are computed in f32. Sizes may stand in the metadata too ([`SIZE_KEYS`]); then they
//! must agree with the tensors. `batch` and `points` are needed where every axis is shared. Tensors
//! that [`OwnedProblem::write_results`] writes may stand in the file and are ignored.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors};

use super::tensors::{self, Tensor};
use crate::memory::ensure;
use crate::shape::MOST_EXTRA_DERIVATIVES;
use crate::{
    Error, Factorization, Formulation, Gradients, Inputs, Options, Problem, ProblemShape, Real,
    Result, RowScaling, Smoothness, Solution, Status,
};

/// The metadata keys of a problem file that say how to solve the problem.
pub const OPTION_KEYS: [&str; 15] = [
    "formulation",
    "gamma",
    "alpha",
    "smoothness",
    "roughness",
    "scaling",
    "extra_derivatives",
    "weight_equation",
    "weight_initial",
    "weight_smoothness",
    "weight_periodic",
    "periodic",
    "follow_growth",
    "factorization",
    "refinement",
];

/// The metadata keys of a problem file that repeat sizes: B, N, K, E, the order of the equation, I
/// and J.
pub const SIZE_KEYS: [&str; 7] =
    ["batch", "points", "states", "equations", "order", "iv_steps", "iv_orders"];

const RESULTS: [&str; 9] = [
    "solution",
    "status",
    "initial_defect",
    "epsilon",
    "grad_coefficients",
    "grad_rhs",
    "grad_initial_values",
    "grad_steps",
    "grad_status",
];

/// A problem that was read from a file, in the precision that it is computed in.
#[derive(Clone, Debug)]
pub enum ProblemFile {
    /// A problem of F64 tensors.
    F64(OwnedProblem<f64>),
    /// A problem of F32, F16 or BF16 tensors.
    F32(OwnedProblem<f32>),
}

/// A problem that owns its arrays, with the options that say how to solve it.
#[derive(Clone, Debug)]
pub struct OwnedProblem<T> {
    /// Options of the solve.
    pub options: Options,
    shape: ProblemShape,
    inputs: Inputs<Array<T>>,
    cotangent: Option<Array<T>>,
}

#[derive(Clone, Debug)]
struct Array<T> {
    shape: Vec<usize>,
    data: Vec<T>,
}

impl<T: Real> OwnedProblem<T> {
    /// Returns the problem, which borrows its arrays.
    pub fn problem(&self) -> Problem<'_, T> {
        Problem::from_parts(&self.shape, self.inputs.as_ref().map(|array| array.data.as_slice()))
    }

    /// Returns ∂ℓ/∂(solution), (B, N, K, Q), if the file has it.
    pub fn cotangent(&self) -> Option<&[T]> {
        self.cotangent.as_ref().map(|array| array.data.as_slice())
    }

    /// Returns whether Hermite rows are asked for, but are only of second order because the
    /// solution has no derivative beyond those of the equation.
    pub fn hermite_of_second_order(&self) -> bool {
        let columns = self.shape.equation_order() + 1;
        let mut highest = self.inputs.coefficients.data.iter().skip(columns - 1).step_by(columns);
        self.options.smoothness == Smoothness::Hermite
            && self.shape.extra_derivatives == 0
            && highest.any(|&coefficient| coefficient != T::zero())
    }

    /// Writes the result of a solve to a file: `solution` (B, N, K, Q) and `status` (B; 0 solved, 1
    /// breakdown of the factorization, 2 input not finite, 3 step not positive, 4 overflow), the
    /// shared slack `epsilon` (B), and the gradients as `grad_coefficients`, `grad_rhs`,
    /// `grad_initial_values`, `grad_steps` in the shapes of the inputs, with `grad_status` (B), which
    /// is 2 for a cotangent and 4 for gradients that are not finite. The options are written as
    /// metadata.
    ///
    /// # Errors
    /// [`Error::Io`] when `path` cannot be written.
    pub fn write_results(
        &self,
        path: &Path,
        solution: &Solution<T>,
        gradients: Option<&Gradients<T>>,
    ) -> Result<()> {
        let codes = solution.status.iter().map(|status| status_code(*status)).collect();
        let mut tensors = vec![
            Tensor::of("solution", &self.shape.solution(), &solution.values),
            Tensor::bytes("status", &[self.shape.batch], codes),
            Tensor::of("initial_defect", &[self.shape.batch], &solution.initial_defect),
        ];
        if matches!(self.options.formulation, Formulation::SharedSlack { .. }) {
            tensors.push(Tensor::of("epsilon", &[self.shape.batch], &solution.epsilon));
        }
        if let Some(gradients) = gradients {
            for (name, (input, gradient)) in
                Inputs::NAMES.zip(self.inputs.as_ref().zip(gradients.inputs.as_ref()))
            {
                tensors.push(Tensor::of(format!("grad_{name}"), &input.shape, gradient));
            }
            let codes = gradients.status.iter().map(|status| status_code(*status)).collect();
            tensors.push(Tensor::bytes("grad_status", &[self.shape.batch], codes));
        }
        tensors::write(path, &tensors, &metadata(&self.options, self.shape.extra_derivatives))
    }
}

/// Reads a problem file. `overrides` are options (key of [`OPTION_KEYS`], value) that replace those
/// of the file.
///
/// # Errors
/// [`Error::Io`] for an unreadable file, [`Error::OutOfMemory`] for too large a one,
/// [`Error::Format`] naming the tensor or the key in the metadata, [`Error::Argument`] for a bad
/// override (named as a flag: `--gamma`).
pub fn read(path: &Path, overrides: &[(&str, String)]) -> Result<ProblemFile> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let what = format!("the problem {}", path.display());
    // The file, and its numbers; those of two bytes become four.
    let size = std::fs::metadata(path).map_or(0, |file| file.len() as usize);
    ensure(&what, &[(size, 2)])?;
    let bytes = std::fs::read(path).map_err(io)?;
    let file = File::new(path, &bytes)?;
    let settings = Settings { file: &file, overrides };
    let precision = file.precision()?;
    if precision != Dtype::F64 {
        ensure(&what, &[(bytes.len(), 2)])?;
    }
    match precision {
        Dtype::F64 => Ok(ProblemFile::F64(file.problem(&settings)?)),
        _ => Ok(ProblemFile::F32(file.problem(&settings)?)),
    }
}

/// A parsed safetensors file.
struct File<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
    metadata: BTreeMap<String, String>,
}

impl<'a> File<'a> {
    fn new(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let malformed = |error| Error::Format {
            path: path.to_owned(),
            message: format!("not a complete safetensors file: {error}"),
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(malformed)?;
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let file = File { path, tensors, metadata };
        file.check_names()?;
        Ok(file)
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::Format { path: self.path.to_owned(), message: message.into() }
    }

    fn check_names(&self) -> Result<()> {
        let mut names = self.tensors.names();
        names.sort_unstable();
        for name in names {
            let known = Inputs::NAMES.into_iter().chain(RESULTS).chain(["cotangent"]);
            if !known.into_iter().any(|known| known == name) {
                let inputs = <[_; 4]>::from(Inputs::NAMES).join(", ");
                let message = format!("unknown tensor `{name}`; known: {inputs}, cotangent");
                return Err(self.error(message));
            }
        }
        for key in self.metadata.keys().map(String::as_str) {
            // Libraries that write safetensors files leave a key `format` in the metadata.
            if !OPTION_KEYS.contains(&key) && !SIZE_KEYS.contains(&key) && key != "format" {
                let known = [&OPTION_KEYS[..], &SIZE_KEYS].concat().join(", ");
                return Err(self.error(format!("unknown metadata `{key}`; known: {known}")));
            }
        }
        Ok(())
    }

    /// Returns F64 or F32, the type that all tensors can be computed in.
    fn precision(&self) -> Result<Dtype> {
        let mut precision = None;
        for name in Inputs::NAMES.into_iter().chain(["cotangent"]) {
            let Ok(tensor) = self.tensors.tensor(name) else { continue };
            let this = match tensor.dtype() {
                Dtype::F64 => Dtype::F64,
                Dtype::F32 | Dtype::F16 | Dtype::BF16 => Dtype::F32,
                other => {
                    let message = format!("expected F64, F32, F16 or BF16, got {other}");
                    return Err(self.error(format!("tensor `{name}`: {message}")));
                }
            };
            let (_, first) = *precision.get_or_insert((name, this));
            if this != first {
                let (first_name, _) = precision.unwrap_or((name, this));
                let message =
                    format!("tensors `{first_name}` and `{name}`: one is F64, one is not");
                return Err(self.error(message));
            }
        }
        Ok(precision.map_or(Dtype::F64, |(_, dtype)| dtype))
    }

    fn array<T: Real>(&self, name: &str) -> Result<Array<T>> {
        let tensor = self.tensors.tensor(name).map_err(|_| {
            let hint = match name {
                "initial_values" => " (if there are none, shape (1, 0, K, 0))",
                _ => "",
            };
            self.error(format!("tensor `{name}` is missing{hint}"))
        })?;
        let data = tensors::decode(&tensor).expect("`precision` has accepted the type");
        Ok(Array { shape: tensor.shape().to_vec(), data })
    }

    fn problem<T: Real>(&self, settings: &Settings) -> Result<OwnedProblem<T>> {
        let inputs = Inputs::NAMES.try_map(|name| self.array::<T>(name))?;
        let cotangent = match self.tensors.tensor("cotangent") {
            Ok(_) => Some(self.array::<T>("cotangent")?),
            Err(_) => None,
        };
        let axes: Vec<&[usize]> = inputs
            .as_ref()
            .into_iter()
            .chain(&cotangent)
            .map(|array| array.shape.as_slice())
            .collect();
        let batch = match settings.size("batch")? {
            Some(batch) => batch,
            None => {
                axes.iter().filter_map(|axes| axes.first()).copied().find(|&b| b != 1).unwrap_or(1)
            }
        };
        let points = match settings.size("points")? {
            Some(points) => points,
            None => self.points(&axes)?,
        };
        let shapes = inputs.as_ref().map(|array| array.shape.as_slice());
        let extra = settings.extra_derivatives()?;
        let shape = ProblemShape::new(batch, points, shapes)
            .and_then(|shape| shape.with_extra_derivatives(extra))
            .map_err(|error| match error {
                Error::Shape { .. } => self.error(format!("tensor {error}")),
                _ => self.error(error.to_string()),
            })?;
        self.check_sizes(&shape, settings)?;
        if let Some(cotangent) = &cotangent
            && cotangent.shape != shape.solution()
        {
            let (expected, actual) = (shape.solution(), &cotangent.shape);
            let message = format!(
                "tensor cotangent: expected shape (B, N, K, Q) = {expected:?}, got {actual:?}"
            );
            return Err(self.error(message));
        }
        Ok(OwnedProblem { options: settings.options()?, shape, inputs, cotangent })
    }

    /// Returns N, read off the first array whose axis of time is not shared; the steps, which are
    /// one less, come last because they are miscounted most often.
    fn points(&self, axes: &[&[usize]]) -> Result<usize> {
        let along = |tensor: usize| {
            axes.get(tensor).and_then(|axes| axes.get(1)).copied().filter(|&length| length > 1)
        };
        let steps = along(3).map(|steps| steps.saturating_add(1));
        along(0).or(along(1)).or(along(4)).or(steps).ok_or_else(|| {
            self.error(
                "every tensor is shared over time: metadata `points` must say how many points",
            )
        })
    }

    fn check_sizes(&self, shape: &ProblemShape, settings: &Settings) -> Result<()> {
        let actual = [
            shape.batch,
            shape.points,
            shape.states(),
            shape.equations(),
            shape.equation_order(),
            shape.initial_points(),
            shape.initial_derivatives(),
        ];
        for (key, actual) in SIZE_KEYS.into_iter().zip(actual) {
            if let Some(stated) = settings.size(key)?
                && stated != actual
            {
                let message = format!("metadata `{key}` is {stated}, the tensors have {actual}");
                return Err(self.error(message));
            }
        }
        Ok(())
    }
}

/// The options that were given in the call and those of the file; the former take precedence.
struct Settings<'a> {
    file: &'a File<'a>,
    overrides: &'a [(&'a str, String)],
}

impl Settings<'_> {
    fn size(&self, key: &str) -> Result<Option<usize>> {
        self.value(key, "a whole number", |text| text.parse().ok())
    }

    fn extra_derivatives(&self) -> Result<usize> {
        let most = MOST_EXTRA_DERIVATIVES;
        let parse = |text: &str| text.parse().ok().filter(|&extra| extra <= most);
        let expected = format!("a whole number of at most {most}");
        Ok(self.value("extra_derivatives", &expected, parse)?.unwrap_or(0))
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        let finite = |number: &f64| number.is_finite();
        self.value(key, "a finite number", |text| text.parse().ok().filter(finite))
    }

    /// Returns the value of a key, or `None` if the key is absent; an error names where a wrong
    /// value stands.
    fn value<V>(
        &self,
        key: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<V>,
    ) -> Result<Option<V>> {
        let wrong = |text: &str| format!("expected {expected}, got \"{text}\"");
        if let Some((_, text)) = self.overrides.iter().find(|(name, _)| *name == key) {
            let flag = format!("--{}", key.replace('_', "-"));
            return match parse(text) {
                Some(value) => Ok(Some(value)),
                None => Err(Error::argument(flag, wrong(text))),
            };
        }
        match self.file.metadata.get(key) {
            None => Ok(None),
            Some(text) => match parse(text) {
                Some(value) => Ok(Some(value)),
                None => Err(self.file.error(format!("metadata `{key}`: {}", wrong(text)))),
            },
        }
    }

    fn options(&self) -> Result<Options> {
        let mut options = Options::default();
        let names = Smoothness::ALL.map(Smoothness::name).join(", ");
        let known = |text: &str| Smoothness::ALL.into_iter().find(|kind| kind.name() == text);
        if let Some(smoothness) = self.value("smoothness", &names, known)? {
            options.smoothness = smoothness;
        }
        let names = RowScaling::ALL.map(RowScaling::name).join(", ");
        let known = |text: &str| RowScaling::ALL.into_iter().find(|kind| kind.name() == text);
        if let Some(scaling) = self.value("scaling", &names, known)? {
            options.scaling = scaling;
        }
        let shared = self.value("formulation", "least_squares, shared_epsilon", |text| {
            ["least_squares", "shared_epsilon"].iter().position(|name| *name == text)
        })?;
        if shared == Some(1) {
            let needed = |key: &str| {
                let message = format!("formulation shared_epsilon needs `{key}`");
                self.number(key)?.ok_or_else(|| self.file.error(message))
            };
            options.formulation =
                Formulation::SharedSlack { gamma: needed("gamma")?, alpha: needed("alpha")? };
        }
        let weights = &mut options.weights;
        for (key, weight) in [
            ("weight_equation", &mut weights.equation),
            ("weight_initial", &mut weights.initial),
            ("weight_smoothness", &mut weights.smoothness),
            ("weight_periodic", &mut weights.periodic),
            ("roughness", &mut options.roughness),
        ] {
            let valid = |number: &f64| number.is_finite() && *number >= 0.0;
            let parse = |text: &str| text.parse().ok().filter(valid);
            if let Some(value) = self.value(key, "a number that is not negative", parse)? {
                *weight = value;
            }
        }
        for (key, option) in
            [("periodic", &mut options.periodic), ("follow_growth", &mut options.follow_growth)]
        {
            let parse = |text: &str| text.to_lowercase().parse().ok();
            if let Some(value) = self.value(key, "true or false", parse)? {
                *option = value;
            }
        }
        let names = Factorization::ALL.map(Factorization::name).join(", ");
        let known = |text: &str| Factorization::ALL.into_iter().find(|kind| kind.name() == text);
        if let Some(factorization) = self.value("factorization", &names, known)? {
            options.factorization = factorization;
        }
        options.refinement_steps = self.size("refinement")?;
        Ok(options)
    }
}

/// Returns the number of a [`Status`] in a result file: 0 solved, 1 breakdown of the factorization,
/// 2 input not finite, 3 step not positive, 4 overflow.
fn status_code(status: Status) -> u8 {
    match status {
        Status::Ok => 0,
        Status::Breakdown { .. } => 1,
        Status::NonFiniteInput { .. } => 2,
        Status::InvalidStep { .. } => 3,
        Status::Overflow => 4,
    }
}

/// Returns the options by their keys, so that a result file says how it was computed.
fn metadata(options: &Options, extra_derivatives: usize) -> Vec<(&'static str, String)> {
    let weights = &options.weights;
    let mut metadata = vec![
        ("smoothness", options.smoothness.name().to_owned()),
        ("roughness", options.roughness.to_string()),
        ("scaling", options.scaling.name().to_owned()),
        ("extra_derivatives", extra_derivatives.to_string()),
        ("weight_equation", weights.equation.to_string()),
        ("weight_initial", weights.initial.to_string()),
        ("weight_smoothness", weights.smoothness.to_string()),
        ("weight_periodic", weights.periodic.to_string()),
        ("periodic", options.periodic.to_string()),
        ("follow_growth", options.follow_growth.to_string()),
        ("factorization", options.factorization.name().to_owned()),
    ];
    if let Some(refinement) = options.refinement_steps {
        metadata.push(("refinement", refinement.to_string()));
    }
    match options.formulation {
        Formulation::LeastSquares => metadata.push(("formulation", "least_squares".into())),
        Formulation::SharedSlack { gamma, alpha } => metadata.extend([
            ("formulation", "shared_epsilon".into()),
            ("gamma", gamma.to_string()),
            ("alpha", alpha.to_string()),
        ]),
    }
    metadata
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        let tensors = [
            Tensor::of("coefficients", &[1, 1, 1, 1, 2], &[1.0f64, 1.0]),
            Tensor::of("rhs", &[1, 3, 1], &[0.0f64; 3]),
            Tensor::of("initial_values", &[1, 1, 1, 1], &[1.0f64]),
            Tensor::of("steps", &[1, 1], &[0.1f64]),
        ];
        tensors::write(&path, &tensors, &metadata(&Options::default(), 1)).unwrap();
        std::fs::read(path).unwrap()
    }

    proptest! {
        /// A damaged file is a problem of the size it says, or an error that names the file.
        #[test]
        fn any_bytes_are_a_problem_or_an_error(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            end in any::<prop::sample::Index>(),
            whole in any::<bool>(),
        ) {
            let mut bytes = example();
            for (index, byte) in damage {
                let place = index.index(bytes.len());
                bytes[place] = byte;
            }
            if !whole {
                bytes.truncate(end.index(bytes.len()));
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("p");
            std::fs::write(&path, bytes).unwrap();
            match read(&path, &[]) {
                Ok(ProblemFile::F64(owned)) => prop_assert!(owned.problem().shape().points >= 2),
                Ok(ProblemFile::F32(owned)) => prop_assert!(owned.problem().shape().points >= 2),
                Err(Error::Format { path: named, .. }) => prop_assert_eq!(named, path),
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
    }

    #[test]
    fn options_survive_a_file() {
        let options = Options {
            smoothness: Smoothness::TaylorCentral,
            roughness: 0.01,
            scaling: RowScaling::Balanced,
            formulation: Formulation::SharedSlack { gamma: 0.1 + 0.2, alpha: -1e-9 },
            weights: crate::Weights { equation: 2.0, initial: 0.0, ..Default::default() },
            periodic: true,
            follow_growth: true,
            factorization: Factorization::SquareRoot,
            refinement_steps: Some(3),
        };
        let bytes = example();
        let mut file = File::new(Path::new("p"), &bytes).unwrap();
        let metadata = metadata(&options, 2).into_iter();
        file.metadata = metadata.map(|(key, value)| (key.to_owned(), value)).collect();
        let settings = Settings { file: &file, overrides: &[] };
        assert_eq!(settings.options().unwrap(), options);
        assert_eq!(settings.extra_derivatives().unwrap(), 2);
    }
}
