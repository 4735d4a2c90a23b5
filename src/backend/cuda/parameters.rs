//! The structures that the kernels take by value: field by field those of `kernels/common/parameters.h`.

use std::ffi::c_void;

use cudarc::driver::{DeviceRepr, ValidAsZeroBits};

/// Stored as f32.
pub const STORAGE_F32: i32 = 0;
/// Stored as f64.
pub const STORAGE_F64: i32 = 1;
/// Stored as IEEE half precision.
pub const STORAGE_F16: i32 = 2;
/// Stored as bfloat16.
pub const STORAGE_BF16: i32 = 3;

/// Solved.
pub const STATUS_OK: i32 = 0;
/// `first`: 0 coefficients, 1 rhs, 2 initial values, 3 steps.
pub const STATUS_NON_FINITE_INPUT: i32 = 1;
/// `first`: t of s_t.
pub const STATUS_INVALID_STEP: i32 = 2;
/// `first`: point t (N: the slack), `second`: row of the pivot.
pub const STATUS_BREAKDOWN: i32 = 3;
/// The solution is not finite.
pub const STATUS_OVERFLOW: i32 = 4;

/// How the solve of one system ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// One of `STATUS_*`.
    pub kind: i32,
    /// See there.
    pub first: i32,
    /// See there.
    pub second: i32,
}

/// One input array on the device; strides are counted in values, 0 along a shared axis.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// First value; null if there is none.
    pub data: *const c_void,
    /// Between systems.
    pub system: i64,
    /// Between time points.
    pub time: i64,
    /// Between states (steps only).
    pub state: i32,
    /// One of `STORAGE_*`.
    pub storage: i32,
}

/// One array that is written, with the strides of [`Input`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// First value; null if it is not wanted.
    pub data: *mut c_void,
    /// Between systems.
    pub system: i64,
    /// Between time points.
    pub time: i64,
    /// Between states (steps only).
    pub state: i32,
    /// [`STORAGE_F32`] or [`STORAGE_F64`].
    pub storage: i32,
}

/// Smoothness rows of one state on 2 or 3 neighboring points.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RowTable {
    /// (rows, points·Q).
    pub table: *const f64,
    /// 0: there are none.
    pub rows: i32,
    /// An entry's power of the length is its derivative plus this.
    pub shift: i32,
}

/// What is solved: sizes, options, inputs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Problem {
    /// B of this launch.
    pub batch: i64,
    /// N.
    pub points: i64,
    /// K.
    pub states: i32,
    /// Q.
    pub derivatives: i32,
    /// Qc ≤ Q.
    pub equation_derivatives: i32,
    /// E.
    pub equations: i32,
    /// I.
    pub initial_points: i32,
    /// J.
    pub initial_derivatives: i32,
    /// Whether the last point closes on the first.
    pub periodic: i32,
    /// Whether ε stands in every smoothness row.
    pub slack: i32,
    /// Whether equation rows are scaled by ℓ^(Qc−1), initial rows by ℓ^j.
    pub balanced: i32,
    /// Storage of all results and of cotangents: [`STORAGE_F32`] or [`STORAGE_F64`].
    pub results: i32,
    /// Steps with the residual β − Az.
    pub refinement: i32,
    /// Zero.
    pub reserved: i32,
    /// γ·α.
    pub slack_cost: f64,
    /// w_e.
    pub weight_equation: f64,
    /// w_i.
    pub weight_initial: f64,
    /// w_s.
    pub weight_smoothness: f64,
    /// w_p.
    pub weight_periodic: f64,
    /// Rows on two neighboring points.
    pub pair: RowTable,
    /// Rows on three.
    pub triple: RowTable,
    /// (system, time): + (e·K + k)·Qc + j.
    pub coefficients: Input,
    /// (system, time): + e.
    pub rhs: Input,
    /// (system): + (i·K + k)·J + j.
    pub initial_values: Input,
    /// (system, time, state).
    pub steps: Input,
}

/// Where some columns of the partial sums go.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SumTarget {
    /// First value; null if the columns are passed over.
    pub data: *mut c_void,
    /// How many columns.
    pub values: i64,
}

