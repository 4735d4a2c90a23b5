//! Equations about an offset, written in the states themselves.
//!
//! Where a state stays close to a value far from zero, powers of it can hardly be told apart. The
//! search then takes what is left of it after an offset is subtracted, and the polynomials that it
//! finds are multiplied out: exactly, with the standard errors that follow.

use std::collections::BTreeMap;

use super::dense::dot;
use super::library::Library;

/// Returns the product of the term's factors, each less its `offset` (of the K states), as a
/// combination of the library's terms: their numbers and coefficients.
///
/// # Panics
/// If the library lacks a product of some of these factors; one of monomials has them all.
pub(super) fn multiplied_out(library: &Library, term: usize, offset: &[f64]) -> Vec<(usize, f64)> {
    let mut sum = BTreeMap::from([(vec![], 1.0)]);
    for factor in library.factors(term) {
        let variable = library.variables().iter().position(|name| name == factor);
        // Velocities have no offset.
        let offset = variable.and_then(|v| offset.get(v)).copied().unwrap_or(0.0);
        let mut next = BTreeMap::new();
        for (product, coefficient) in sum {
            let mut longer = product.clone();
            longer.push(factor.clone());
            *next.entry(longer).or_insert(0.0) += coefficient;
            if offset != 0.0 {
                *next.entry(product).or_insert(0.0) -= offset * coefficient;
            }
        }
        sum = next;
    }
    let place = |product: &Vec<String>| library.position(product).expect("a monomial");
    sum.iter().map(|(product, coefficient)| (place(product), *coefficient)).collect()
}

/// Multiplies out a combination of terms. `coefficients` (c) and their `covariance` (c, c) belong to
/// the `terms` (c). Returns the coefficients of all terms of the library (L), and the standard
/// errors of those that occur.
pub(super) fn translated(
    library: &Library,
    offset: &[f64],
    terms: &[usize],
    coefficients: &[f64],
    covariance: &[f64],
) -> (Vec<f64>, Vec<Option<f64>>) {
    let (l, c) = (library.len(), terms.len());
    let mut matrix = vec![0.0; l * c];
    for (j, &term) in terms.iter().enumerate() {
        for (place, value) in multiplied_out(library, term, offset) {
            matrix[place * c + j] += value;
        }
    }
    let row = |place: usize| &matrix[place * c..][..c];
    let error = |place: usize| {
        let row = row(place);
        let moved: Vec<f64> = (0..c).map(|j| dot(&covariance[j * c..][..c], row)).collect();
        row.iter().any(|value| *value != 0.0).then(|| dot(row, &moved).max(0.0).sqrt())
    };
    ((0..l).map(|place| dot(row(place), coefficients)).collect(), (0..l).map(error).collect())
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;

    #[test]
    fn products_are_multiplied_out() {
        let library = Library::new(&["x".into(), "y".into()], &Settings::default()).unwrap();
        // 1, x, y, x², xy, y²: 2 (x − 3)(y − 5) + (x − 3)² = x² + 2 xy − 16 x − 6 y + 39.
        let covariance = [0.01, 0.0, 0.0, 0.04];
        let (values, errors) = translated(&library, &[3.0, 5.0], &[3, 4], &[1.0, 2.0], &covariance);
        assert_eq!(values, [39.0, -16.0, -6.0, 1.0, 2.0, 0.0]);
        let expected = [(0.81 + 9.0_f64).sqrt(), (0.36 + 1.0_f64).sqrt(), 0.6, 0.1, 0.2];
        for (error, expected) in errors.iter().zip(expected) {
            assert!((error.unwrap() - expected).abs() < 1e-12, "{errors:?}");
        }
        assert_eq!(errors[5], None);
    }
}
