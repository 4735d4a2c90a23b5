//! Where the arithmetic is done. Above this seam nothing knows which backend runs; below it
//! nothing knows about networks or files.

pub mod cpu;
