//! The executor does what the PTX ISA says: one file of tests for each family of instructions.
//! Expected values come from IEEE arithmetic and plain integer code in Rust, never from the
//! executor's own routines.

mod instructions {
    mod atomics;
    mod barriers;
    mod bits;
    mod collectives;
    mod comparisons;
    mod control;
    mod conversions;
    mod copies;
    mod errors;
    mod floats;
    mod halves;
    mod integers;
    mod matrices;
    mod memory;
    mod rounding;
    mod special;
    mod support;
    mod synchronization;
}