/// Where all columns go, in order.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SumTargets {
    /// Surplus ones have no columns.
    pub targets: [SumTarget; 5],
    /// Of the targets: [`STORAGE_F32`] or [`STORAGE_F64`].
    pub storage: i32,
    /// Zero.
    pub reserved: i32,
}

// SAFETY: plain C structures, the same on both sides (checked by the test below); the pointers are
// addresses of the device and are never followed here.
unsafe impl DeviceRepr for Status {}
unsafe impl ValidAsZeroBits for Status {}
unsafe impl DeviceRepr for Input {}
unsafe impl DeviceRepr for Output {}
unsafe impl DeviceRepr for RowTable {}
unsafe impl DeviceRepr for Problem {}
unsafe impl DeviceRepr for SumTargets {}

/// Comparison of structures with those of a C header.
#[cfg(test)]
pub(super) mod testing {
    use std::process::Command;

    /// (C expression, its value here) for the size of a structure and the offsets of all its fields.
    macro_rules! layout {
        ($name:ident: $($field:ident),* $(,)?) => {{
            // All fields are listed.
            let _ = |$name { $($field: _),* }: $name| ();
            vec![
                (format!("sizeof({})", stringify!($name)), size_of::<$name>()),
                $((format!("offsetof({}, {})", stringify!($name), stringify!($field)),
                   std::mem::offset_of!($name, $field))),*
            ]
        }};
    }
    pub(crate) use layout;

    /// Compiles the C expressions with the kernels' header and compares their values.
    pub fn check_layout(header: &str, expected: &[(String, usize)]) {
        let kernels = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels");
        let directory = tempfile::tempdir().unwrap();
        let (source, program) =
            (directory.path().join("layout.c"), directory.path().join("layout"));
        let print = |(expression, _): &(String, usize)| {
            format!("    printf(\"%zu\\n\", (size_t)({expression}));\n")
        };
        let prints: String = expected.iter().map(print).collect();
        let text = format!(
            "#include <stddef.h>\n#include <stdio.h>\n#include \"{header}\"\n\
             int main(void) {{\n{prints}    return 0;\n}}\n"
        );
        std::fs::write(&source, text).unwrap();
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let compiled = Command::new(&compiler)
            .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I", kernels, "-o"])
            .args([&program, &source])
            .output()
            .unwrap_or_else(|error| panic!("{compiler} compiles the kernels' header: {error}"));
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let printed = Command::new(&program).output().unwrap().stdout;
        let actual: Vec<usize> =
            String::from_utf8(printed).unwrap().lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(actual.len(), expected.len());
        for ((expression, here), there) in expected.iter().zip(actual) {
            assert_eq!(*here, there, "{expression}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{check_layout, layout};
    use super::*;

    #[test]
    fn structures_are_those_of_the_kernels() {
        let constants = [
            ("STORAGE_F32", STORAGE_F32),
            ("STORAGE_F64", STORAGE_F64),
            ("STORAGE_F16", STORAGE_F16),
            ("STORAGE_BF16", STORAGE_BF16),
            ("STATUS_OK", STATUS_OK),
            ("STATUS_NON_FINITE_INPUT", STATUS_NON_FINITE_INPUT),
            ("STATUS_INVALID_STEP", STATUS_INVALID_STEP),
            ("STATUS_BREAKDOWN", STATUS_BREAKDOWN),
            ("STATUS_OVERFLOW", STATUS_OVERFLOW),
        ];
        let mut expected: Vec<(String, usize)> =
            constants.iter().map(|&(name, value)| (name.to_owned(), value as usize)).collect();
        expected.extend(layout!(Status: kind, first, second));
        expected.extend(layout!(Input: data, system, time, state, storage));
        expected.extend(layout!(Output: data, system, time, state, storage));
        expected.extend(layout!(RowTable: table, rows, shift));
        expected.extend(layout!(SumTarget: data, values));
        expected.extend(layout!(SumTargets: targets, storage, reserved));
        expected.extend(layout!(Problem:
            batch, points, states, derivatives, equation_derivatives, equations, initial_points,
            initial_derivatives, periodic, slack, balanced, results, refinement, reserved,
            slack_cost, weight_equation, weight_initial, weight_smoothness, weight_periodic, pair,
            triple, coefficients, rhs, initial_values, steps,
        ));

        check_layout("common/parameters.h", &expected);
    }
}
