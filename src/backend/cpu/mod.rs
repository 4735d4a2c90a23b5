//! The CPU backend, which is the default and the reference that others are tested against.
//!
//! [`engine`] spreads the batch over threads in tiles of eight systems, one in each lane of
//! [`lanes`]. A [`tile`] solves and differentiates its systems in sweeps over the points: [`staging`]
//! brings numbers into lanes and back, [`points`] and [`smoothness`] are the rows of M = AᵀW²A,
//! [`cholesky`] or [`square_root`] factorizes block by block, [`chain`] is Cholesky's factorization for
//! small blocks whose size is a constant; [`sweep`] substitutes, with [`block`] as the arithmetic of a block;
//! [`gradient`], [`tangent`] and [`variances`] are what is derived from the solution. Where all systems have one
//! matrix, a [leader](tile::leader) factorizes it for all of them. Few long systems are cut into
//! [chunks](tile::chunks) instead, one in each lane.
//! [`layout`] has the sizes.

pub mod block;
pub mod chain;
pub mod cholesky;
pub mod engine;
pub mod gradient;
pub mod growth;
pub mod lanes;
pub mod layout;
pub mod pivots;
pub mod points;
pub mod smoothness;
pub mod square_root;
pub mod staging;
pub mod sweep;
pub mod tangent;
pub mod tensor;
pub mod tile;
pub mod variances;
