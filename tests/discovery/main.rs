//! Discovery of equations by either method on synthetic systems whose equations are known, and on
//! real data; by the joint method on data as people have them.

mod assumptions;
mod automatic;
mod constraints;
mod hidden;
mod inputs;
mod joint;
mod network;
mod random_systems;
mod systems;
mod trust;
