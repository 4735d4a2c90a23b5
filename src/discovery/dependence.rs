//! Columns that are tied to each other by more than the equations: two that are nearly the same, or
//! a combination that is conserved. Terms with one of them can replace terms with the others.

use super::data::Dataset;
use super::dense::eigen;
use super::grid::Smooth;

/// The variance that a combination of columns may have to count as constant, in units of the
/// variance that its noise has, and as a fraction of the variance of one column.
const NOISES: f64 = 4.0;
const SMALL: f64 = 1e-3;
/// The least noise of a column, as a fraction of its deviation.
const LEAST_NOISE: f64 = 1e-5;
/// The smallest part of a column, in deviations and of the largest one, in a combination that is
/// named.
const PART: f64 = 0.05;

/// Returns warnings of pairs of columns that are nearly the same, and of combinations that are
/// conserved, up to the noise.
pub(super) fn warnings(data: &Dataset, smooth: &Smooth) -> Vec<String> {
    let k = data.states.len();
    let rows: Vec<Vec<f64>> = data
        .trajectories
        .iter()
        .flat_map(|t| t.values.chunks_exact(k))
        .filter(|row| row.iter().all(|x| !x.is_nan()))
        .map(|row| row.iter().zip(&smooth.deviation).map(|(x, unit)| x / unit).collect())
        .collect();
    // Few rows lie in a plane whatever they come from.
    if rows.len() <= 2 * k {
        return vec![];
    }
    let count = rows.len() as f64;
    let mean: Vec<f64> =
        (0..k).map(|i| rows.iter().map(|row| row[i]).sum::<f64>() / count).collect();
    let covariance = |i: usize, j: usize| {
        rows.iter().map(|row| (row[i] - mean[i]) * (row[j] - mean[j])).sum::<f64>() / count
    };
    let noise: Vec<f64> =
        smooth.noise.iter().zip(&smooth.deviation).map(|(n, d)| (n / d).max(LEAST_NOISE)).collect();
    let constant = |variance: f64, vector: &[f64]| {
        let expected: f64 = vector.iter().zip(&noise).map(|(v, n)| (v * n).powi(2)).sum();
        variance < SMALL && variance < NOISES * expected
    };
    let mut warnings = Vec::new();
    let mut left: Vec<usize> = Vec::new();
    for i in 0..k {
        let twin = left.iter().copied().find(|&j| {
            let across = covariance(i, j);
            let mut vector = vec![0.0; k];
            (vector[i], vector[j]) = (0.5_f64.sqrt(), -across.signum() * 0.5_f64.sqrt());
            constant(0.5 * (covariance(i, i) + covariance(j, j)) - across.abs(), &vector)
        });
        match twin {
            Some(j) => warnings.push(format!(
                "`{}` and `{}` are collinear: up to the noise each is a multiple of the other and \
                 a constant, so that terms with one can stand for terms with the other; leave one \
                 out, or add trajectories in which they differ",
                data.states[j], data.states[i]
            )),
            None => left.push(i),
        }
    }
    let n = left.len();
    let matrix = (0..n * n).map(|at| covariance(left[at / n], left[at % n])).collect();
    let (values, vectors) = eigen(matrix, n);
    for (value, vector) in values.iter().zip(vectors.chunks_exact(n)) {
        let mut whole = vec![0.0; k];
        left.iter().zip(vector).for_each(|(&i, v)| whole[i] = *v);
        if n > 1 && constant(*value, &whole) {
            let largest = vector.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
            let parts: Vec<(usize, f64)> = left
                .iter()
                .zip(vector)
                .filter(|(_, v)| v.abs() >= PART * largest)
                .map(|(&i, v)| (i, v / smooth.deviation[i]))
                .collect();
            let unit = parts[0].1;
            let parts = parts.iter().map(|(i, v)| format!("{:.4} {}", v / unit, data.states[*i]));
            warnings.push(format!(
                "{} is constant up to the noise: its columns are collinear, so that terms with some \
                 can stand for terms with others; leave one out, or add trajectories with another \
                 constant",
                parts.collect::<Vec<_>>().join(" + ").replace("+ -", "- ")
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::super::data::Trajectory;
    use super::super::grid::smooth;
    use super::super::loss::Loss;
    use super::*;

    fn found(columns: usize, row: impl Fn(f64) -> Vec<f64>) -> Vec<String> {
        let mut rng = crate::nn::Rng::new(1);
        let time: Vec<f64> = (0..300).map(|i| 0.05 * f64::from(i)).collect();
        let mut noisy = |x: f64| x + 1e-3 * rng.normal();
        let values = time.iter().flat_map(|t| row(*t)).map(&mut noisy).collect();
        let states = ["a", "b", "c"][..columns].iter().map(ToString::to_string).collect();
        let data = Dataset {
            states,
            trajectories: vec![Trajectory { time, values, ..Trajectory::default() }],
            ..Dataset::default()
        };
        warnings(&data, &smooth(&data, Loss::Squares).unwrap())
    }

    #[test]
    fn twins_and_conserved_sums_are_named() {
        let twins = found(2, |t| vec![t.sin(), 2.0 - 3.0 * t.sin()]);
        assert!(twins.len() == 1 && twins[0].contains("`a` and `b` are collinear"), "{twins:?}");
        let sum = found(3, |t| vec![t.sin(), t.cos(), 1.0 - t.sin() - t.cos()]);
        assert!(sum.len() == 1, "{sum:?}");
        assert!(sum[0].starts_with("1.0000 a + ") && sum[0].contains(" c is constant"), "{sum:?}");
        let free = found(3, |t| vec![t.sin(), t.cos(), (2.0 * t).sin()]);
        assert_eq!(free, Vec::<String>::new());
    }
}
